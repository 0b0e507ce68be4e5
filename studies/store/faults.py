"""What a database's own complaints mean to a user."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from studies.errors import StudyError

BUSY_SECONDS = 60.0
_AWAY = ("08", "57P01", "57P02", "57P03")  # PostgreSQL's codes of lost connections and of servers that end or start

_SQLITE_LAWS = {
    "SQLITE_BUSY": f"locked by another program for more than {BUSY_SECONDS:.0f} s; "
    "close that program and run the command again",
    "SQLITE_LOCKED": "locked by another program; close that program and run the command again",
    "SQLITE_FULL": "the disk is full; free some space and run the command again",
    "SQLITE_IOERR": "cannot be read or written; is the disk full or failing?",
    "SQLITE_CORRUPT": "the file is damaged; restore a copy of it, or move it away to begin anew",
    "SQLITE_NOTADB": "this is not a SQLite file, or it is damaged; restore a copy, or choose another file",
    "SQLITE_READONLY": "may only be read; give yourself the right to write it and its folder",
    "SQLITE_CANTOPEN": "cannot be opened; was it deleted or moved?",
    "SQLITE_PERM": "you may not open it; give yourself the right to",
    "SQLITE_ERROR": "its tables are not what they should be; was it replaced while it was in use?",
}


@contextmanager
def explained(place: str, secrets: Iterable[str] = ()) -> Iterator[None]:
    """Turn whatever a database raises inside into one line about it.

    Args:
        place: The file or the address (without password) that the line begins with.
        secrets: Passwords, to be kept out of the line.

    Raises:
        StudyError: With exit code 3.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, sqlite3.Error, OSError, UnicodeDecodeError) as error:
        reason = meaning(error)
        for secret in secrets:
            reason = reason.replace(secret, "***")
        raise StudyError(f"{place}: {reason}", exit_code=3) from error


@contextmanager
def told_damage(place: str, study: str) -> Iterator[None]:
    """Turn what readers raise over values that nobody wrote into one line: SQLite does not notice a flipped bit.

    Args:
        place: The file or the address (without password) that the line begins with.
        study: Whose values are read.

    Raises:
        StudyError: With exit code 3.
    """
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        law = "restore a copy of the store, or remove the study"
        raise StudyError(
            f'{place}: the study "{study}" is damaged; {law} ({_first_line(error)})', exit_code=3
        ) from error


def meaning(error: BaseException) -> str:
    """What went wrong, in one line that says what would be right."""
    cause = _cause(error)
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorname", "") or ""
        laws = (law for name, law in _SQLITE_LAWS.items() if code.startswith(name))
        return f"{next(laws, 'the database refused')} ({_first_line(cause)})"
    if isinstance(cause, UnicodeDecodeError):  # of a text, or of what SQLite itself says about a damaged schema
        return f"{_SQLITE_LAWS['SQLITE_CORRUPT']} ({_first_line(cause)})"
    if isinstance(cause, OSError):
        return cause.strerror or _first_line(cause)
    return f"the database server refused or cannot be reached ({_first_line(cause)})"


def disconnected(error: BaseException) -> bool:
    """Whether a server went away, shuts down or starts: worth waiting for, unlike a refusal.

    Source:
        https://www.postgresql.org/docs/current/errcodes-appendix.html; what a server never answered has no code.
    """
    while isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    if not isinstance(error, OperationalError | InterfaceError) or isinstance(error.orig, sqlite3.Error):
        return False
    code = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or not code or code.startswith(_AWAY)


def _cause(error: BaseException) -> BaseException:
    """The driver's own error: Optuna and SQLAlchemy wrap it in less helpful ones."""
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        return _cause(error.__cause__)
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig
    return error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
