"""The first params of a study, spread evenly over the space before a sampler has anything to learn from."""

from zlib import crc32

import numpy as np

from spaces.parameters import Params
from spaces.sampling import suggest
from spaces.space import Space
from studies.cube import Place


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
        return suggest(self._space, _Part(self._seed, number, self._size), given)


class _Part(Place):
    """One configuration of a hypercube: of each parameter a part that no other of them has."""

    def __init__(self, seed: int, number: int, size: int) -> None:
        self._seed = seed
        self._cube, self._place = divmod(number, size)
        self._size = size

    def at(self, name: str) -> float:
        rng = np.random.default_rng([self._seed, self._cube, crc32(name.encode())])
        parts, offsets = rng.permutation(self._size), rng.random(self._size)
        return float((parts[self._place] + offsets[self._place]) / self._size)
