"""A part of a source's classes, relabelled from 0 in the order they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from search.datasets.arrays import Arrays, Source, in_short
from search.errors import SearchError
from spaces.errors import did_you_mean


def subset(source: Source, classes: Sequence[int | str]) -> Source:
    """The source with only these classes: names, or numbers where the names are no numbers themselves.

    Raises:
        SearchError: Fewer than two classes, one twice, or one that the source does not have.
    """
    places = [_place(source, wanted) for wanted in classes]
    if len(places) < 2 or len(set(places)) < len(places):
        raise SearchError(f"data.classes: must name two or more different classes ({_listed(classes)} came)")
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


def _place(source: Source, wanted: int | str) -> int:
    names = source.class_names
    if str(wanted) in names:
        return names.index(str(wanted))
    numbered = all(name.lstrip("-").isdigit() for name in names)
    if isinstance(wanted, int) and not numbered and 0 <= wanted < len(names):
        return wanted
    hint = did_you_mean(str(wanted), names)
    raise SearchError(f'data.classes: {source.where} has no class "{wanted}"{hint}')


def _listed(classes: Sequence[int | str]) -> str:
    return in_short([str(wanted) for wanted in classes]) or "none"
