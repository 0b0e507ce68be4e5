"""CSV files: one row an example, numbers in every column but the target's."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.datasets.arrays import Source, blurred, checked, class_names_of, in_short, refuse
from search.errors import SearchError
from spaces.errors import did_you_mean, shown

_SEPARATORS = ",;\t"
_LARGEST = float(np.finfo(np.float32).max)
_LARGEST_LABEL = 2**53  # beyond it floats are no longer every whole number: such labels are texts

csv.field_size_limit(2**31 - 1)  # a line of a wide table is one field where another separator is tried


@dataclass(frozen=True)
class _Table:
    """A file's cells.

    Attributes:
        path: The file.
        header: The columns' names.
        rows: The cells below it; all rows have as many as the header.
        lines: The line of the file that each row ends on.
    """

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]

    def column(self, place: int) -> list[str]:
        """The cells below a name."""
        return [row[place] for row in self.rows]


def read_csv(path: Path, target: str | None) -> Source:
    """A source over a table with a header line; its models standardise each column.

    Args:
        path: The file: UTF-8, separated by commas, semicolons or tabs.
        target: Name of the column with the classes.
    Raises:
        SearchError: No such file or column, ragged rows, text or gaps where numbers are due, numbers that float32
            blurs: what is wrong with every column.
    """

    @cache
    def cells() -> tuple[tuple[str, ...], NDArray[Any], NDArray[Any]]:
        return _split(_table(path), target)

    columns, _, labels = cells()
    names = class_names_of(f"{path}: {target}", labels)
    return Source(
        str(path), lambda: checked(str(path), *cells()[1:], names), None, names, standardised=True, columns=columns
    )


def _table(path: Path) -> _Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:

            def rows(separator: str) -> Iterator[tuple[int, list[str]]]:
                file.seek(0)
                reader = csv.reader(file, delimiter=separator)
                yield from ((reader.line_num, row) for row in reader if any(map(str.strip, row)))

            # a row's number of fields tells; names hold commas and semicolons, too, numbers a decimal comma
            separator = max(_SEPARATORS, key=lambda one: sorted(len(row) for _, row in islice(rows(one), 2)))
            (_, header), *numbered = [*rows(separator)] or [(0, [])]
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise SearchError(f"{path}: cannot be read as a CSV in UTF-8 ({problem})") from None
    if not numbered:
        raise SearchError(f"{path}: must have a header and rows below it ({1 if header else 0} of these came)")
    ragged = [(line, len(row)) for line, row in numbered if len(row) != len(header)]
    if ragged:
        line, fields = ragged[0]
        raise SearchError(f"{path}: row {line}: {len(header)} fields are due ({fields} came{_others(ragged)})")
    return _Table(path, [name.strip() for name in header], [row for _, row in numbered], [line for line, _ in numbered])


def _split(table: _Table, target: str | None) -> tuple[tuple[str, ...], NDArray[Any], NDArray[Any]]:
    """The columns' names, the numbers, shape (rows, columns), and the labels."""
    place = _place(table, target)
    columns = [index for index in range(len(table.header)) if index != place]
    if not columns:
        law = "must have a column beside the target, separated from it by a comma, a semicolon or a tab"
        raise SearchError(f"{table.path}: {law}")
    labels, wrong = _labels(table, place)
    x, blurred = _numbers(table, columns)
    refuse(str(table.path), [*blurred, *wrong])
    return tuple(table.header[index] for index in columns), x, labels


def _place(table: _Table, target: str | None) -> int:
    path, names = table.path, table.header
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        law = "the first line is the header, in which each column needs a name of its own"
        raise SearchError(f"{path}: {law} (more than once: {in_short([shown(name) for name in twice])})")
    if "" in names:
        law = "has no name in the header; leave it out if it counts rows, else give it one"
        raise SearchError(f"{path}: column {names.index('') + 1} {law}")
    if target in names:
        return names.index(target)
    if target is None:
        raise SearchError(f"{path}: data.target must name the column with the classes (columns: {in_short(names)})")
    raise SearchError(f'{path}: data.target: no column "{target}"{did_you_mean(target, names)}')


def _numbers(table: _Table, columns: list[int]) -> tuple[NDArray[np.float64], list[str]]:
    """The cells of some columns, and what is wrong with each of these."""
    try:
        x = np.array([[float(row[place]) for place in columns] for row in table.rows])
    except ValueError:
        x = np.full((1, len(columns)), np.nan)
    if not (np.abs(x) <= _LARGEST).all():
        return x, [problem for place in columns for problem in _bad_cells(table, place)]
    return x, [f"{table.header[columns[place]]}: {problem}" for place, problem in blurred(x).items()]


def _bad_cells(table: _Table, place: int) -> Iterator[str]:
    cells = table.column(place)
    bad = [(line, cell) for line, cell in zip(table.lines, cells, strict=True) if _number(cell) is None]
    for line, cell in bad[:1]:
        came = f"{shown(cell) if cell.strip() else 'nothing'} came{_others(bad)}"
        remedy = "write decimal points" if _number(cell.replace(",", ".")) is not None else "encode or fill it"
        yield f"row {line}: {table.header[place]}: must be a finite number ({came}); {remedy}"


def _labels(table: _Table, place: int) -> tuple[NDArray[Any], list[str]]:
    """Whole numbers where all labels are, else the texts; and what is wrong with them."""
    name, cells = table.header[place], [cell.strip() for cell in table.column(place)]
    texts = np.array(cells)
    empty = [line for line, cell in zip(table.lines, cells, strict=True) if not cell]
    if empty:
        return texts, [f"row {empty[0]}: {name}: the class is missing ({len(empty)} are)"]
    values = [None if "_" in cell else _number(cell) for cell in cells]  # Python's 1_11 is 111, as its 11_1
    if None in values or any(abs(value or 0) > _LARGEST_LABEL for value in values):
        return texts, []
    numbers = np.array(values)
    odd = np.flatnonzero(numbers != np.round(numbers))
    if len(odd):
        return texts, [f"{name}: must hold classes, not measurements ({cells[odd[0]]} came)"]
    return numbers.astype(np.int64), []


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if abs(value) <= _LARGEST else None


def _others(found: list[Any]) -> str:
    return f", and {len(found) - 1} more of the kind" if len(found) > 1 else ""
