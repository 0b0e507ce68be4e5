"""How a database that is a file is named, for those who don't open it."""

import re
from pathlib import Path

_PLAIN = re.compile(r"[\w./ +-]*", re.ASCII)


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file, whatever characters its path has."""
    if _PLAIN.fullmatch(str(path)):
        return f"sqlite:///{path}"
    from sqlalchemy import URL  # which knows what it must escape, and takes long to import

    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False).replace("?", "%3F")
