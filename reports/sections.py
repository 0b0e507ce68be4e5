"""The parts of a report: sentences, pictures and tables, whatever they are written as in the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from reports.canvas import Chart

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Table:
    """A table as a person reads it.

    Attributes:
        title: A few words.
        header: One text a column.
        rows: As many texts each as the header has.
        names: How many columns, from the left, hold names; the others hold numbers.
        note: What a reader must know besides.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int = 1
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report.

    Attributes:
        title: A few words.
        sentences: What it comes to.
        charts: Pictures, each with its alternative in words.
        tables: Numbers.
    """

    title: str
    sentences: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to read in it."""
        return not (self.sentences or self.charts or self.tables)


def there(*parts: Part | None) -> tuple[Part, ...]:
    """The parts that there are: a chart or a table without anything to show is None."""
    return tuple(part for part in parts if part is not None)
