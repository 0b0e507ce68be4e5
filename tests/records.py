"""Records made by hand, for tests of what is made of them."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from spaces.parameters import Params, Scalar
from studies.records import RetrainRecord, StudyRecord, TestScore, TrialRecord

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def record(
    number: int = 0,
    state: str = "complete",
    epochs: int = 27,
    value: float | None = None,
    test_accuracy: float | None = None,
    gap: float | None = None,
    gap_se: float | None = 0.01,
    params: Params | None = None,
    **more: Any,
) -> TrialRecord:
    """A trial with plausible values; metrics are given by name, `val_accuracy=0.9`."""
    names = [name for name in more if name.startswith(("train_", "val_", "test_"))]
    metrics = {name: more.pop(name) for name in names}
    tested = {name: metrics.pop(name) for name in names if name.startswith("test_")}
    value = metrics.get("val_accuracy") if value is None else value
    if test_accuracy is not None:
        tested["test_accuracy"] = test_accuracy
        gap = gap if gap is not None or value is None else value - test_accuracy
    more.setdefault("test", TestScore(tested, gap, gap_se if gap is not None else None) if tested else None)
    more.setdefault("best_epoch", epochs if value is not None else None)
    more.setdefault("bracket", 0)
    more.setdefault("started", START + timedelta(seconds=number))
    more.setdefault("ended", START + timedelta(seconds=number + 10) if state != "running" else None)
    more.setdefault("rungs", {rung: value for rung in (1, 3, 9, 27) if rung <= epochs and value is not None})
    return TrialRecord(number, state, params or {}, epochs=epochs, value=value, metrics=metrics, **more)


def without_times(record: TrialRecord) -> TrialRecord:
    return replace(record, started=None, ended=None)


def retrained(trial: int = 0, seed: int = 0, data: str = "train+validation", **more: Any) -> RetrainRecord:
    """A retraining; metrics are given by name, `test_accuracy=0.9`."""
    names = [name for name in more if name.startswith(("train_", "val_", "test_"))]
    metrics = {name: more.pop(name) for name in names}
    return RetrainRecord(trial, data, more.pop("epochs", 27), seed, metrics, **more)


def study(
    trials: Iterable[TrialRecord] = (),
    retrained: Iterable[RetrainRecord] = (),
    monitor: str = "val_accuracy",
    **more: Any,
) -> StudyRecord:
    """A finished study of these trials, 27 epochs at most, 360 validation and 360 test examples."""
    plan: dict[str, Scalar | dict[str, Scalar]] = {
        "name": "digits",
        "space": "mlp",
        "data": {"source": "digits", "validation": 0.2, "seed": 0},
        "hyperband": {"min_resource": 1, "max_resource": 27, "reduction_factor": 3},
        "sampler": {"name": "tpe", "seed": 0},
    }
    fields: dict[str, Any] = {
        "name": "digits",
        "uuid": "0b6f",
        "direction": "minimize" if monitor == "val_loss" else "maximize",
        "monitor": monitor,
        "plan": plan,
        "space": {"model": "mlp", "parameters": {}},
        "data": {"hash": "sha256:5f3a", "n_train": 1077, "n_validation": 360, "n_test": 360, "classes": 10},
        "state": "finished",
        "created": START,
    }
    return StudyRecord(trials=tuple(trials), retrained=tuple(retrained), **(fields | more))
