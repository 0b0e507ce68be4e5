"""The leaderboard for other programs and for the terminal: CSV, JSON and text."""

from __future__ import annotations

import csv
import io
import json
import math
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.columns import Column, readable
from reports.errors import ReportError
from reports.files import replace
from reports.markdown import table
from reports.words import cut, printable

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

# What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection"), its full-width forms included.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
STYLES = {"pruned": "dim", "failed": "red", "retrained": "bold cyan"}
WIDEST = 24
GUTTER = 2


def to_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a leaderboard as CSV; the file is replaced as a whole.

    Numbers are written in full (accuracies as fractions), missing ones as empty cells. Text that a
    spreadsheet would take for a formula, in cells and headers, gets a leading apostrophe.

    Args:
        frame: What `leaderboard` gives.
        path: The file, in a folder that exists.
    Raises:
        ReportError: It cannot be written; a file that was there is left as it was.
    """
    safe = frame.rename(columns=_defused)
    for name in safe.columns:
        if safe[name].dtype.kind == "O":
            safe[name] = safe[name].astype(object).map(_defused)
    replace(path, safe.to_csv(index=False, lineterminator="\n"))


def to_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet, with its types; the file is replaced as a whole.

    Args:
        frame: What `leaderboard` or `learning_curves` gives; cells of mixed kinds are written as text.
        path: The file, in a folder that exists.
    Raises:
        ReportError: It cannot be written, or no package that can is installed.
    """
    mixed = [name for name in frame.columns if frame[name].dtype == object]
    plain = frame.assign(**{name: frame[name].map(str, na_action="ignore") for name in mixed})
    try:
        content = plain.to_parquet(index=False)
    except ImportError as error:
        raise ReportError(f"{path}: Parquet needs pyarrow; pip install 'toprung[parquet]'") from error
    replace(path, content)


def to_markdown(frame: pd.DataFrame) -> str:
    """A leaderboard as a table in Markdown: every column that holds anything, what tells most first."""
    columns = sorted(readable(frame), key=attrgetter("priority"))
    rows = zip(*(column.cells for column in columns), strict=True)
    text = [not column.is_number for column in columns]
    return table([column.header for column in columns], rows, names=text) + "\n"


def defused_csv(text: str) -> str:
    """CSV text of another program, with the same apostrophes that `to_csv` sets."""
    file = io.StringIO(newline="")
    rows = csv.reader(io.StringIO(text, newline=""))
    csv.writer(file).writerows([cell if _is_number(cell) else _defused(cell) for cell in row] for row in rows)
    return file.getvalue()


def to_json(frame: pd.DataFrame) -> str:
    """A leaderboard as JSON, one object a line; what is missing or not finite is null."""
    columns = [[_plain(value) for value in frame[name].astype(object)] for name in frame.columns]
    rows = zip(*columns, strict=True)
    return "".join(json.dumps(dict(zip(frame.columns, row, strict=True))) + "\n" for row in rows)


def to_text(frame: pd.DataFrame) -> str:
    """A leaderboard as plain text for pipes and files: every column that holds anything, no colour."""
    columns = readable(frame)
    if not len(frame):
        return "No trials.\n"
    padded = [_padded(column) for column in columns]
    lines = [(" " * GUTTER).join(cells).rstrip() for cells in zip(*padded, strict=True)]
    return "\n".join(lines) + "\n"


def to_table(frame: pd.DataFrame, width: int) -> Table:
    """A leaderboard as a table for a terminal.

    Args:
        frame: What `leaderboard` gives.
        width: Of the terminal, in characters; columns that do not fit are left out and counted below.
    Returns:
        Scores and gaps first, then as many parameters as fit, those that differ between trials first.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    columns = readable(frame)
    kept = _fitting(columns, width)
    hidden = len(columns) - len(kept)
    look: dict[str, Any] = {"box": box.SIMPLE_HEAD, "show_edge": False, "pad_edge": False, "header_style": "bold"}
    shown = Table(padding=(0, 0, 0, GUTTER - 1), caption_justify="left", **look)
    shown.caption = f"{hidden} more columns with --csv or --json." if hidden > 1 else None
    for column in kept:
        header = Text("\n".join(_header_lines(column)))
        shown.add_column(header, justify="right" if column.is_number else "left", vertical="bottom")
    states = list(frame["state"])
    for row, state in enumerate(states):
        if state == "retrained" and states[row - 1] != "retrained":
            shown.add_section()
        cells = [Text(cut(column.cells[row], WIDEST), no_wrap=True) for column in kept]
        is_winner = state == "complete" and frame["rank"].iloc[row] == 1
        shown.add_row(*cells, style="bold green" if is_winner else STYLES.get(state, ""))
    return shown


def print_table(frame: pd.DataFrame, console: Console) -> None:
    """Print a leaderboard: a table that fits where a person looks on, plain text into pipes and files."""
    if console.is_terminal and len(frame):
        console.print(to_table(frame, console.width))
    else:
        console.file.write(to_text(frame))


def _defused(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = f"'{value}" if value.startswith(FORMULA_STARTS) else value
    return text.replace("\r", "\n")  # Python 3.11 leaves a lone \r unquoted, and readers end the row there


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _plain(value: Any) -> Any:
    import pandas as pd

    if pd.isna(value) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value


def _padded(column: Column) -> list[str]:
    cells = [printable(column.name), *column.cells]
    width = max(map(len, cells))
    return [cell.rjust(width) if column.is_number else cell.ljust(width) for cell in cells]


def _fitting(columns: list[Column], width: int) -> list[Column]:
    kept: list[Column] = []
    for column in sorted(columns, key=attrgetter("priority")):
        width -= _width(column) + (GUTTER if kept else 0)
        if width < 0:
            break
        kept.append(column)
    return [column for column in columns if column in kept]


def _width(column: Column) -> int:
    return max(len(cut(line, WIDEST)) for line in [*column.cells, *_header_lines(column)])


def _header_lines(column: Column) -> list[str]:
    # The underscore stays, so that the lines still spell the parameter's name.
    header = column.header.replace("_", "_ ") if len(column.header) > 8 else column.header
    return [cut(line, WIDEST) for line in header.split()]
