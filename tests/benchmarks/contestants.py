"""What toprung is compared with in a world of replayed curves: random search, Optuna, Keras Tuner, Syne Tune's ASHA.

Each searches until the world's epochs are spent. Its choice at any time is what the tool itself would return, were it
asked then.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import InMemoryStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from spaces import suggest, to_index
from spaces.parameters import Params
from studies.plan import SamplerPlan
from studies.sampler import Proposer
from tests.benchmarks.replay import World
from tests.benchmarks.replayed import study, toprung

FACTOR = 3

Best = tuple[float, int]  # a value, and the place in the pool


def random_search(world: World) -> None:
    """Every configuration trains to the end; the choice is the best of those that have, or of all before one has."""
    found: list[Best] = []
    partly: list[Best] = []
    world.choose = lambda: max(found or partly, key=lambda one: one[0])[1]
    for params in _draws(world):
        index = world.settle(params)
        best = 0.0
        for _ in range(world.curves.epochs):
            best = max(best, _train(world, index))
            partly.append((best, index))
        found.append((best, index))


def optuna_hyperband(world: World) -> None:
    """Optuna's TPE and HyperbandPruner with KerasPruningCallback's steps, which count from 0.

    The choice is its best complete trial; before there is one, that with the best last value.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.HyperbandPruner(1, world.curves.epochs, FACTOR)
    name = f"benchmark-{world.repetition}"  # with the number, it decides a trial's bracket
    seen = optuna.create_study(
        study_name=name, direction="maximize", sampler=optuna.samplers.RandomSampler(), pruner=pruner
    )
    mirror = _Mirror.of(seen, optuna.samplers.TPESampler(seed=world.repetition))
    places: list[int] = []
    world.choose = lambda: places[_best_of(seen.get_trials(deepcopy=False))]
    space = world.curves.space
    while True:
        places.append(world.settle(suggest(space, mirror.next_trial())))
        params = world.params(places[-1])
        seen.enqueue_trial({full: to_index(space.parameter(full), value) for full, value in params.items()})
        trial = seen.ask()
        suggest(space, trial)
        _prune_or_complete(seen, trial, world, places[-1])


def _prune_or_complete(seen: Study, trial: optuna.Trial, world: World, index: int) -> None:
    best = 0.0
    for step in range(world.curves.epochs):
        value = _train(world, index)
        best = max(best, value)
        trial.report(value, step)
        if trial.should_prune():
            seen.tell(trial, state=TrialState.PRUNED)
            return
    seen.tell(trial, best)


def _best_of(trials: list[FrozenTrial]) -> int:
    complete = [(trial.value, -trial.number) for trial in trials if trial.state == TrialState.COMPLETE]
    reported = [
        (trial.intermediate_values[trial.last_step], -trial.number) for trial in trials if trial.last_step is not None
    ]
    return -max(complete or reported)[1]


class _Mirror(Study):
    """A study whose sampler sees the trials of another: draws what Optuna would, and leaves that study as it is.

    So the other's trials can hold what the pool has instead of what was drawn.
    """

    _seen: Study

    @classmethod
    def of(cls, seen: Study, sampler: optuna.samplers.BaseSampler) -> _Mirror:
        storage = InMemoryStorage()
        storage.create_new_study([StudyDirection.MAXIMIZE], "mirror")
        mirror = cls("mirror", storage, sampler=sampler)
        mirror._seen = seen
        return mirror

    def next_trial(self) -> optuna.Trial:
        return optuna.Trial(self, self._storage.create_new_trial(self._study_id))  # numbered as the other's next

    def _get_trials(self, deepcopy: bool = True, states: Any = None, use_cache: bool = False) -> list[FrozenTrial]:
        return self._seen._get_trials(deepcopy, states, use_cache)


def keras_tuner_hyperband(world: World) -> None:
    """Keras Tuner's own HyperbandOracle, asked and told as its tuner does; the choice is its best trial.

    A trial of a later round goes on with the weights of the one before. Its score is its own best epoch.
    """
    draws = _draws(world)
    with tempfile.TemporaryDirectory(prefix="toprung-benchmark-") as folder:
        oracle = _oracle(world, lambda: world.settle(next(draws)), Path(folder))
        running: list[Best] = []
        world.choose = lambda: _best_trial(oracle, running)
        while True:
            trial = oracle.create_trial("tuner")
            values = trial.hyperparameters.values
            running.clear()
            for _ in range(values["tuner/initial_epoch"], values["tuner/epochs"]):
                running.append((_train(world, values["place"]), values["place"]))
            oracle.update_trial(trial.trial_id, {"val_accuracy": max(running)[0]})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)


def _best_trial(oracle: Any, running: list[Best]) -> int:
    done = [trial for trial in oracle.get_best_trials(1) if trial.status == "COMPLETED"]
    return int(done[0].hyperparameters.values["place"]) if done else max(running)[1]


def _oracle(world: World, draw: Callable[[], int], folder: Path) -> Any:
    import keras_tuner

    class Oracle(keras_tuner.oracles.HyperbandOracle):
        """Draws places in the pool, and keeps nothing on the disk."""

        def _random_values(self) -> dict[str, Any]:
            return {"place": draw()}

        def _save_trial(self, trial: Any) -> None:
            pass

        def save(self) -> None:
            pass

    oracle = Oracle(
        objective=keras_tuner.Objective("val_accuracy", "max"),
        max_epochs=world.curves.epochs,
        factor=FACTOR,
        hyperband_iterations=1000,
        seed=world.repetition + 1,
    )
    oracle._set_project_dir(str(folder), "benchmark")
    oracle.verbose = 0
    oracle._display.verbose = 0
    return oracle


def asha(world: World, stopping: bool) -> None:
    """Asynchronous successive halving with one bracket as Syne Tune has it, the middle of the space first.

    "promotion" pauses every trial at its rung and lets the best that is at or above the rung's quantile go on, highest
    rung first, before it begins another; "stopping" decides when a trial arrives, and for good. The quantile is
    numpy's, 1 - 1 / factor; of less than two values there is none: promotion waits, stopping goes on. The choice is the
    best value that any trial has reported.

    Source:
        Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning", and Syne Tune's rung systems
        (hyperband_promotion.py, hyperband_stopping.py).
    """
    levels = _rungs(world.curves.epochs)
    rungs: dict[int, list[Best]] = {level: [] for level in levels[:-1]}
    going_on: dict[int, set[int]] = {level: set() for level in levels[:-1]}
    reported: list[Best] = []
    world.choose = lambda: max(reported, key=lambda one: one[0])[1]

    def climb(index: int, start: int, end: int) -> None:
        for _ in range(start, end):
            reported.append((_train(world, index), index))
        if end in rungs:
            rungs[end].append((reported[-1][0], index))

    draws = _draws(world, first=world.curves.space.default())
    while True:
        promoted = None if stopping else _promotable(levels, rungs, going_on)
        if promoted:
            index, start, end = promoted
            going_on[start].add(index)
            climb(index, start, end)
            continue
        index = world.settle(next(draws))
        for start, end in pairwise((0, *levels)):
            climb(index, start, end)
            if not stopping or end not in rungs or rungs[end][-1][0] < _cutoff(rungs[end]):
                break


def _promotable(
    levels: tuple[int, ...], rungs: dict[int, list[Best]], going_on: dict[int, set[int]]
) -> tuple[int, int, int] | None:
    """The best paused one at or above the quantile of the highest rung that has one; its rung and the next."""
    for level, above in reversed(list(pairwise(levels))):
        paused = [one for one in rungs[level] if one[1] not in going_on[level]]
        if len(rungs[level]) > 1 and paused:
            value, index = max(paused, key=lambda one: one[0])
            if value >= _cutoff(rungs[level]):
                return index, level, above
    return None


def _cutoff(values: list[Best]) -> float:
    return -math.inf if len(values) < 2 else float(np.quantile([value for value, _ in values], 1 - 1 / FACTOR))


def _rungs(top: int) -> tuple[int, ...]:
    levels = [1]
    while levels[-1] * FACTOR < top:
        levels.append(levels[-1] * FACTOR)
    return (*levels, top)


def _draws(world: World, first: Params | None = None) -> Iterator[Params]:
    """Random params without end, the same for all contestants of a repetition."""
    loaded = study(world, "random")
    proposer = Proposer(
        loaded.space, SamplerPlan(name="random", seed=world.repetition), "maximize", loaded.plan.hyperband.ladder
    )
    if first is not None:
        yield first
    number = 0
    while True:
        params = proposer.propose(number, [])
        assert params is not None
        yield params
        number += 1


def _train(world: World, index: int) -> float:
    """An epoch of a peer's, to which a failed training is the worst of all."""
    value = world.train(index)
    return 0.0 if math.isnan(value) else value


CONTESTANTS: dict[str, Callable[[World], None]] = {
    "random": random_search,
    "optuna": optuna_hyperband,
    "keras-tuner": keras_tuner_hyperband,
    "asha-stopping": lambda world: asha(world, stopping=True),
    "asha-promotion": lambda world: asha(world, stopping=False),
    "toprung-random": lambda world: toprung(world, "random"),
    "toprung-tpe": lambda world: toprung(world, "tpe"),
    "toprung": lambda world: toprung(world, "gp"),
}
