"""Optuna's tables, looked into and written, in whatever transaction the caller holds.

Optuna's own methods commit one value at a time; these don't commit, and leave rows that every Optuna tool
reads. What a search does after every epoch are statements made once, by SQLAlchemy's Core: building them, and
objects for rows, would take several times as long as the database does.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy import Table, UniqueConstraint, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from studies.records import Direction

METRIC_NAMES = "study:metric_names"  # what Study.set_metric_names writes

_STUDIES = models.StudyModel.__table__.c
_STUDY_USER = models.StudyUserAttributeModel.__table__.c
_TRIALS = models.TrialModel.__table__.c


class TrialRow(NamedTuple):
    """A trial as the database has it."""

    trial_id: int
    state: TrialState


def study_names(session: Session) -> tuple[str, ...]:
    """The names of all studies, oldest first."""
    return tuple(session.scalars(select(models.StudyModel.study_name).order_by(models.StudyModel.study_id)))


def find_study(session: Session, name: str) -> int | None:
    """The id of a study."""
    return session.scalar(select(models.StudyModel.study_id).where(models.StudyModel.study_name == name))


def lock_study(session: Session, study_id: int) -> tuple[str | None, str | None]:
    """The name of a study and its uuid, None where it is gone; a server keeps others from changing it meanwhile."""
    row = session.connection().execute(_LOCK_STUDY, {"study": study_id}).first()
    return (None, None) if row is None else (row.study_name, row.uuid and json.loads(row.uuid))


_UUID = select(_STUDY_USER.value_json).where(_STUDY_USER.study_id == _STUDIES.study_id, _STUDY_USER.key == "uuid")
_LOCK_STUDY = (
    select(_STUDIES.study_name, _UUID.scalar_subquery().label("uuid"))
    .where(_STUDIES.study_id == bindparam("study"))
    .with_for_update()
)


def study_direction(session: Session, study_id: int) -> Direction:
    """The direction of a study's first objective; "minimize" where none is set."""
    table = models.StudyDirectionModel
    query = select(table.direction).where(table.study_id == study_id).order_by(table.objective)
    return "maximize" if session.scalars(query).first() == StudyDirection.MAXIMIZE else "minimize"


def study_attributes(session: Session, study_id: int) -> dict[str, Any]:
    """The user attributes of a study."""
    table = models.StudyUserAttributeModel
    rows = session.execute(select(table.key, table.value_json).where(table.study_id == study_id))
    return {key: json.loads(text) for key, text in rows}


def study_attribute(session: Session, study_id: int, key: str) -> Any:
    """One user attribute of a study, None where it has none of that name."""
    table = models.StudyUserAttributeModel
    text = session.scalar(select(table.value_json).where(table.study_id == study_id, table.key == key))
    return None if text is None else json.loads(text)


def metric_name(session: Session, study_id: int) -> str | None:
    """The name of a study's first objective, where one was set."""
    table = models.StudySystemAttributeModel
    query = select(table.value_json).where(table.study_id == study_id, table.key == METRIC_NAMES)
    text = session.scalar(query)
    return json.loads(text)[0] if text else None


def add_study(session: Session, name: str, direction: str, metric: str) -> int:
    """A new study with one objective.

    Returns:
        Its id.
    """
    study = models.StudyModel(study_name=name)
    study.directions = [models.StudyDirectionModel(objective=0, direction=StudyDirection[direction.upper()])]
    session.add(study)
    session.flush()
    study_id = int(study.study_id)
    row = models.StudySystemAttributeModel(study_id=study_id, key=METRIC_NAMES, value_json=json.dumps([metric]))
    session.add(row)
    return study_id


def put_study_attributes(session: Session, study_id: int, values: Mapping[str, Any]) -> None:
    """Set user attributes of a study; nothing is written where nothing changes, so that a reader may open a study."""
    texts = {key: json.dumps(value) for key, value in values.items()}
    query = select(_STUDY_USER.key, _STUDY_USER.value_json)
    query = query.where(_STUDY_USER.study_id == study_id, _STUDY_USER.key.in_(list(texts)))
    there = {key: text for key, text in session.connection().execute(query)}  # noqa: C416
    rows = [
        {"study_id": study_id, "key": key, "value_json": text} for key, text in texts.items() if there.get(key) != text
    ]
    _put(session, models.StudyUserAttributeModel, rows)


def count_trials(session: Session, study_id: int) -> int:
    """How many trials a study has, which is the number of its next one."""
    return session.connection().scalar(_COUNT_TRIALS, {"study": study_id}) or 0


_COUNT_TRIALS = select(func.count()).where(_TRIALS.study_id == bindparam("study"))


def add_trial(
    session: Session,
    study_id: int,
    number: int,
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
) -> int:
    """A new running trial with the params that have a distribution.

    Returns:
        Its id.
    """
    row = {"study_id": study_id, "number": number, "state": TrialState.RUNNING, "datetime_start": _now()}
    added = session.connection().execute(_ADD_TRIAL, row).inserted_primary_key
    assert added is not None
    rows = [
        {
            "trial_id": added[0],
            "param_name": name,
            "param_value": distribution.to_internal_repr(params[name]),
            "distribution_json": distribution_to_json(distribution),
        }
        for name, distribution in distributions.items()
    ]
    if rows:
        session.connection().execute(_ADD_PARAMS, rows)
    return int(added[0])


_ADD_TRIAL = insert(models.TrialModel.__table__)
_ADD_PARAMS = insert(models.TrialParamModel.__table__)


def find_trial(session: Session, study_id: int, number: int, trial_id: int | None = None) -> TrialRow | None:
    """A trial, None where there is no such number; a server locks it.

    Args:
        session: In a transaction.
        study_id: Of its study.
        number: Its number.
        trial_id: Its id where it is known: numbers have no index.
    """
    values = {"study": study_id, "number": number, "trial": trial_id}
    row = session.connection().execute(_FIND_TRIAL if trial_id is None else _FIND_KNOWN_TRIAL, values).first()
    return None if row is None else TrialRow(*row)


_FIND_TRIAL = (
    select(_TRIALS.trial_id, _TRIALS.state)
    .where(_TRIALS.study_id == bindparam("study"), _TRIALS.number == bindparam("number"))
    .with_for_update()
)
_FIND_KNOWN_TRIAL = _FIND_TRIAL.where(_TRIALS.trial_id == bindparam("trial"))


def put_trial_values(session: Session, trial_id: int, values: Mapping[int, float]) -> None:
    """Set the reported value of some epochs."""
    table = models.TrialIntermediateValueModel
    rows = []
    for epoch, value in values.items():
        stored, kind = table.intermediate_value_to_stored_repr(value)
        rows.append(
            {"trial_id": trial_id, "step": epoch, "intermediate_value": stored, "intermediate_value_type": kind}
        )
    _put(session, table, rows)


def put_trial_attributes(session: Session, trial_id: int, user: Mapping[str, Any], system: Mapping[str, Any]) -> None:
    """Set user and system attributes of a trial."""
    for table, values in (
        (models.TrialUserAttributeModel, user),
        (models.TrialSystemAttributeModel, system),
    ):
        rows = [{"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in values.items()]
        _put(session, table, rows)


def end_trial(session: Session, trial_id: int, state: TrialState, value: float | None) -> None:
    """Give a trial its final state and, unless it failed, its value."""
    if value is not None and state != TrialState.FAIL:
        stored, kind = models.TrialValueModel.value_to_stored_repr(value)
        row = {"trial_id": trial_id, "objective": 0, "value": stored, "value_type": kind}
        _put(session, models.TrialValueModel, [row])
    ended = {"trial": trial_id, "state": state, "datetime_complete": _now()}
    session.connection().execute(_END_TRIAL, ended)


_END_TRIAL = update(models.TrialModel.__table__).where(_TRIALS.trial_id == bindparam("trial"))


def delete_study(session: Session, study_id: int) -> None:
    """Delete a study with everything that belongs to it, table by table instead of row by row."""
    trials = select(models.TrialModel.trial_id).where(models.TrialModel.study_id == study_id)
    mappers = [mapper.class_ for mapper in models.BaseModel.registry.mappers]
    for table in mappers:
        if hasattr(table, "trial_id") and table is not models.TrialModel:
            session.execute(delete(table).where(table.trial_id.in_(trials)), _ANY_ORDER)
    for table in mappers:
        if hasattr(table, "study_id") and table is not models.StudyModel:
            session.execute(delete(table).where(table.study_id == study_id), _ANY_ORDER)
    session.execute(delete(models.StudyModel).where(models.StudyModel.study_id == study_id), _ANY_ORDER)


_ANY_ORDER = {"execution_options": {"synchronize_session": False}}


def _put(session: Session, model: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, or update those that are there; all have the same columns."""
    if rows:
        connection = session.connection()
        connection.execute(_upsert(model.__table__, connection.dialect.name), rows)


@lru_cache
def _upsert(table: Table, dialect: str) -> Any:
    """Each of these tables has one unique constraint: whose row it is, and which of its rows."""
    insert_into: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[dialect]
    unique = next(one for one in table.constraints if isinstance(one, UniqueConstraint))
    statement = insert_into(table)
    kept = {*unique.columns.keys(), *table.primary_key.columns.keys()}
    changed = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in kept}
    return statement.on_conflict_do_update(index_elements=list(unique.columns), set_=changed)


def _now() -> datetime:
    """As Optuna stores a moment: UTC, without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)
