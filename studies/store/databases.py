"""What the two kinds of database have in common."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from studies.errors import StudyError


class Lock(Protocol):
    """A lock on one study, taken."""

    def check(self) -> None:
        """See that it is still held; raises `locks.Held` where another has it."""

    def release(self) -> None:
        """Let go."""


class Database(Protocol):
    """Where studies live: a file or a server.

    Attributes:
        place: How messages name it; never with a password.
        secrets: Passwords, to be kept out of messages.
        url: For Optuna and SQLAlchemy.
        patience_seconds: How long it may be away during a run.
        reading: Execution options of connections that only read.
    """

    place: str
    secrets: Sequence[str]
    url: URL
    patience_seconds: float
    reading: Mapping[str, Any]

    def prepare(self, create: bool) -> None:
        """Make it where it is missing and may be made, and refuse what cannot work."""

    def options(self) -> dict[str, Any]:
        """Arguments of SQLAlchemy's create_engine."""

    def listen(self, engine: Engine) -> None:
        """Add to an engine what options cannot say."""

    def check(self) -> None:
        """Raise where it was deleted or replaced while in use."""

    def lock(self, engine: Engine, study: str) -> Lock:
        """Take the lock of a study; raises `locks.Held` where another process has it."""


def has_password(url: str) -> bool:
    """Whether a URL of a store holds a secret.

    Raises:
        StudyError: It is no URL.
    """
    address = parse(url)
    return address.password is not None or not {"password", "sslpassword"}.isdisjoint(address.query)


def parse(url: str) -> URL:
    """A URL in its parts.

    Raises:
        StudyError: It is not one; the message leaves out what may be a password.
    """
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        shown = "the value of --store" if "@" in url or "password" in url or not url else url
        law = "write sqlite:///PATH or postgresql+psycopg://USER@HOST/DATABASE"
        raise StudyError(f"{shown}: is not the URL of a store; {law}") from None
