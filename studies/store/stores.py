"""A store: opened once, asked for studies."""

import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from spaces.errors import did_you_mean
from studies.differences import differences
from studies.errors import StudyError
from studies.history import packed, unpacked
from studies.locks import Held
from studies.records import Direction, StudyRecord
from studies.store import formats, tables
from studies.store.access import Access, Answer
from studies.store.bulk import BulkStorage
from studies.store.databases import Database, Lock, parse
from studies.store.faults import explained
from studies.store.open_study import OpenStudy, attribute_of, read_study
from studies.store.servers import ServerDatabase
from studies.store.sqlite import SQLiteDatabase
from studies.store.view import Describe, View

_SEARCHING = "searching"


class Store:
    """Where studies live; made by `Store.open`."""

    def __init__(self, database: Database, engine: Engine) -> None:
        self._place = database.place
        self._access = Access(database, engine)

    @classmethod
    def open(cls, url: str, create: bool = True, read_only: bool = False) -> Self:
        """Open the store at a URL.

        Args:
            url: sqlite:///PATH or postgresql+psycopg://USER@HOST/DATABASE.
            create: Make it where it is missing.
            read_only: Let nothing be written, not even by Optuna's tools; for dashboards.

        Raises:
            StudyError: Code 2 where there is no store or none can be; 3 for one that is locked, damaged,
                of another version of Optuna, on a network disk, or out of reach.
        """
        address = parse(url)
        kind = SQLiteDatabase if address.get_backend_name() == "sqlite" else ServerDatabase
        database: Database = kind(address, read_only)
        may_make = create and not read_only
        with explained(database.place, database.secrets):
            database.prepare(may_make)
            _refuse_other_schema(database, may_make)
            engine = create_engine(database.url, **database.options())
        database.listen(engine)
        return cls(database, engine)

    @cached_property
    def storage(self) -> BulkStorage:
        """Optuna's view of the store, for Optuna's own tools; made when it is first asked for."""
        database = self._access.database
        with self._access.explained():
            return BulkStorage.over(self._access.engine, _template(database), database.options())

    def view(self, describe: Describe) -> View:
        """The store as a dashboard shows it.

        Args:
            describe: What to show of a study beside what is stored.
        """
        database = self._access.database
        with self._access.explained():
            view = View.over(self._access.engine, _template(database), database.options())
        view.describe = describe
        return view

    def names(self) -> tuple[str, ...]:
        """The names of all studies, oldest first."""
        return self._access.read(tables.study_names)

    def load(self, name: str) -> StudyRecord:
        """A study with all its trials, in one bulk read.

        Raises:
            StudyError: There is none of that name, or the store cannot be read.
        """
        return self._access.read(lambda session: read_study(session, self._place, name, self._find(session, name)))

    def attribute(self, name: str, key: str) -> Any:
        """A user attribute of a study, as it was set; None if it never was.

        Raises:
            StudyError: There is no such study, or the store cannot be read.
        """
        return self._access.read(lambda session: attribute_of(session, self._find(session, name), key))

    def optuna(self, name: str) -> optuna.Study:
        """The study as Optuna's own tools take it, with an empty cache.

        Raises:
            StudyError: There is none of that name, or the store cannot be read.
        """
        self._access.read(lambda session: self._find(session, name))
        with self._access.explained():
            return optuna.load_study(study_name=name, storage=self.storage)

    def begin(
        self, name: str, direction: Direction, fingerprint: Mapping[str, Any], about: Mapping[str, Any]
    ) -> OpenStudy:
        """Make a study, or resume it where it is there with the same fingerprint.

        Args:
            name: In the store.
            direction: Of the monitor.
            fingerprint: What must not change; see `plan.fingerprint`.
            about: What records tell: "monitor", "plan", "space", "data", and whatever else.

        Raises:
            StudyError: Code 2 with the differences; 3 where another process runs the study.
        """
        lock = self._lock(name)

        def change(session: Session, _again: bool) -> OpenStudy:
            study_id = tables.find_study(session, name)
            if study_id is None:
                study_id = tables.add_study(session, name, direction, about["monitor"])
                now = datetime.now(UTC).isoformat()
                born = {"uuid": uuid.uuid4().hex, "created": now, formats.KEY: formats.CURRENT}
                tables.put_study_attributes(session, study_id, {**born, "fingerprint": packed(fingerprint)})
            self._refuse_differences(session, study_id, name, direction, fingerprint)
            told = {key: packed(value) for key, value in about.items()}
            tables.put_study_attributes(session, study_id, {**told, "state": _SEARCHING})
            own = tables.study_attribute(session, study_id, "uuid")
            return OpenStudy(self._access, lock, name, study_id, own)

        return self._write_or_release(change, lock)

    def remove(self, name: str) -> None:
        """Delete a study with all its trials.

        Raises:
            StudyError: There is none of that name, or a process is running it.
        """
        lock = self._lock(name)
        self._write_or_release(lambda session, _: tables.delete_study(session, self._find(session, name)), lock)
        lock.release()

    def close(self) -> None:
        """Close all connections."""
        if "storage" in vars(self):
            self.storage.remove_session()
        self._access.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _find(self, session: Session, name: str) -> int:
        study_id = tables.find_study(session, name)
        if study_id is None:
            known = tables.study_names(session)
            hint = did_you_mean(name, known) if known else "; it holds no study yet"
            raise StudyError(f'{self._place}: no study "{name}"{hint}')
        return study_id

    def _lock(self, name: str) -> Lock:
        try:
            with self._access.explained():
                return self._access.database.lock(self._access.engine, name)
        except Held as holder:
            law = "wait for it or stop it"
            raise StudyError(f'{self._place}: the study "{name}" is run by {holder}; {law}', 3) from None

    def _write_or_release(self, change: Callable[[Session, bool], Answer], lock: Lock) -> Answer:
        try:
            return self._access.write(change)
        except BaseException:
            lock.release()
            raise

    def _refuse_differences(
        self, session: Session, study_id: int, name: str, direction: Direction, fingerprint: Mapping[str, Any]
    ) -> None:
        kept = tables.study_attribute(session, study_id, "fingerprint")
        formats.refuse_newer(tables.study_attribute(session, study_id, formats.KEY), self._place, name)
        if kept is None:
            raise StudyError(f'{self._place}: the study "{name}" was not made by toprung; choose another name')
        before = unpacked(kept)
        before.get("sampler", {}).pop("name", None)  # the first release held studies to it
        lines = differences(before, json.loads(json.dumps(fingerprint)))
        old = tables.study_direction(session, study_id)
        if old != direction:
            lines.append(f"direction: {old} in the store, {direction} in the file")
        if lines:
            law = "choose another name (--set name=NAME), or remove it first"
            raise StudyError("\n  ".join([f'{self._place}: the study "{name}" was begun otherwise; {law}:', *lines]))


def _refuse_other_schema(database: Database, create: bool) -> None:
    """See that Optuna's tables are there in this Optuna's version; make them on an empty server."""
    engine = create_engine(database.url, **database.options())
    try:
        found = _schema(engine)
        if found is None and create:
            found = _make_tables(database)
    finally:
        engine.dispose()
    if found is None:
        raise StudyError(f"{database.place}: holds no studies; toprung run makes a store")
    if found not in _known_schemas():
        law = "it was made by a newer Optuna: pip install -U optuna"
        raise StudyError(f"{database.place}: has an unknown schema ({found}); {law}", exit_code=3)
    if found != _known_schemas()[0]:
        law = f'copy it, then run: optuna storage upgrade --storage "{database.url.render_as_string()}"'
        raise StudyError(f"{database.place}: has the schema of an older Optuna ({found}); {law}", exit_code=3)


def _schema(engine: Engine) -> str | None:
    """The revision of Optuna's tables, None where there are none."""
    with engine.connect() as connection:
        if not {"studies", "alembic_version", "version_info"} <= set(inspect(connection).get_table_names()):
            return None
        revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return revision


def _make_tables(database: Database) -> str | None:
    """Make Optuna's tables; others may be at it at the same time, and one of us trips over the other."""
    for left in reversed(range(10)):
        try:
            storage = RDBStorage(_template(database), database.options())
        except SQLAlchemyError:
            if not left:
                raise
            time.sleep(0.3)
        else:
            revision = storage.get_current_version()
            storage.remove_session()
            storage.engine.dispose()
            return revision
    return None


@cache
def _known_schemas() -> list[str]:
    """Revisions of Optuna's tables, this Optuna's first.

    Read from the text of its migrations: to let Alembic import them takes longer than all else that opening does.
    """
    folder = Path(optuna.storages.__file__).parent / "_rdb" / "alembic" / "versions"
    found = [dict(_REVISION.findall(path.read_text(encoding="utf-8"))) for path in folder.glob("*.py")]
    later = {one.get("down_revision"): one["revision"] for one in found}
    revisions = [later[None]]
    while revisions[-1] in later:
        revisions.append(later[revisions[-1]])
    return revisions[::-1]


_REVISION = re.compile(r'^(revision|down_revision) = "(.+)"$', re.MULTILINE)


def _template(database: Database) -> str:
    """The URL as RDBStorage takes it: it fills in braces, so ours are doubled."""
    url = database.url.render_as_string(hide_password=False)
    return url.replace("{", "{{").replace("}", "}}")
