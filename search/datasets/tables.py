"""CSV files: one row an example, numbers in every column but the target's."""

from __future__ import annotations

import csv
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.datasets.arrays import Arrays, Source, checked, class_names_of, in_short
from search.errors import SearchError
from spaces.errors import did_you_mean

Rows = list[list[str]]


def read_csv(path: Path, target: str | None) -> Source:
    """A source over a table with a header line; its models standardise each column.

    Args:
        path: The file: UTF-8, separated by commas, semicolons or tabs.
        target: Name of the column with the classes.
    Raises:
        SearchError: No such file or column, ragged rows, text or gaps where numbers are due.
    """

    @cache
    def rows() -> tuple[NDArray[Any], NDArray[Any]]:
        return _split(path, _table(path), target)

    names = class_names_of(f"{path}: {target}", rows()[1])
    return Source(str(path), lambda: _arrays(path, rows(), names), None, names, standardised=True)


def _arrays(path: Path, rows: tuple[NDArray[Any], NDArray[Any]], names: tuple[str, ...]) -> Arrays:
    return checked(str(path), rows[0], rows[1], names)


def _table(path: Path) -> Rows:
    """All lines, the header first, of equal length."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            separator = _separator(file.readline())
            file.seek(0)
            table = [row for row in csv.reader(file, delimiter=separator) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise SearchError(f"{path}: cannot be read as a CSV in UTF-8 ({problem})") from None
    if len(table) < 2:
        raise SearchError(f"{path}: must have a header and rows below it ({len(table)} lines came)")
    for number, row in enumerate(table, start=1):
        if len(row) != len(table[0]):
            raise SearchError(f"{path}: row {number}: {len(table[0])} fields are due ({len(row)} came)")
    return table


def _separator(header: str) -> str:
    return max(",;\t", key=header.count)


def _split(path: Path, table: Rows, target: str | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """The numbers, shape (rows, columns), and the labels."""
    place = _place(path, table[0], target)
    features = [row[:place] + row[place + 1 :] for row in table]
    if not features[0]:
        raise SearchError(f"{path}: must have a column beside the target")
    return _numbers(path, features), _labels(path, table[0][place], [row[place] for row in table[1:]])


def _place(path: Path, header: list[str], target: str | None) -> int:
    names = [name.strip() for name in header]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SearchError(f"{path}: each column needs a name of its own (more than once: {in_short(twice)})")
    if target in names:
        return names.index(target)
    if target is None:
        raise SearchError(f"{path}: data.target must name the column with the classes (columns: {in_short(names)})")
    raise SearchError(f'{path}: data.target: no column "{target}"{did_you_mean(target, names)}')


def _numbers(path: Path, features: Rows) -> NDArray[np.float64]:
    header, *rows = features
    try:
        table = np.array([[float(cell) for cell in row] for row in rows])
        bad = not np.isfinite(table).all()
    except ValueError:
        bad = True
    if bad:
        raise SearchError(f"{path}: {_first_bad_cell(header, rows)}; encode or fill it")
    return table


def _first_bad_cell(header: list[str], rows: Rows) -> str:
    number, name, cell = next(
        (number, name, cell)
        for number, row in enumerate(rows, start=2)
        for name, cell in zip(header, row, strict=True)
        if _number(cell) is None
    )
    came = f'"{cell}"' if cell.strip() else "nothing"
    return f"row {number}: {name}: must be a finite number ({came} came)"


def _labels(path: Path, name: str, cells: list[str]) -> NDArray[Any]:
    """Whole numbers where all labels are, else the texts."""
    empty = [number for number, cell in enumerate(cells, start=2) if not cell.strip()]
    if empty:
        raise SearchError(f"{path}: row {empty[0]}: {name}: the class is missing ({len(empty)} are)")
    values = [_number(cell) for cell in cells]
    if None in values:
        return np.array([cell.strip() for cell in cells])
    numbers = np.array(values)
    if not np.array_equal(numbers, np.round(numbers)):
        odd = next(cell for cell, value in zip(cells, values, strict=True) if value != round(value or 0))
        raise SearchError(f"{path}: {name}: must hold classes, not measurements ({odd} came)")
    return numbers.astype(np.int64)


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
