"""Every configuration of a space once, in an order that a seed shuffles."""

import hashlib
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from math import isqrt, prod

from spaces.parameters import Fixed, Int, Parameter, Scalar
from spaces.relations import repeats
from spaces.space import Space
from studies.errors import StudyError
from studies.records import Params

Key = frozenset[tuple[str, Scalar]]

_ROUNDS = 4


def key(params: Params) -> Key:
    """What two params share when they are the same configuration, both drawn from one space."""
    return frozenset(params.items())


class Grid:
    """Walks through the product of all values of all parameters.

    The walk needs no memory, however large the product: the n-th place is computed. Where a parameter
    does not exist (its parents exclude it), only its first value counts, so that nothing comes twice.

    Args:
        space: What may vary.
        seed: Of the order.

    Raises:
        StudyError: A parameter is continuous.
    """

    def __init__(self, space: Space, seed: int) -> None:
        if name := endless(space):
            raise StudyError(f'sampler.name: "grid" needs a step in every float; {name} has none')
        self._space = space
        self._values = {
            full: _values(parameter)
            for name, parameter in space.parameters.items()
            if not isinstance(parameter, Fixed)
            for full in repeats(name, space.parameters)
        }
        self._size = prod(map(len, self._values.values()))
        self._seed = seed
        self._walked: list[Params] = []
        self._place = 0

    def next(self, taken: AbstractSet[Key]) -> Params | None:
        """The first configuration of the walk that is not taken, None when there is none.

        Args:
            taken: Keys (`key`) of configurations.
        """
        for params in self._walk():
            if key(params) not in taken:
                return dict(params)
        return None

    def _walk(self) -> Iterator[Params]:
        yield from self._walked
        while self._place < self._size:
            found = self._at(shuffled(self._place, self._size, self._seed))
            self._place += 1
            if found is not None:
                self._walked.append(found)
                yield found

    def _at(self, place: int) -> Params | None:
        """The configuration at a place of the product; None where one at another place is the same."""
        digits = {}
        for full, values in self._values.items():
            place, digits[full] = divmod(place, len(values))
        params = self._space.fill(lambda full, _: self._values[full][digits[full]])
        return None if any(digit for full, digit in digits.items() if full not in params) else params


def shuffled(place: int, size: int, seed: int) -> int:
    """Where a place of range(size) goes in a permutation that the seed chooses.

    A Feistel network permutes the square above `size`; whoever falls outside goes round again.

    Source:
        Black and Rogaway (2002), "Ciphers with Arbitrary Finite Domains", doi:10.1007/3-540-45760-7_9.
    """
    side = isqrt(size - 1) + 1
    while True:
        left, right = divmod(place, side)
        for turn in range(_ROUNDS):
            text = f"{seed}:{turn}:{right}".encode()
            mixed = int.from_bytes(hashlib.blake2b(text, digest_size=16).digest())
            left, right = right, (left + mixed) % side
        place = left * side + right
        if place < size:
            return place


def endless(space: Space) -> str | None:
    """The name of a parameter that has more values than can be counted, None where there is none."""
    return next((name for name, one in space.parameters.items() if not _values(one)), None)


def _values(parameter: Parameter) -> tuple[Scalar, ...] | range:
    """All values of a parameter; none of one that is continuous."""
    if isinstance(parameter, Int) and parameter.step is None:
        return range(parameter.low, parameter.high + 1)
    return parameter.grid() or ()
