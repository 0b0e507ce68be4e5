"""A study that this process alone may write."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from types import MappingProxyType
from typing import Any, Self

import optuna
from optuna.distributions import BaseDistribution
from sqlalchemy.orm import Session

from spaces.parameters import Params
from studies.errors import StudyError
from studies.history import FIXED, PAUSED, packed, study_record, unpacked
from studies.locks import Held
from studies.records import StudyRecord, TrialRecord, TrialState
from studies.store import formats, tables
from studies.store.access import Access
from studies.store.databases import Lock
from studies.store.faults import told_damage
from studies.store.reading import no_garbage, read_trials

_FINAL = {
    "complete": optuna.trial.TrialState.COMPLETE,
    "pruned": optuna.trial.TrialState.PRUNED,
    "failed": optuna.trial.TrialState.FAIL,
}


Change = Callable[[Session, bool], Any]
"""A part of a transaction.

It is told whether this is another try, the first of which may have been committed without our hearing of it.
"""


class OpenStudy:
    """A study under this process's lock; made by `Store.begin`.

    `commit` makes changes in one transaction, and none once the study was deleted, renamed or made anew by another
    program. Changes are a `creation`, a `writing` or a `setting`.

    Attributes:
        name: In the store.
        uuid: Of this study and no later one of the same name.
    """

    def __init__(self, access: Access, lock: Lock, name: str, study_id: int, uuid: str) -> None:
        self.name = name
        self.uuid = uuid
        self._access = access
        self._lock = lock
        self._study_id = study_id
        self._trial_ids: dict[int, int] = {}

    def set(self, key: str, value: Any) -> None:
        """Set a user attribute of the study; long lists and dicts become JSON text.

        Raises:
            StudyError: The store cannot be written, or the study is gone.
        """
        self.commit([self.setting(key, value)])

    def commit(self, changes: Sequence[Change]) -> list[Any]:
        """Make changes in the order given, in one transaction: all of them, or nothing.

        Returns:
            What each gives: a `creation` the number of its trial, the others nothing.

        Raises:
            StudyError: The store cannot be written, the study is gone, or a trial has ended.
        """

        def change(session: Session, again: bool) -> list[Any]:
            self._confirm(session)
            return [one(session, again) for one in changes]

        return self._access.write(change)

    def creation(
        self, params: Params, distributions: Mapping[str, BaseDistribution], bracket: int | None = None
    ) -> Change:
        """For `commit`: a new running trial, numbered by its place in the study.

        Args:
            params: All its params.
            distributions: Of those that vary; the others are kept apart, out of Optuna's sight.
            bracket: Of the ladder.
        """
        fixed = {name: value for name, value in params.items() if name not in distributions}
        user = {} if bracket is None else {"bracket": bracket}
        expected: int | None = None

        def change(session: Session, again: bool) -> int:
            nonlocal expected
            number = tables.count_trials(session, self._study_id)
            if again and expected is not None and number > expected:  # the first try had been committed
                return expected
            expected = number
            trial_id = tables.add_trial(session, self._study_id, number, params, distributions)
            tables.put_trial_attributes(session, trial_id, user, {FIXED: fixed} if fixed else {})
            self._trial_ids[number] = trial_id
            return number

        return change

    def writing(
        self,
        number: int,
        values: Mapping[int, float] = MappingProxyType({}),
        user: Mapping[str, Any] = MappingProxyType({}),
        system: Mapping[str, Any] = MappingProxyType({}),
        state: TrialState | None = None,
        value: float | None = None,
    ) -> Change:
        """For `commit`: a change of a trial that has not ended.

        Args:
            number: Of the trial.
            values: Epoch, from 1, to the monitor after it.
            user: Attributes that dashboards show; see `history.user_attributes`.
            system: Attributes that they do not; see `history.system_attributes`.
            state: How it stands from now on; None leaves it as it is.
            value: What it is ranked by, for a state that ends it.

        Raises:
            ValueError: A complete trial without a finite value.
        """
        if state == "complete" and (value is None or not isfinite(value)):
            raise ValueError(f"a complete trial has a finite value (value = {value})")
        if state in ("paused", "running"):
            system = {**system, PAUSED: state == "paused"}

        def change(session: Session, again: bool) -> None:
            trial_id = self._running_trial(session, number, _FINAL.get(state or "") if again else None)
            if trial_id is None:  # the first try had been committed
                return
            tables.put_trial_values(session, trial_id, values)
            tables.put_trial_attributes(session, trial_id, user, system)
            if state in _FINAL:
                tables.end_trial(session, trial_id, _FINAL[state], value)

        return change

    def setting(self, key: str, value: Any) -> Change:
        """For `commit`: a user attribute of the study."""

        def change(session: Session, _again: bool) -> None:
            tables.put_study_attributes(session, self._study_id, {key: packed(value)})

        return change

    def attribute(self, key: str) -> Any:
        """A user attribute of the study, as it was set; None if it never was.

        Raises:
            StudyError: The store cannot be read, or the study is gone.
        """

        def query(session: Session) -> Any:
            self._confirm_still_there(session)
            return attribute_of(session, self._study_id, key)

        return self._access.read(query)

    def load(self) -> StudyRecord:
        """The study as the store has it now.

        Raises:
            StudyError: The store cannot be read, or the study is gone.
        """

        def query(session: Session) -> StudyRecord:
            self._confirm_still_there(session)
            return read_study(session, self._place, self.name, self._study_id)

        return self._access.read(query)

    def records(self) -> list[TrialRecord]:
        """Its trials as the store has them now, by number, in one bulk read."""
        return list(self.load().trials)

    def close(self) -> None:
        """Let another process write the study."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _confirm(self, session: Session) -> None:
        """See that the study is still ours: a server that was away may have given our lock to someone else."""
        try:
            self._lock.check()
        except Held as holder:
            raise StudyError(f'{self._place}: {holder} took over the study "{self.name}"', 3) from None
        self._confirm_still_there(session)

    def _confirm_still_there(self, session: Session) -> None:
        """Ids and names are used again, so only the uuid tells that this is still our study."""
        name, uuid = tables.lock_study(session, self._study_id)
        if name is None or uuid != self.uuid:
            raise StudyError(f'{self._place}: the study "{self.name}" was deleted while it was in use', 3)
        if name != self.name:
            raise StudyError(f'{self._place}: the study "{self.name}" was renamed to "{name}" in use', 3)

    def _running_trial(self, session: Session, number: int, accepted: Any) -> int | None:
        """The id of a trial that has not ended; None for one that has ended in the accepted state."""
        trial = tables.find_trial(session, self._study_id, number, self._trial_ids.get(number))
        if trial is None:
            raise StudyError(f'{self._place}: the study "{self.name}" has no trial {number}', 3)
        self._trial_ids[number] = trial.trial_id
        if trial.state == accepted:
            return None
        if trial.state.is_finished():
            raise StudyError(f"{self._place}: trial {number} was ended by another program", 3)
        return trial.trial_id

    @property
    def _place(self) -> str:
        return self._access.database.place


def attribute_of(session: Session, study_id: int, key: str) -> Any:
    """A user attribute of a study as it was set: lists and dicts may have been packed as text."""
    value = tables.study_attribute(session, study_id, key)
    return unpacked(value) if isinstance(value, str) and value[:1] in "[{" else value


def read_study(session: Session, place: str, name: str, study_id: int) -> StudyRecord:
    """A study as the database has it.

    Raises:
        StudyError: Another version of toprung wrote it, or what it holds is damaged (exit code 3).
    """
    with told_damage(place, name), no_garbage():
        direction = tables.study_direction(session, study_id)
        attributes = tables.study_attributes(session, study_id)
        formats.refuse_newer(attributes.get(formats.KEY), place, name)
        metric = tables.metric_name(session, study_id)
        return study_record(name, attributes, direction, metric, read_trials(session, study_id))
