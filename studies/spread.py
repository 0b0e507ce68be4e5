"""The first params of a study, spread evenly over the space before a sampler has anything to learn from."""

from zlib import crc32

import numpy as np

from spaces.parameters import Params
from spaces.sampling import suggest
from spaces.space import Space
from studies.cube import Place

START = 6  # trials with a value before a sampler is asked


def spread(space: Space, seed: int, size: int, number: int, given: Params | None = None) -> Params:
    """One of a sequence of configurations that are Latin hypercubes, one after the other.

    Of the configurations of a hypercube each has a part of a parameter's range that no other of them has.

    Args:
        space: What may vary.
        seed: Of the order in which the parts come, and of the places in them.
        size: Configurations of one hypercube, and parts of each range.
        number: The configuration's place in the sequence, from 0.
        given: Values that are kept.

    Source:
        McKay, Beckman and Conover (1979), doi:10.1080/00401706.1979.10489755.
    """
    cube, place = divmod(number, size)

    def at(name: str) -> float:
        rng = np.random.default_rng([seed, cube, crc32(name.encode())])
        parts, offsets = rng.permutation(size), rng.random(size)
        return float((parts[place] + offsets[place]) / size)

    return suggest(space, Place(at), given)
