"""What is known about a study once it has run: plain frozen values, readable without Optuna or Keras.

Accuracies and gaps are fractions, times are seconds, epochs are counted from 1.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

from spaces.parameters import Params
from studies.errors import StudyError

Direction = Literal["maximize", "minimize"]
TrialState = Literal["running", "paused", "complete", "pruned", "failed"]
StudyState = Literal["searching", "finished"]


def direction_of(monitor: str) -> Direction:
    """Which way one of toprung's own metrics is better: a loss falls, all others rise."""
    return "minimize" if monitor == "val_loss" else "maximize"


def sign_of(direction: Direction) -> int:
    """What values are multiplied by so that the greatest is the best: 1, or -1 where less is better."""
    return 1 if direction == "maximize" else -1


def best_of(values: Iterable[float], direction: Direction) -> float | None:
    """The best of the finite values; None where there is none."""
    return (max if direction == "maximize" else min)(filter(math.isfinite, values), default=None)


@dataclass(frozen=True, slots=True)
class TestScore:
    """What a trial's weights scored on the test split, opened once after the search.

    Attributes:
        metrics: Named "test_accuracy", "test_loss", ...
        gap: Validation minus test in accuracy, above 0 when test is worse; None where there is no accuracy.
        gap_se: The standard error of the gap.
    """

    __test__: ClassVar[bool] = False  # the name begins with "Test": pytest would collect it

    metrics: dict[str, float]
    gap: float | None = None
    gap_se: float | None = None


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One configuration and how far it came.

    Attributes:
        number: Its number in the study, from 0.
        state: How it stands; "paused" waits at a rung, checkpointed.
        params: The values drawn for it; only active parameters.
        bracket: The bracket of the ladder it belongs to.
        epochs: Completed epochs.
        value: Best value of the monitor so far; what it is ranked by.
        best_epoch: The epoch of that value; None where another program's trial never reported it.
        metrics: All metrics at the best epoch: "train_accuracy", "val_loss", ...
        history: Each metric's values, one a completed epoch.
        rungs: Rung (in epochs) to the best value when the trial arrived there.
        weights: Number of weights of its model.
        seconds: Time spent training, of another program's trial from its beginning to its end; 0 where it is not known.
        reason: Why it was pruned, stopped or failed.
        test: Its score on the test split, if it was among those that were opened.
        started: When it was created, local time.
        ended: When it reached its final state, local time.
    """

    number: int
    state: TrialState
    params: Params = field(default_factory=dict)
    bracket: int | None = None
    epochs: int = 0
    value: float | None = None
    best_epoch: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    history: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    rungs: dict[int, float] = field(default_factory=dict)
    weights: int | None = None
    seconds: float = 0.0
    reason: str | None = None
    test: TestScore | None = None
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def begun(self) -> bool:
        """Whether the trial had its turn, or will; not one that was proposed just before the time was up."""
        return self.epochs > 0 or self.state != "pruned"

    @property
    def finished(self) -> bool:
        """Whether the trial has its final state."""
        return self.state in ("complete", "pruned", "failed")


@dataclass(frozen=True, slots=True)
class RetrainRecord:
    """The best configuration trained once more.

    Attributes:
        trial: The trial whose params were used.
        data: "train" or "train+validation".
        epochs: Epochs trained.
        seed: Seed of this repetition.
        metrics: "train_*", "test_*", and "val_*" where data is "train".
        gap: Validation minus test in accuracy, where there is a validation split.
        gap_se: The standard error of the gap.
        weights: Number of weights of the model.
        seconds: Time spent training.
        asked: Seeds that were asked for; those that failed have no record.
        to_epoch: Epochs that were asked for; early stopping may have come before. 0 where the first release wrote it.
    """

    trial: int
    data: str
    epochs: int
    seed: int
    metrics: dict[str, float]
    gap: float | None = None
    gap_se: float | None = None
    weights: int | None = None
    seconds: float = 0.0
    asked: int = 0
    to_epoch: int = 0


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study and all its trials.

    Attributes:
        name: Its name in the store.
        uuid: Made when it was created; tells a study from a later one of the same name.
        direction: Of the monitor.
        monitor: The metric that ranks trials, "val_accuracy" for example.
        plan: The plan as plain JSON values.
        space: The space as plain JSON values.
        data: "hash", "n_train", "n_validation", "classes"; "n_test" and "test_hash" once the test split was opened.
        state: "finished" once the search has ended.
        created: When, with its time zone.
        trials: By number.
        retrained: One a repetition.
    """

    name: str
    uuid: str
    direction: Direction
    monitor: str
    plan: Mapping[str, Any]
    space: Mapping[str, Any]
    data: Mapping[str, Any]
    state: StudyState
    created: datetime
    trials: tuple[TrialRecord, ...] = ()
    retrained: tuple[RetrainRecord, ...] = ()

    def section(self, name: str) -> Mapping[str, Any]:
        """A section of the plan; empty where there is none, as in the study of another program."""
        return self.plan.get(name) or {}

    def trial(self, number: int) -> TrialRecord | None:
        """The trial of a number; None where there is none."""
        return next((trial for trial in self.trials if trial.number == number), None)

    @property
    def metric(self) -> str:
        """What the monitor measures: "accuracy" for "val_accuracy"."""
        return self.monitor.removeprefix("val_")

    @property
    def own_plan(self) -> Mapping[str, Any]:
        """The plan of a study that has one.

        Raises:
            StudyError: Another program made it, and it was imported.
        """
        if not self.plan:
            raise StudyError(f"{self.name}: was not made by toprung; it can be ranked, reported and browsed, no more")
        return self.plan
