"""Optuna's own HyperbandPruner as the rule of a search, for who wants exactly that: it only stops trials."""

import math
from collections.abc import Iterable

import optuna
from optuna.pruners import HyperbandPruner
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from studies.ladder import Ladder
from studies.promotion import Step
from studies.quiet import quiet
from studies.records import Direction, TrialRecord


class Stopping:
    """Asks Optuna's pruner at each rung whether a trial goes on; nobody waits for others.

    The pruner deals out brackets by a hash of the study's name and the trial's number, and judges by the
    values at its rungs: both are Optuna's. Completed epochs are reported from 1, and the last epoch is never
    judged, so that a trial that has all its epochs is complete.

    Attributes:
        closing: No new trial will come.
    """

    def __init__(self, study_name: str, ladder: Ladder, direction: Direction) -> None:
        self.closing = False
        self._top = ladder.max_resource
        self._rungs = ladder.rungs(0)
        pruner = HyperbandPruner(ladder.min_resource, ladder.max_resource, ladder.reduction_factor)
        with quiet():
            self._study = optuna.create_study(
                storage=optuna.storages.InMemoryStorage(),
                study_name=study_name,
                direction=StudyDirection[direction.upper()],
                pruner=pruner,
            )
        self._ready: dict[int, Step] = {}  # by number, in the order in which they became so
        self._running: dict[int, Step] = {}
        self._stopped: set[int] = set()

    @classmethod
    def rebuild(
        cls, study_name: str, ladder: Ladder, direction: Direction, records: Iterable[TrialRecord]
    ) -> "Stopping":
        """The rule as it stood when `records` were written; in the order of numbers, not of arrival."""
        rule = cls(study_name, ladder, direction)
        for record in records:
            rule._restore(record)
        return rule

    def add(self, number: int) -> int:
        """Enter a new trial; its first rung in epochs."""
        self._study.add_trial(create_trial(state=TrialState.RUNNING))
        self._running[number] = self._next(number, 0)
        return self._running[number].to_epoch

    def arrive(self, number: int, epochs: int, value: float) -> None:
        """A trial finished a rung: it goes on at once, or is stopped."""
        self._running.pop(number)
        trial = optuna.trial.Trial(self._study, self._study.get_trials(deepcopy=False)[number]._trial_id)
        trial.report(value, epochs)
        if epochs >= self._top:
            return
        if not math.isfinite(value) or trial.should_prune():
            self._stopped.add(number)
        else:
            self._ready[number] = self._next(number, epochs)

    def fail(self, number: int) -> None:
        """A trial is out."""
        self._running.pop(number, None)
        self._ready.pop(number, None)

    def candidates(self) -> list[Step]:
        """The trials that go on, first come, first served."""
        return list(self._ready.values())

    def take(self, number: int | None = None) -> Step | None:
        """Let a candidate go on; without a number the first."""
        step = self._ready.pop(next(iter(self._ready), -1) if number is None else number, None)
        if step is not None:
            self._running[step.number] = step
        return step

    def under_way(self) -> list[Step]:
        """The trials on their way to a rung."""
        return [self._running[number] for number in sorted(self._running)]

    def out(self, number: int) -> bool:
        """Whether the pruner stopped a trial."""
        return number in self._stopped

    def _next(self, number: int, epochs: int) -> Step:
        return Step(number, epochs, next(rung for rung in self._rungs if rung > epochs))

    def _restore(self, record: TrialRecord) -> None:
        self.add(record.number)
        for epochs in sorted(record.rungs):
            if record.number in self._running:
                self.arrive(record.number, epochs, record.rungs[epochs])
                self.take(record.number)
        if record.finished:
            self._running.pop(record.number, None)
