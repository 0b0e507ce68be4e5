"""Where things are: the folder of runs, a study's files in it, the database that is a file."""

import re
from pathlib import Path

RUNS = Path("runs")

TRIAL_LOG = "log.txt"  # of a failed trial, in its folder

# In a study's folder.
BEST = "best.json"  # what a reader must know of the winner's model
BEST_MODEL = "best.keras"
DIAGNOSIS = "diagnosis.npz"  # a close look at the winner
LEADERBOARD = "leaderboard.csv"
REPORT = "report.html"
FILES = (LEADERBOARD, REPORT, BEST_MODEL, BEST, DIAGNOSIS)

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
