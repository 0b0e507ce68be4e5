"""Arrays as every kind of source hands them out, and the checks that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.errors import SearchError
from spaces.errors import InputError

Rescale = float | list[float]
BYTES_LIMIT = 10 * 2**30  # of one array; more would not fit the memory of the machines this is made for
_MOST_TOLD = 12
_COARSE = 0.03  # of a column's deviation; steps of float32 that are larger blur it


@dataclass(frozen=True, eq=False)
class Arrays:
    """One split.

    Attributes:
        x: Shape (rows, ...); uint8 for pixels, else float32.
        y: Shape (rows,), int32; labels from 0 to classes - 1.
    """

    x: NDArray[Any]
    y: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Source:
    """Where data comes from; nothing is read for a split before its function is called.

    Attributes:
        where: What errors call it: a name or a path.
        train: Reads all rows that are not for testing.
        test: Reads the test split; None where the source has none of its own.
        class_names: The original labels, in the order of the new ones.
        scale: What a model multiplies x by; None: pixels (uint8) by 1/255, other numbers by nothing.
        standardised: A model takes off the training split's mean and divides by its deviation instead.
        columns: The names of a table's columns beside the target; none of other data.
    """

    where: str
    train: Callable[[], Arrays]
    test: Callable[[], Arrays] | None
    class_names: tuple[str, ...]
    scale: float | None = None
    standardised: bool = False
    columns: tuple[str, ...] = ()


def checked(where: str, x: NDArray[Any], labels: NDArray[Any], class_names: Sequence[str]) -> Arrays:
    """A split with every property that the rest of the program relies on.

    Args:
        where: What errors call the split: a path or a name.
        x: Shape (rows, ...), numbers.
        labels: Shape (rows,) or (rows, 1): the original labels; their text is looked up in `class_names`.
        class_names: All classes that there may be.
    Raises:
        SearchError: Not numbers, empty, NaN or infinity, lengths that differ, or unknown labels.
    """
    x = numbers(f"{where}: x", x)
    y = encoded(where, column(where, labels), class_names)
    if len(x) != len(y):
        raise SearchError(f"{where}: x and y must have equally many rows (x has {len(x)}, y has {len(y)})")
    return Arrays(x, y)


def numbers(where: str, x: NDArray[Any]) -> NDArray[Any]:
    """Pixels as uint8, all else as float32; refuses what no model can learn from.

    Integers of other types than uint8 are pixels where they have at least two axes beside the rows and lie
    within 0..255.
    """
    if x.dtype.kind not in "biuf":
        raise SearchError(f"{where}: must hold numbers (came as {x.dtype}); store it as uint8 or float32")
    if x.ndim < 2 or 0 in x.shape:
        raise SearchError(f"{where}: must have rows and at least one more axis, none empty (shape {x.shape})")
    if x.dtype == np.uint8:
        return x
    if x.dtype.kind in "iu" and x.ndim > 2 and x.min() >= 0 and x.max() <= 255:
        return x.astype(np.uint8)
    return _finite(where, x)


def blurred(x: NDArray[Any]) -> dict[int, str]:
    """What float32 would blur: the numbers of such columns, and what is wrong with each.

    Args:
        x: Shape (rows, columns), finite numbers in the range of float32.
    """
    low, high = x.min(0), x.max(0)
    steps = np.spacing(np.maximum(np.abs(low), np.abs(high)).astype(np.float32)).astype(np.float64)
    ranges = high.astype(np.float64) - low
    least = ranges / np.sqrt(2 * len(x))  # that the deviation can be; to find it out takes time and memory
    problems = {}
    for place in np.flatnonzero((steps > _COARSE * least) & (ranges > 0)).tolist():
        values = x[:, place].astype(np.float64)
        if steps[place] > _COARSE * values.std():
            came = f"a deviation of {values.std():.3g} around {values.mean():.12g} came"
            law = f"lies too close together for float32, which steps by {steps[place]:.3g} there"
            problems[place] = f"{law} ({came}); take off a constant"
    return problems


def refuse_blurred(where: str, name: str, x: NDArray[Any]) -> None:
    """Refuse rows to train with of which float32 would leave nothing to learn; columns are found by their indices.

    Raises:
        SearchError: A line a column.
    """
    if not np.can_cast(x.dtype, np.float32):
        found = blurred(x.reshape(len(x), -1)).items()
        places = [(np.unravel_index(place, x.shape[1:]), problem) for place, problem in found]
        refuse(where, [f"{name}[:, {', '.join(map(str, at))}]: {problem}" for at, problem in places])


def class_names_of(where: str, labels: NDArray[Any]) -> tuple[str, ...]:
    """The classes that occur: whole numbers in their order, texts in alphabetical order.

    Raises:
        SearchError: Labels of a wrong form, or fewer than two classes.
    """
    found = tuple(str(label) for label in np.unique(column(where, labels)).tolist())
    if len(found) < 2:
        raise SearchError(f"{where}: at least two classes are needed to learn a difference (only {found[0]!r})")
    return found


def column(where: str, labels: NDArray[Any]) -> NDArray[Any]:
    """Labels as whole numbers or texts of shape (rows,)."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not len(labels):
        law = "one-hot labels must be turned into one class number a row" if labels.ndim == 2 else "one label a row"
        raise SearchError(f"{where}: y: must have shape (rows,) (shape {labels.shape}); {law}")
    if labels.dtype.kind == "f" and np.array_equal(labels, np.round(labels)) and float(np.abs(labels).max()) <= 2**53:
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "biuU":
        raise SearchError(f"{where}: y: labels must be whole numbers or texts (came as {labels.dtype})")
    return labels


def encoded(where: str, labels: NDArray[Any], class_names: Sequence[str]) -> NDArray[np.int32]:
    """Each label's place in `class_names`.

    Raises:
        SearchError: A label that is not among them.
    """
    values, inverse = np.unique(labels, return_inverse=True)
    place = {name: index for index, name in enumerate(class_names)}
    unknown = [str(value) for value in values.tolist() if str(value) not in place]
    if unknown:
        raise SearchError(
            f"{where}: y: labels must be among the {len(place)} classes {in_short(class_names)} "
            f"(came {in_short(unknown)})"
        )
    new = np.array([place[str(value)] for value in values.tolist()], np.int32)
    return new[inverse.reshape(-1)]


def refuse(where: str, problems: Sequence[str]) -> None:
    """Tell all problems of a file at once, a line each; the first few of very many.

    Raises:
        SearchError: There are problems.
    """
    few = [*problems[:_MOST_TOLD], *([f"and {len(problems) - _MOST_TOLD} more"] if problems[_MOST_TOLD:] else [])]
    if few:
        raise SearchError(str(InputError(where, few)))


def in_short(names: Sequence[str]) -> str:
    """The first few of many names, for an error."""
    shown = ", ".join(names[:8])
    return f"{shown}, ..." if len(names) > 8 else shown


def _finite(where: str, x: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        single = x.astype(np.float32)
    bad = ~np.isfinite(single)
    if bad.any():
        row = int(np.argwhere(bad)[0][0])
        raise SearchError(
            f"{where}: must be finite numbers in the range of float32 ({int(bad.sum())} values are not, "
            f"the first in row {row}); fill or remove them"
        )
    return single
