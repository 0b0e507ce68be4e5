"""The leaderboard as a person reads it: percent, points with their standard error, no empty columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.words import GAP_METRIC, difference, is_share, printable, scalar, shown, signed

if TYPE_CHECKING:
    import pandas as pd


_FIRST = ("rank", "study", "trial", "state", "epochs", "val_spread", "gap")
_LAST = ("val_rank", "test_rank", "best_epoch", "train_val_gap")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of text.

    Attributes:
        name: As in the leaderboard.
        header: For people; words that may stand on lines of their own.
        cells: One a row, "" where there is nothing.
        is_number: Whether it stands to the right.
        priority: How soon a person wants to see it, 0 first: the scores that the study is about, then the parameters
            that differ between trials.
    """

    name: str
    header: str
    cells: tuple[str, ...]
    is_number: bool
    priority: int


def readable(frame: pd.DataFrame) -> list[Column]:
    """The columns of a leaderboard that hold anything, in their order; `gap` takes `gap_se` in.

    Args:
        frame: What `leaderboard` gives.
    Returns:
        Text in the order of rows, safe to print: nothing in it can steer a terminal.
    """
    columns = [_column(frame, name) for name in frame.columns if name != "gap_se"]
    return [column for column in columns if any(column.cells)]


def _column(frame: pd.DataFrame, name: str) -> Column:
    values = frame[name].astype(object)
    values = values.where(frame[name].notna(), None)
    metric = _monitored(frame)
    if name == "gap":
        pairs = zip(values, frame["gap_se"], strict=True)
        cells = tuple(signed(GAP_METRIC, value, error) for value, error in pairs)
    else:
        write = _writer(name, metric)
        cells = tuple("" if value is None else write(value) for value in values)
    is_number = all(not isinstance(value, str | bool) for value in values)
    return Column(name, _header(frame, name), cells, is_number, _priority(name, metric, len(set(cells)) > 1))


def _priority(name: str, monitored: str, varies: bool) -> int:
    if name in (*_FIRST, f"val_{monitored}", f"test_{monitored}"):
        return 0
    if name.startswith("params_"):
        return 1 if varies else 3
    return 4 if name in _LAST else 2


def _writer(name: str, monitored: str) -> Callable[[Any], str]:
    split, _, metric = name.partition("_")
    if name.startswith("params_"):
        return scalar
    if name == "train_val_gap":
        return lambda value: signed(monitored, value)
    if name == "val_spread":
        return lambda value: f"±{difference(monitored, value).removesuffix(' points')}"
    if name == "seconds":
        return lambda value: f"{value:,.1f}"
    if name == "parameters":
        return lambda value: f"{value:,}"
    if split in ("train", "val", "test") and metric != "rank":
        return lambda value: shown(metric, value)
    return lambda value: printable(str(value))


def _header(frame: pd.DataFrame, name: str) -> str:
    if name.startswith("params_"):
        return printable(name.removeprefix("params_"))
    metric = _monitored(frame)
    unit = " (points)" if is_share(metric) else ""
    if name == "rank":
        return "#"
    if name == "gap":
        return "gap (points)" if metric == GAP_METRIC else f"{GAP_METRIC} gap (points)"
    return {"val_spread": f"val spread{unit}", "train_val_gap": f"train-val gap{unit}"}.get(
        name, name.replace("_", " ")
    )


def _monitored(frame: pd.DataFrame) -> str:
    """The metric the leaderboard is about: the first that stands there for the training split."""
    return str(next(name for name in frame.columns if name.startswith("train_"))).removeprefix("train_")
