"""Training, validation and test split, cut by class from the seed of the plan and hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from search.datasets.arrays import Arrays, Rescale, Source, refuse
from search.errors import SearchError

if TYPE_CHECKING:
    from studies.plan import DataPlan

_PART_NUMBERS = 2**22
_TEST, _VALIDATION = 1, 2  # of the seed's streams, so that one cut doesn't depend on the other's size


@dataclass(frozen=True, eq=False)
class SearchSplits:
    """All that a search may see.

    Attributes:
        train: What trials learn from.
        validation: What they are compared by.
        class_names: The original labels, in the order of the new ones.
        scale: With `offset`: a model computes x * scale + offset first; a number or one a last-axis entry.
        offset: See `scale`.
        hash: SHA-256 over both splits, in hexadecimal.
    """

    train: Arrays
    validation: Arrays
    class_names: tuple[str, ...]
    scale: Rescale
    offset: Rescale
    hash: str


def search_splits(source: Source, plan: DataPlan) -> SearchSplits:
    """The training and the validation split; a source's own test split is not read.

    Raises:
        SearchError: The data cannot be read, or a class has too few rows to be in every split.
    """
    rows = source.train()
    if source.test is None:
        kept, _ = _cut(source, rows.y, plan.test, (plan.seed, _TEST), splits=3)
        rows = _take(rows, kept)
    kept, validation = _cut(source, rows.y, plan.validation, (plan.seed, _VALIDATION), splits=2)
    train = _take(rows, kept)
    scale, offset = _rescale(source, plan, train.x)
    held = _take(rows, validation)
    return SearchSplits(train, held, source.class_names, scale, offset, hash_of(train, held))


def test_split(source: Source, plan: DataPlan) -> Arrays:
    """The test split: the source's own, or the one that is cut from the seed.

    Only `search/evaluation.py` calls this, after the search.

    Raises:
        SearchError: The data cannot be read, or have no row of a class.
    """
    if source.test is not None:
        rows = source.test()
        _refuse_small_classes(source, rows.y, "test")
        return rows
    rows = source.train()
    _, taken = _cut(source, rows.y, plan.test, (plan.seed, _TEST), splits=3)
    return _take(rows, taken)


test_split.__test__ = False  # type: ignore[attr-defined]  # its name begins with "test": pytest would collect it


def hash_of(*splits: Arrays) -> str:
    """SHA-256 over type, shape and bytes of every array of the splits, in hexadecimal."""
    digest = hashlib.sha256()
    for array in (array for split in splits for array in (split.x, split.y)):
        digest.update(f"{array.dtype.str} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _cut(
    source: Source, y: NDArray[np.int32], fraction: float, seed: tuple[int, int], *, splits: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row numbers to keep and to take, in ascending order; each class is in both, in proportion."""
    _refuse_small_classes(source, y, *("training", "validation", "test")[:splits])
    wanted = _shares(np.bincount(y), fraction)
    generator = np.random.default_rng(seed)
    taken = [generator.permutation(np.flatnonzero(y == label))[:number] for label, number in enumerate(wanted.tolist())]
    mask = np.zeros(len(y), np.bool_)
    mask[np.concatenate(taken)] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def _shares(counts: NDArray[Any], fraction: float) -> NDArray[np.int64]:
    """Rows to take of each class: the largest remainders are rounded up until the total is right."""
    exact = counts * fraction
    shares = np.floor(exact).astype(np.int64)
    missing = round(float(exact.sum())) - int(shares.sum())
    shares[np.argsort(shares - exact, kind="stable")[: max(missing, 0)]] += 1
    return np.clip(shares, 1, counts - 1)


def _refuse_small_classes(source: Source, y: NDArray[np.int32], *splits: str) -> None:
    """Refuse labels that do not have a row of every class for each of the splits."""
    counts = np.bincount(y, minlength=len(source.class_names)).tolist()
    needed = f"{len(splits)} rows are" if len(splits) > 1 else "1 row is"
    law = f"at least {needed} needed for the {' and the '.join(splits)} split"
    small = [pair for pair in zip(source.class_names, counts, strict=True) if pair[1] < len(splits)]
    refuse(
        source.where,
        [f"class {name!r}: {law} ({count} came); add some, or leave it out with data.classes" for name, count in small],
    )


def _take(rows: Arrays, chosen: NDArray[np.intp]) -> Arrays:
    return Arrays(rows.x[chosen], rows.y[chosen])


def _rescale(source: Source, plan: DataPlan, x: NDArray[Any]) -> tuple[Rescale, Rescale]:
    """What the models of a study multiply their input by and then add, from the plan and the training split."""
    unit = 1 / 255 if x.dtype == np.uint8 else 1.0
    unit = unit if source.scale is None else source.scale
    if plan.mean is not None and plan.deviation is not None:
        mean, deviation = (np.array(numbers) / unit for numbers in (plan.mean, plan.deviation))
    elif plan.normalise == "channel" or source.standardised:
        mean, deviation = channel_moments(x)
    else:
        return unit, 0.0
    channels = _channels(x)
    if len(mean) != channels:
        raise SearchError(f"data.mean: must have a number a channel, {channels} for {source.where} ({len(mean)} came)")
    scale, offset = 1 / deviation, -mean / deviation
    return (scale.tolist(), offset.tolist()) if x.ndim != 3 else (float(scale[0]), float(offset[0]))


def channel_moments(x: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel, or of each column of a table.

    Args:
        x: Shape (rows, ..., channels), or (rows, height, width) for one channel.
    Returns:
        Two arrays of shape (channels,); the deviation of a constant is 1, so that one can divide by it.
    """
    mean = _sum(x, lambda part: part) / (x.size / _channels(x))
    variance = _sum(x, lambda part: np.square(part - mean)) / (x.size / _channels(x))
    deviation = np.sqrt(variance)
    deviation[deviation == 0] = 1.0
    return mean, deviation


def _channels(x: NDArray[Any]) -> int:
    return 1 if x.ndim == 3 else int(x.shape[-1])


def _sum(x: NDArray[Any], of: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Sums over all but the channels, some rows at a time: as float64 all of them would take eight times the memory."""
    rows = max(1, _PART_NUMBERS * len(x) // x.size)
    parts = (x[start : start + rows].reshape(-1, _channels(x)).astype(np.float64) for start in range(0, len(x), rows))
    total: NDArray[np.float64] = sum(of(part).sum(0) for part in parts) + np.zeros(_channels(x))
    return total
