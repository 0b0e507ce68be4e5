"""Stores on a PostgreSQL server."""

import contextlib
import hashlib
import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from studies.errors import StudyError
from studies.locks import Held

_KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_NOTICED_SECONDS = 90.0  # after which both ends know, by these, that the other is gone
_TRY = text("SELECT pg_try_advisory_lock(:key)")
_UNLOCK = text("SELECT pg_advisory_unlock(:key)")
_HOLDER = text(
    "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND (l.classid::bigint << 32) + l.objid::bigint = :key"
)


class ServerDatabase:
    """A store on a server.

    Args:
        url: With driver, host, database and user.
        read_only: Refuse every write, whoever asks.
    """

    patience_seconds = 300.0
    reading: Mapping[str, Any] = {"isolation_level": "REPEATABLE READ"}  # all queries see one moment

    def __init__(self, url: URL, read_only: bool = False) -> None:
        self.url = _with_password_in_its_place(url)
        self.secrets: Sequence[str] = tuple(filter(None, [str(self.url.password or ""), *_texts(url, "sslpassword")]))
        self.place = _without_secrets(self.url).render_as_string(hide_password=True)
        self._read_only = read_only

    def prepare(self, create: bool) -> None:
        """Refuse a database that toprung does not know, or whose driver is not installed.

        Raises:
            StudyError: With the URLs that would be right, or the extra to install.
        """
        if self.url.get_backend_name() != "postgresql":
            law = "a store is sqlite:///PATH or postgresql+psycopg://USER@HOST/DATABASE"
            raise StudyError(f"{self.url.drivername}: no such kind of store; {law}")
        try:
            self.url.get_dialect().import_dbapi()
        except (ImportError, NoSuchModuleError) as error:
            law = "the PostgreSQL driver is missing: pip install 'toprung[postgres]'"
            raise StudyError(f"{self.place}: {law} ({error})", exit_code=3) from None

    def options(self) -> dict[str, Any]:
        """Say who connects, notice dead connections, and give up connecting after 10 s."""
        options = [f"-c tcp_{name}={value}" for name, value in _KEEPALIVES.items()]
        if self._read_only:
            options.append("-c default_transaction_read_only=on")
        arguments = {
            "connect_timeout": 10,
            "application_name": f"process {os.getpid()} on {socket.gethostname()}"[:63],
            "options": " ".join(options),
            **_KEEPALIVES,
        }
        return {"pool_pre_ping": True, "connect_args": arguments}

    def listen(self, engine: Engine) -> None:
        """Nothing to add."""

    def check(self) -> None:
        """Nothing to check: a server's database cannot be deleted while it is in use."""

    def lock(self, engine: Engine, study: str) -> "ServerLock":
        """Take the lock of a study."""
        return ServerLock(engine, study).take()


def _with_password_in_its_place(url: URL) -> URL:
    """The URL with a password that was written as `?password=...` where SQLAlchemy knows it and hides it."""
    given = _texts(url, "password")
    return url.difference_update_query(["password"]).set(password=given[-1]) if given else url


def _without_secrets(url: URL) -> URL:
    hidden = {name: "***" for name in url.query if name == "sslpassword"}
    return url.update_query_dict(hidden) if hidden else url


def _texts(url: URL, name: str) -> tuple[str, ...]:
    found = url.query.get(name, ())
    return (found,) if isinstance(found, str) else tuple(found)


class ServerLock:
    """An advisory lock of the server on one study; the server releases it when the connection dies."""

    def __init__(self, engine: Engine, study: str) -> None:
        digest = hashlib.blake2b(f"toprung:{study}".encode(), digest_size=8).digest()
        self._key = int.from_bytes(digest, signed=False) >> 1  # a positive bigint
        self._engine = engine
        self._connection: Connection | None = None

    def take(self, patience_seconds: float = 0.0) -> Self:
        """Hold the lock.

        Raises:
            Held: Another connection still holds it when patience ends.
        """
        deadline = time.monotonic() + patience_seconds
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            while not connection.scalar(_TRY, {"key": self._key}):
                if time.monotonic() >= deadline:
                    raise Held(connection.scalar(_HOLDER, {"key": self._key}) or "another program")
                time.sleep(1.0)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return self

    def check(self) -> None:
        """See that the lock is still held, and take it again where the server lost it.

        The server may need a while to notice that our own old connection is dead.

        Raises:
            Held: Someone else took it meanwhile.
        """
        if self._connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                self._connection.scalar(text("SELECT 1"))
                return
        self.release()
        self.take(_NOTICED_SECONDS)

    def release(self) -> None:
        """Let go; harmless when not held or when the server is away."""
        if self._connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                self._connection.scalar(_UNLOCK, {"key": self._key})
            self._connection.invalidate()  # where the server did not hear us, it sees the session end
            self._connection.close()
            self._connection = None
