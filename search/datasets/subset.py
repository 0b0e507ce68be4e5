"""A part of a source's classes, relabelled from 0 in the order they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from search.datasets.arrays import Arrays, Source, in_short, refuse
from search.errors import SearchError
from spaces.errors import did_you_mean


def subset(source: Source, classes: Sequence[int | str]) -> Source:
    """The source with only these classes: names, or numbers where the names are no numbers themselves.

    Raises:
        SearchError: Fewer than two classes, one twice, or one that the source does not have.
    """
    found = [_place(source, wanted) for wanted in classes]
    unknown = [str(wanted) for wanted, place in zip(classes, found, strict=True) if place is None]
    names = source.class_names
    refuse("data.classes", [f'{source.where} has no class "{one}"{did_you_mean(one, names)}' for one in unknown])
    places = [place for place in found if place is not None]
    if len(places) < 2 or len(set(places)) < len(places):
        came = in_short([str(wanted) for wanted in classes]) or "none"
        raise SearchError(f"data.classes: must name two or more different classes ({came} came)")
    relabel = np.full(len(source.class_names), -1, np.int32)
    relabel[places] = np.arange(len(places))

    def only(read: Callable[[], Arrays]) -> Callable[[], Arrays]:
        return lambda: _only(read(), relabel)

    return replace(
        source,
        train=only(source.train),
        test=only(source.test) if source.test else None,
        class_names=tuple(source.class_names[place] for place in places),
    )


def _only(rows: Arrays, relabel: np.ndarray[tuple[int], np.dtype[np.int32]]) -> Arrays:
    y = relabel[rows.y]
    return Arrays(rows.x[y >= 0], y[y >= 0])


def _place(source: Source, wanted: int | str) -> int | None:
    names = source.class_names
    if str(wanted) in names:
        return names.index(str(wanted))
    numbered = all(name.lstrip("-").isdigit() for name in names)
    return wanted if isinstance(wanted, int) and not numbered and 0 <= wanted < len(names) else None
