"""Stores that are a SQLite file: where it may lie, how it is made, checked, and connected to."""

import contextlib
import os
import re
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from optuna.storages import RDBStorage
from sqlalchemy import URL, Connection, Engine, event, make_url

from studies.errors import StudyError
from studies.files import sqlite_url
from studies.locks import FileLock, Held
from studies.store.faults import BUSY_SECONDS, explained

READING = "toprung_reading"
"""Execution option of connections that only read: they must not queue for the one write lock."""

_NETWORK_FILE_SYSTEMS = (
    "nfs", "cifs", "smb", "ncpfs", "afs", "9p", "ceph", "glusterfs", "lustre", "beegfs", "gpfs", "fuse.",
)  # fmt: skip
_WAL_IS_SAFE = sqlite3.sqlite_version_info >= (3, 51, 3)  # earlier ones can corrupt it: walresetbug


def path_of(url: URL) -> Path:
    """The file that a SQLite URL names.

    Raises:
        StudyError: The URL names no file, or carries options.
    """
    if not url.database or url.database == ":memory:":
        raise StudyError(f"{url}: a store in memory would be lost; name a file: sqlite:///runs/studies.db")
    if url.query or url.database.startswith("file:"):
        raise StudyError(f"{url}: a sqlite URL takes no options here; write sqlite:///PATH, with %3F for ?")
    return Path(url.database).absolute()


class SQLiteDatabase:
    """A store that is a file.

    Args:
        url: Of the file.
        read_only: Refuse every write, whoever asks.
    """

    patience_seconds = 0.0  # the driver itself waits for locks
    reading: Mapping[str, Any] = {READING: True}

    def __init__(self, url: URL, read_only: bool = False) -> None:
        self.path = path_of(url)
        self.place = str(self.path)
        self.secrets: Sequence[str] = ()
        self.url = make_url(sqlite_url(self.path))
        self._read_only = read_only
        self._stat: os.stat_result | None = None

    def prepare(self, create: bool) -> None:
        """Make the file where it is missing and may be made; read every page once to see that it is sound.

        Raises:
            StudyError: Code 2 for a wrong path; 3 for an empty, damaged or locked file, or a network disk.
        """
        if self.path.is_dir():
            raise StudyError(f"{self.path}: is a folder; name a file in it: {self.path / 'studies.db'}")
        if not self.path.exists() and not create:
            raise StudyError(f"{self.path}: there is no store here; toprung run makes one, --out names another folder")
        refuse_network(self.path)
        if not self.path.exists():
            make(self.path)
        self._stat = self.path.stat()
        if self._stat.st_size == 0:
            law = "restore a copy, or delete it to begin anew"
            raise StudyError(f"{self.path}: is empty (0 bytes); {law}", exit_code=3)
        refuse_damaged(self.path)
        refuse_foreign(self.path)

    def options(self) -> dict[str, Any]:
        """Connect so that locks are waited for, and a file that is gone is not made again."""
        return {"creator": lambda: _connect(self.path)}

    def listen(self, engine: Engine) -> None:
        """BEGIN IMMEDIATE, full sync, and no writes where asked.

        IMMEDIATE takes the write lock at the start: a transaction that reads, then writes, cannot
        find in the middle that another one wrote. Readers opt out with the option READING.

        Source:
            https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#pysqlite-serializable
        """
        read_only = self._read_only

        @event.listens_for(engine, "connect")
        def _connected(connection: sqlite3.Connection, _record: object) -> None:
            connection.isolation_level = None  # the driver's own BEGIN comes too late
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA query_only={'ON' if read_only else 'OFF'}")

        @event.listens_for(engine, "begin")
        def _begun(connection: Connection) -> None:
            reading = read_only or connection.get_execution_options().get(READING)
            connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    def check(self) -> None:
        """Raise unless it is still the same file: SQLite goes on writing to one that was deleted.

        Raises:
            StudyError: It was deleted, replaced or emptied.
        """
        try:
            now = self.path.stat()
        except FileNotFoundError:
            raise StudyError(f"{self.path}: was deleted while it was in use", exit_code=3) from None
        if self._stat is not None and not os.path.samestat(now, self._stat):
            raise StudyError(f"{self.path}: was replaced by another file while it was in use", exit_code=3)
        if now.st_size == 0:
            raise StudyError(f"{self.path}: was emptied while it was in use", exit_code=3)

    def lock(self, engine: Engine, study: str) -> FileLock:
        """Take the lock of a study, `studies.db.digits.lock`."""
        name = f"{self.path.name}.{quote(study, safe='')[:120]}.lock"
        return FileLock(self.path.with_name(name)).take()


def refuse_network(path: Path) -> None:
    """Raise for a place where SQLite's locks do not work.

    Raises:
        StudyError: With what to do instead.
    """
    kind = file_system(path)
    if kind.startswith(_NETWORK_FILE_SYSTEMS):
        law = "SQLite needs a local disk; choose one with --store, or use postgresql+psycopg://..."
        raise StudyError(f"{path}: lies on a network file system ({kind}); {law}", exit_code=3)


def file_system(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The kind of file system that holds a path (or will), "" where the system does not tell."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    place = os.path.realpath(path)
    kind, depth = "", -1
    for line in lines:
        fields, _, rest = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields.split()[4])  # a blank is \040
        if len(point) >= depth and (place == point or place.startswith(point.rstrip("/") + "/")):
            kind, depth = rest.split()[0], len(point)
    return kind


def make(path: Path) -> None:
    """Make an empty store, all at once: nobody ever sees half a file.

    Several processes may call this at the same time; one makes it.

    Raises:
        StudyError: The folder cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(path.with_name(path.name + ".lock")).take(BUSY_SECONDS)
    except Held as holder:
        raise StudyError(f"{path}: is being made by {holder}; try again", exit_code=3) from None
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        law = "choose another place with --out or --store"
        raise StudyError(f"{path}: cannot be made there ({error.strerror}); {law}") from None
    with lock:
        if not path.exists():
            _build(path.with_name(f".{path.name}.draft"), path)


def _build(draft: Path, path: Path) -> None:
    draft.unlink(missing_ok=True)  # left by a process that was killed here
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    storage = RDBStorage("sqlite:///draft", engine_kwargs={"creator": lambda: _connect(draft)})
    storage.remove_session()
    storage.engine.dispose()
    with contextlib.closing(_connect(draft)) as connection:
        connection.execute(f"PRAGMA journal_mode={'WAL' if _WAL_IS_SAFE else 'DELETE'}")
    draft.replace(path)


def refuse_damaged(path: Path) -> None:
    """Read every page once and see that the file is sound.

    Raises:
        StudyError: It is damaged, locked for good, or no SQLite file.
    """
    with explained(str(path)), contextlib.closing(_connect(path)) as connection:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        law = "restore a copy of it, or move it away to begin anew"
        raise StudyError(f"{path}: the file is damaged; {law} ({found.splitlines()[0]})", exit_code=3)


def refuse_foreign(path: Path) -> None:
    """Raise for a file that holds another program's tables, and not Optuna's.

    Raises:
        StudyError: It does, or cannot be read.
    """
    query = "SELECT name FROM sqlite_master WHERE type = 'table'"
    with explained(str(path)), contextlib.closing(_connect(path)) as connection:
        names = {name for (name,) in connection.execute(query)}
    if names and "studies" not in names:
        raise StudyError(f"{path}: holds another program's tables; choose another file")


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=BUSY_SECONDS, check_same_thread=False)
