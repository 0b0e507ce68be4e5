"""Where things are and how they are named: the folder of runs, a study's files in it, the database that is a file."""

import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

RUNS = Path("runs")

# In a study's folder.
BEST = "best.json"  # what a reader must know of the winner's model
BEST_MODEL = "best.keras"
DIAGNOSIS = "diagnosis.npz"  # a close look at the winner
LEADERBOARD = "leaderboard.csv"
REPORT = "report.html"
FILES = (LEADERBOARD, REPORT, BEST_MODEL, BEST, DIAGNOSIS)

TEMPORARY = ".tmp-"  # in the names of files that are being written

NAME_LAW = "must be 1 to 64 letters, digits, dots, dashes and underscores, the first a letter or digit"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PLAIN = re.compile(r"[\w./ +-]*", re.ASCII)


def store_url(out: Path, store: str | None = None) -> str:
    """The URL of the store that goes with a folder of runs, unless another is given."""
    return store if store is not None else sqlite_url((out / "studies.db").absolute())


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file, whatever characters its path has."""
    if _PLAIN.fullmatch(str(path)):
        return f"sqlite:///{path}"
    from sqlalchemy import URL  # which knows what it must escape, and takes long to import

    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False).replace("?", "%3F")


def is_name(text: str) -> bool:
    """Whether a study may be called that, and a folder after it; other programs give their studies any name."""
    return _NAME.fullmatch(text) is not None


def trial_folder(number: int) -> str:
    """Where a trial keeps its files, below the study's folder."""
    return f"trials/{number:05d}"


def replace_file(path: Path, parts: Iterable[bytes | memoryview], *, durable: bool) -> None:
    """Write a file's parts one after the other: a reader, or a crash, finds the old file or the new, never a mixture.

    Args:
        path: In a folder that exists.
        parts: The whole of it.
        durable: Whether it must outlast a power cut as well.
    Raises:
        OSError: It cannot be written; a file that was there is left as it was.
    """
    # Not tempfile: its 0600 would replace the permissions that the user's umask asks for.
    temporary = path.with_name(f".{path.name[:100]}{TEMPORARY}{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.writelines(parts)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync(path.parent)


def sync(path: Path) -> None:
    """Wait until what was written to a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
