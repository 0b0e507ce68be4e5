"""All trials of a study in one bulk read, in whatever transaction the caller holds.

Optuna's own methods read by the trial and build an object for each row: at ten thousand trials of thirty
epochs that takes minutes. These take seconds, and give what Optuna's would.
"""

import gc
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy import Select, bindparam, exists, select
from sqlalchemy.orm import Session

from studies.history import HISTORY, Curves

Values = Mapping[Any, Any]
ByTrial = Mapping[int, Values]

_TRIALS = models.TrialModel.__table__.c
_PARAMS = models.TrialParamModel.__table__.c
_USER = models.TrialUserAttributeModel.__table__.c
_SYSTEM = models.TrialSystemAttributeModel.__table__.c
_VALUES = models.TrialValueModel.__table__.c
_REPORTED = models.TrialIntermediateValueModel.__table__.c

_OF_THE_STUDY = _TRIALS.study_id == bindparam("study")
_HAS_HISTORY = exists().where(_SYSTEM.trial_id == _TRIALS.trial_id, _SYSTEM.key == HISTORY)


def _of_trials(columns: Iterable[Any], trial_id: Any, *conditions: Any) -> Select[Any]:
    """Rows of one of the tables that hang on trials, for the trials of a study."""
    trials = select(_TRIALS.trial_id).where(_OF_THE_STUDY, *conditions)
    return select(*columns).where(trial_id.in_(trials))


_READ_TRIALS = (
    select(_TRIALS.trial_id, _TRIALS.number, _TRIALS.state, _TRIALS.datetime_start, _TRIALS.datetime_complete)
    .where(_OF_THE_STUDY)
    .order_by(_TRIALS.number)
)
_READ_PARAMS = _of_trials(
    (_PARAMS.trial_id, _PARAMS.param_name, _PARAMS.param_value, _PARAMS.distribution_json), _PARAMS.trial_id
).order_by(_PARAMS.param_id)
_READ_USER = _of_trials((_USER.trial_id, _USER.key, _USER.value_json), _USER.trial_id)
_READ_SYSTEM = _of_trials((_SYSTEM.trial_id, _SYSTEM.key, _SYSTEM.value_json), _SYSTEM.trial_id)
_READ_VALUES = _of_trials(
    (_VALUES.trial_id, _VALUES.objective, _VALUES.value, _VALUES.value_type), _VALUES.trial_id
).order_by(_VALUES.objective)
_REPORTED_COLUMNS = (
    _REPORTED.trial_id, _REPORTED.step, _REPORTED.intermediate_value, _REPORTED.intermediate_value_type,
)  # fmt: skip
_READ_REPORTED = _of_trials(_REPORTED_COLUMNS, _REPORTED.trial_id)
_READ_REPORTED_ONLY = _of_trials(_REPORTED_COLUMNS, _REPORTED.trial_id, ~_HAS_HISTORY)


def read_trials(session: Session, study_id: int, *, for_optuna: bool = False) -> list[FrozenTrial]:
    """All trials of a study by number.

    Args:
        session: In a transaction.
        study_id: Of the study.
        for_optuna: Give all that Optuna itself would give. Otherwise histories are `Curves`, and reported values are
            left out of trials that have one: at ten thousand trials of thirty epochs they are most of the rows.
    """
    params = _read_params(session, study_id)
    user = _read_attributes(session, study_id, _READ_USER)
    system = _read_system_attributes(session, study_id, for_optuna)
    values = _read_numbers(session, study_id, _READ_VALUES, models.TrialValueModel.stored_repr_to_value)
    convert = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
    reported = _read_numbers(session, study_id, _READ_REPORTED if for_optuna else _READ_REPORTED_ONLY, convert)
    return [
        _trial(row, params[row.trial_id], values[row.trial_id], reported[row.trial_id],
               user[row.trial_id], system[row.trial_id])
        for row in _rows(session, study_id, _READ_TRIALS)
    ]  # fmt: skip


@contextmanager
def no_garbage() -> Iterator[None]:
    """Let Python not look for garbage in a bulk read: it would search millions of new values, again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _trial(
    row: Any,
    params: Mapping[str, tuple[BaseDistribution, Any]],
    values: Mapping[int, float],
    reported: dict[int, float],
    user: dict[str, Any],
    system: dict[str, Any],
) -> FrozenTrial:
    return FrozenTrial(
        number=row.number,
        state=row.state,
        value=None,
        values=list(values.values()) or None,
        datetime_start=_local(row.datetime_start),
        datetime_complete=_local(row.datetime_complete),
        params={name: value for name, (_, value) in params.items()},
        distributions={name: kind for name, (kind, _) in params.items()},
        user_attrs=user,
        system_attrs=system,
        intermediate_values=reported,
        trial_id=row.trial_id,
    )


def _rows(session: Session, study_id: int, query: Select[Any]) -> Sequence[Any]:
    # By the connection, for a session would look at every row once more; and all at once, which is faster.
    return session.connection().execute(query, {"study": study_id}).all()


def _read_params(session: Session, study_id: int) -> ByTrial:
    found: dict[int, dict[str, tuple[BaseDistribution, Any]]] = defaultdict(dict)
    for trial, name, stored, text in _rows(session, study_id, _READ_PARAMS):
        kind = _distribution(text)
        found[trial][name] = kind, kind.to_external_repr(stored)
    return found


def _read_system_attributes(session: Session, study_id: int, for_optuna: bool) -> Any:
    if for_optuna:
        return _read_attributes(session, study_id, _READ_SYSTEM)
    found = _read_attributes(session, study_id, _READ_SYSTEM.where(_SYSTEM.key != HISTORY))
    for trial, _, text in _rows(session, study_id, _READ_SYSTEM.where(_SYSTEM.key == HISTORY)):
        found[trial][HISTORY] = Curves(text)
    return found


def _read_attributes(session: Session, study_id: int, query: Select[Any]) -> Any:
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    rows = _rows(session, study_id, query)
    values = json.loads(f"[{','.join(text for _, _, text in rows)}]")  # one call: parsing each takes five times as long
    for (trial, key, _), value in zip(rows, values, strict=True):
        found[trial][key] = value
    return found


def _read_numbers(session: Session, study_id: int, query: Select[Any], convert: Callable[..., float]) -> Any:
    """By trial, and by objective or step; `convert` says which infinity, or NaN, is meant where there is no number."""
    found: dict[int, dict[int, float]] = defaultdict(dict)
    for trial, place, value, kind in _rows(session, study_id, query):
        found[trial][place] = convert(value, kind) if value is None else value
    return found


def _local(moment: datetime | None) -> datetime | None:
    """Stored moments are naive UTC; Optuna hands out naive local time."""
    return moment and moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


@lru_cache(maxsize=4096)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)
