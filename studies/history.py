"""Optuna's trials to records, and back to the attributes that carry what Optuna has no place for.

A trial of toprung has these user attributes, which dashboards show as columns: bracket, epochs,
best_epoch, weights, seconds, reason, and each metric at the best epoch. Its system attributes hold the
whole history, the value at each rung, whether it is paused, and the parameters that do not vary.
Trials that other programs wrote are read as well, with what Optuna itself knows about them.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from studies import records
from studies.records import Direction, RetrainRecord, StudyRecord, TestScore, TrialRecord, sign_of

PAUSED = "toprung:paused"
HISTORY = "toprung:history"
RUNGS = "toprung:rungs"
FIXED = "toprung:fixed"
RETRAINED = "retrained"

_COLUMNS = ("bracket", "epochs", "best_epoch", "weights", "seconds", "reason")
_TEST_FACTS = ("n_test", "test_hash")  # known once the test split was opened
_LONG_AGO = datetime.fromtimestamp(0)  # when a study without trials was made, for all that another program tells
_LONGEST_SHOWN = 1000  # dashboards cut longer JSON; text they show in full
_STATES: dict[TrialState, records.TrialState] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


class Curves(Mapping[str, tuple[float, ...]]):
    """A trial's history as the store holds it, parsed when it is first looked at.

    The histories of ten thousand trials take longer to parse than all the rest, and most readers want none of them.

    Args:
        text: A JSON object of lists, one value a completed epoch.
    """

    __slots__ = ("_curves", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._curves: dict[str, tuple[float, ...]] | None = None

    def __getitem__(self, metric: str) -> tuple[float, ...]:
        return self._parsed()[metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed())

    def __len__(self) -> int:
        return len(self._parsed())

    def __repr__(self) -> str:
        return repr(self._parsed())

    def _parsed(self) -> dict[str, tuple[float, ...]]:
        if self._curves is None:
            self._curves = {name: tuple(curve) for name, curve in json.loads(self._text).items()}
        return self._curves


def user_attributes(record: TrialRecord) -> dict[str, Any]:
    """What a trial shows in every Optuna tool; only what is known, and only finite numbers."""
    values = {name: getattr(record, name) for name in _COLUMNS} | record.metrics
    return {name: value for name, value in values.items() if value is not None and _storable(value)}


def system_attributes(record: TrialRecord) -> dict[str, Any]:
    """What a trial carries besides: its history, its rungs, and whether it is paused."""
    return {
        PAUSED: record.state == "paused",
        HISTORY: {name: list(curve) for name, curve in record.history.items()},
        RUNGS: {str(rung): value for rung, value in record.rungs.items()},
    }


def test_attribute(number: int) -> str:
    """The study's user attribute that holds a trial's test score (finished trials cannot change)."""
    return f"test:{number}"


def test_columns(attributes: Mapping[str, Any]) -> dict[int, dict[str, float]]:
    """Test scores as attributes of trials: number to "test_accuracy", "test_loss", ..., "gap" and "gap_se".

    Args:
        attributes: The study's user attributes.
    """
    found = {}
    for key, value in attributes.items():
        kind, _, number = key.partition(":")
        if kind == "test" and number.isdecimal():
            score = TestScore(**unpacked(value))
            gap = {"gap": score.gap, "gap_se": score.gap_se}
            found[int(number)] = score.metrics | {name: size for name, size in gap.items() if size is not None}
    return found


def packed(value: Any) -> Any:
    """A value as a study's user attribute: plain JSON, and long lists and dicts as JSON text."""
    text = json.dumps(value, default=_plain)
    return text if len(text) > _LONGEST_SHOWN and not isinstance(value, str) else json.loads(text)


def unpacked(value: Any) -> Any:
    """The list or dict that an attribute holds, whether it was packed as text or not."""
    return json.loads(value) if isinstance(value, str) else value


def trial_records(
    trials: Iterable[FrozenTrial], monitor: str, direction: Direction, attributes: Mapping[str, Any]
) -> tuple[TrialRecord, ...]:
    """Records of all trials that have begun.

    Args:
        trials: As Optuna or the store gives them.
        monitor: The metric that ranks trials.
        direction: Of the monitor.
        attributes: The study's user attributes; the test scores are among them.
    """
    begun = (trial for trial in trials if trial.state in _STATES)
    return tuple(
        trial_record(trial, monitor, direction, attributes.get(test_attribute(trial.number))) for trial in begun
    )


def trial_record(trial: FrozenTrial, monitor: str, direction: Direction, test: Any = None) -> TrialRecord:
    """What one trial of Optuna says.

    Args:
        trial: A trial that has begun.
        monitor: The metric that ranks trials.
        direction: Of the monitor.
        test: Its test score as the study's attribute holds it.
    """
    system = trial.system_attrs
    is_own = HISTORY in system
    user = trial.user_attrs if is_own else _of_other_programs(trial.user_attrs)
    history = _history(trial, monitor)
    epochs, best_epoch, best = _reached(user, history, monitor, direction)
    value = trial.values[0] if trial.values else best
    if not is_own and value != best:  # its last one, for example
        best_epoch = next((epoch for epoch, one in enumerate(history.get(monitor, ()), 1) if one == value), None)
    time_taken = None if is_own else trial.duration
    state = _STATES[trial.state]
    return TrialRecord(
        number=trial.number,
        state="paused" if state == "running" and system.get(PAUSED) else state,
        params={**trial.params, **system.get(FIXED, {})},
        bracket=user.get("bracket"),
        epochs=epochs,
        value=value,
        best_epoch=best_epoch,
        metrics={name: value for name, value in user.items() if _is_metric(name, value)},
        history=history,
        rungs={int(rung): value for rung, value in system.get(RUNGS, {}).items()},
        weights=user.get("weights"),
        seconds=user.get("seconds", time_taken.total_seconds() if time_taken else 0.0),
        reason=user.get("reason"),
        test=TestScore(**unpacked(test)) if test is not None else None,
        started=trial.datetime_start and trial.datetime_start.astimezone(),
        ended=trial.datetime_complete and trial.datetime_complete.astimezone(),
    )


def study_record(
    name: str,
    attributes: Mapping[str, Any],
    direction: Direction,
    metric: str | None,
    trials: Sequence[FrozenTrial],
) -> StudyRecord:
    """What the store holds about one study.

    Args:
        name: The study's name.
        attributes: Its user attributes.
        direction: Of its (first) objective.
        metric: The name of its objective, where it has one.
        trials: All its trials.
    """
    monitor = attributes.get("monitor") or metric or "value"
    starts = [trial.datetime_start for trial in trials if trial.datetime_start]
    created = attributes.get("created")
    return StudyRecord(
        name=name,
        uuid=attributes.get("uuid", ""),
        direction=direction,
        monitor=monitor,
        plan=unpacked(attributes.get("plan", {})),
        space=unpacked(attributes.get("space", {})),
        data=unpacked(attributes.get("data", {})) | {key: attributes[key] for key in _TEST_FACTS if key in attributes},
        state=attributes.get("state", "finished"),
        created=datetime.fromisoformat(created) if created else min(starts, default=_LONG_AGO).astimezone(),
        trials=trial_records(trials, monitor, direction, attributes),
        retrained=tuple(RetrainRecord(**row) for row in unpacked(attributes.get(RETRAINED, []))),
    )


def _history(trial: FrozenTrial, monitor: str) -> Mapping[str, tuple[float, ...]]:
    told = trial.system_attrs.get(HISTORY)
    if isinstance(told, Curves):
        return told
    if told is not None:
        return {name: tuple(curve) for name, curve in told.items()}
    reported = trial.intermediate_values
    return {monitor: tuple(reported[step] for step in sorted(reported))} if reported else {}


def _reached(
    user: Mapping[str, Any], history: Mapping[str, Sequence[float]], monitor: str, direction: Direction
) -> tuple[int, int | None, float | None]:
    """Epochs, the best of them and the monitor there: by the attributes where they tell, which need no parsing."""
    if "epochs" in user and "best_epoch" in user and _is_metric(monitor, user.get(monitor)):
        return user["epochs"], user["best_epoch"], user[monitor]
    best, best_epoch = _best(history.get(monitor, ()), direction)
    epochs = user.get("epochs", max(map(len, history.values()), default=0))
    return epochs, user.get("best_epoch", best_epoch), best


def _of_other_programs(user: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes without those that have a name of ours for something else, such as weights = "model.h5"."""
    kinds: dict[str, tuple[type, ...]] = dict.fromkeys(_COLUMNS, (int,))
    kinds |= {"seconds": (int, float), "reason": (str,)}
    return {name: value for name, value in user.items() if type(value) in kinds.get(name, (type(value),))}


def _best(curve: Sequence[float], direction: Direction) -> tuple[float | None, int | None]:
    """The best finite value and the epoch, from 1, at which it was first reached."""
    sign = sign_of(direction)
    finite = [(sign * value, -epoch) for epoch, value in enumerate(curve, 1) if math.isfinite(value)]
    if not finite:
        return None, None
    value, epoch = max(finite)
    return sign * value, -epoch


def _is_metric(name: str, value: Any) -> bool:
    return name not in _COLUMNS and isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    """Records as dicts, NumPy's numbers as Python's."""
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value.item()


def _storable(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
