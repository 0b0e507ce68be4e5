"""Every configuration of a space once, in an order that a seed shuffles."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from math import isqrt, prod
from operator import attrgetter
from typing import NamedTuple

from spaces.errors import listed
from spaces.parameters import Int, Parameter, Params, Scalar
from spaces.space import Space
from studies.errors import StudyError

Key = frozenset[tuple[str, Scalar]]

_ROUNDS = 4


def key(params: Params) -> Key:
    """What two params share when they are the same configuration, both drawn from one space."""
    return frozenset(params.items())


class _Branch(NamedTuple):
    """Configurations in which the same parameters exist: the product of the others' values.

    Attributes:
        digits: The values, by their indices, of those parameters that decide which others exist.
        end: The place after its last configuration, all branches counted in a row.
    """

    digits: tuple[int, ...]
    end: int


class Grid:
    """Walks through all configurations.

    The n-th configuration is computed, however large the space: only branches are gone through before the walk
    begins, and only configurations that it came to are kept.

    Args:
        space: What may vary.
        seed: Of the order.

    Raises:
        StudyError: A parameter is continuous.
    """

    def __init__(self, space: Space, seed: int) -> None:
        if law := no_grid(space):
            raise StudyError(law)
        self._space = space
        self._values = {full: _values(space.parameter(full)) for full in space.full_names}
        self._decisive = set(space.decisive)
        self._seed = seed
        self._walked: list[Params] = []

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
        size = self._branches[-1].end
        while len(self._walked) < size:
            found = self._at(shuffled(len(self._walked), size, self._seed))
            self._walked.append(found)
            yield found

    def _at(self, place: int) -> Params:
        """The configuration at a place, branch after branch."""
        at = bisect_right(self._branches, place, key=attrgetter("end"))
        place -= self._branches[at - 1].end if at else 0
        digits = iter(self._branches[at].digits)

        def choose(full: str, _: Parameter) -> Scalar:
            nonlocal place
            values = self._values[full]
            if full in self._decisive:
                return values[next(digits)]
            place, digit = divmod(place, len(values))
            return values[digit]

        return self._space.fill(choose)

    def count(self, most: int) -> int:
        """How many configurations there are, counted up to `most`."""
        end = 0
        for branch in self._each_branch():
            end = min(branch.end, most)
            if end == most:
                break
        return end

    @cached_property
    def _branches(self) -> list[_Branch]:
        return list(self._each_branch())

    def _each_branch(self) -> Iterator[_Branch]:
        """All branches; their digits turn as those of an odometer, the last one fastest."""
        digits: list[int] = []
        end = 0
        while True:
            sizes, configurations = self._first_branch(digits)
            digits += [0] * (len(sizes) - len(digits))
            end += configurations
            yield _Branch(tuple(digits), end)
            while digits and digits[-1] + 1 == sizes[len(digits) - 1]:
                digits.pop()
            if not digits:
                return
            digits[-1] += 1

    def _first_branch(self, digits: Sequence[int]) -> tuple[list[int], int]:
        """Of the first branch whose digits begin with these: how many values each digit has, and the branch's size."""
        deciding: list[int] = []
        free: list[int] = []

        def choose(full: str, _: Parameter) -> Scalar:
            values = self._values[full]
            if full not in self._decisive:
                free.append(len(values))
                return values[0]
            deciding.append(len(values))
            return values[digits[len(deciding) - 1] if len(deciding) <= len(digits) else 0]

        self._space.fill(choose)
        return deciding, prod(free)


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


def endless(space: Space) -> list[str]:
    """The names of the parameters that have more values than can be counted."""
    return [name for name, one in space.parameters.items() if not _values(one)]


def configurations(space: Space, most: int) -> int:
    """How many trials a search can have that looks for so many: as many as the space has configurations, at most."""
    return most if endless(space) else Grid(space, 0).count(most)


def no_grid(space: Space) -> str | None:
    """Why a space has no grid; None where it has one."""
    names = listed(endless(space), "and")
    return f'sampler.name: "grid" needs a step in every float; there is none in {names}' if names else None


def _values(parameter: Parameter) -> tuple[Scalar, ...] | range:
    """All values of a parameter; none of one that is continuous."""
    if isinstance(parameter, Int) and parameter.step is None:
        return range(parameter.low, parameter.high + 1)
    return parameter.grid() or ()
