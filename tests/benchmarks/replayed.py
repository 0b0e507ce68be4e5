"""toprung in a world of replayed curves: its own supervisor, agenda, promotion and proposer, without store or Keras."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from reports.leaderboard import ranked
from search.flight import Flight
from search.logbook import Logbook
from search.messages import EpochDone, Event, JobDone, Ready, TrainJob, TrialFailed
from search.recipe import Recipe
from search.signals import StopRequest
from search.supervisor import Supervisor
from spaces.parameters import Params
from studies.plan import Budget, LoadedStudy, SamplerPlan, StudyPlan, load_study
from studies.records import StudyRecord
from tests.benchmarks.curves import STUDY
from tests.benchmarks.replay import World

_ENDLESS = 100_000  # trials; the world ends before


class _Nowhere:
    """The store, and the folder of trials, that keep nothing."""

    def put(self, key: str, data: bytes) -> None:
        return None

    def records(self) -> list[Any]:
        return []

    def attribute(self, key: str) -> None:
        return None

    def creation(self, params: Params, distributions: Mapping[str, Any], bracket: int | None) -> None:
        return None

    def writing(self, *_: object) -> None:
        return None

    def setting(self, key: str, value: Any) -> None:
        return None

    def commit(self, changes: Sequence[Any]) -> None:
        return None


class _Logbook(Logbook):
    """Trials that hold what the pool has instead of what was proposed."""

    def __init__(self, plan: StudyPlan, world: World) -> None:
        super().__init__(_Nowhere(), plan, world.curves.space, _Nowhere())
        self._world = world
        self.places: dict[int, int] = {}

    def create(self, params: Params, bracket: int | None) -> Flight:
        index = self._world.settle(params)
        self.places[len(self)] = index
        return super().create(self._world.params(index), bracket)

    def winner(self) -> int:
        """The place of what the leaderboard has on top now."""
        self.save_epochs()
        study = StudyRecord("", "", "maximize", "val_accuracy", {}, {}, {}, "searching", _NEVER, tuple(self.records))
        return self.places[ranked(study)[0].number]


class _Pool:
    """One worker, which looks up what it should train."""

    slots, most_bytes = (0,), 0

    def __init__(self, world: World, logbook: _Logbook) -> None:
        self._world = world
        self._logbook = logbook
        self._events: Iterator[Event] = iter([Ready(backend="", devices=[], versions={}, seconds=0.0)])

    def send(self, slot: int, job: TrainJob) -> None:
        self._events = self._train(job)

    def events(self, seconds: float) -> Iterator[tuple[int, Event]]:
        yield from ((0, event) for event in self._events)

    def _train(self, job: TrainJob) -> Iterator[Event]:
        for task in job.tasks:
            for epoch in range(task.known_epochs + 1, job.to_epoch + 1):
                value = self._world.train(self._logbook.places[task.trial])
                if math.isnan(value):
                    yield TrialFailed(trial=task.trial, reason="val_accuracy is nan")
                    break
                yield EpochDone(trial=task.trial, epoch=epoch, metrics={"val_accuracy": value}, seconds=float(epoch))
        yield JobDone()


_NEVER = datetime(2000, 1, 1)


def toprung(world: World, sampler: str) -> None:
    """`toprung run` with one worker, until the world ends.

    The sampler's seed is the number of the repetition.
    """
    loaded = study(world, sampler)
    logbook = _Logbook(loaded.plan, world)
    world.choose = logbook.winner
    pool: Any = _Pool(world, logbook)
    Supervisor(logbook, Recipe(loaded), pool, StopRequest(), _say_nothing).run()


def study(world: World, sampler: str) -> LoadedStudy:
    """The study of the world's space, without known-good params and without an end."""
    loaded = load_study(STUDY, [f"hyperband.max_resource={world.curves.epochs}"])
    changes = {"sampler": SamplerPlan(name=sampler, seed=world.repetition), "budget": Budget(trials=_ENDLESS)}
    plan = loaded.plan.model_copy(update={**changes, "enqueue": ()})
    return LoadedStudy(plan, world.curves.space, loaded.path)


def _say_nothing(kind: str, **about: object) -> None:
    pass
