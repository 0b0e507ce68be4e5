"""The first params of a study, spread evenly over the space before a sampler has anything to learn from."""

import math
from collections.abc import Sequence
from zlib import crc32

import numpy as np

from spaces.parameters import Scalar
from spaces.sampling import suggest
from spaces.space import Space
from studies.records import Params


class Spread:
    """Latin hypercubes: of so many configurations, each parameter takes every part of its range once.

    Args:
        space: What may vary.
        seed: Of the order in which the parts come, and of the places in them.
        size: Configurations of one hypercube; after them the next begins.

    Source:
        McKay, Beckman and Conover (1979), doi:10.1080/00401706.1979.10489755.
    """

    def __init__(self, space: Space, seed: int, size: int) -> None:
        self._space = space
        self._seed = seed
        self._size = size

    def params(self, number: int, given: Params | None = None) -> Params:
        """The configuration at a place of the sequence; of what is given the given values."""
        return suggest(self._space, _Point(self._seed, number, self._size), given)


class _Point:
    """Answers what is drawn for one configuration by where it lies, each parameter from 0 to 1."""

    def __init__(self, seed: int, number: int, size: int) -> None:
        self._seed = seed
        self._cube, self._place = divmod(number, size)
        self._size = size

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        if log:
            return min(high, math.floor(_between(low, high + 1, self._at(name), log)))
        return low + step * math.floor(self._at(name) * ((high - low) // step + 1))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return min(high, max(low, _between(low, high, self._at(name), log)))

    def suggest_categorical(self, name: str, choices: Sequence[Scalar]) -> Scalar:
        return choices[math.floor(self._at(name) * len(choices))]

    def _at(self, name: str) -> float:
        """From 0 to below 1."""
        rng = np.random.default_rng([self._seed, self._cube, crc32(name.encode())])
        parts, offsets = rng.permutation(self._size), rng.random(self._size)
        return float((parts[self._place] + offsets[self._place]) / self._size)


def _between(low: float, high: float, share: float, log: bool) -> float:
    if log:
        return math.exp(_between(math.log(low), math.log(high), share, False))
    return low + (high - low) * share
