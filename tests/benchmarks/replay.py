"""A world in which configurations are trained by looking their learning curves up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spaces import Fixed, Parameter, Scalar, Space
from spaces.parameters import Categorical, Params
from spaces.sampling import is_indexed
from tests.benchmarks.curves import Curves


class Spent(Exception):
    """All epochs of the largest budget have been trained."""


class Places:
    """Where configurations lie in a space, each parameter from 0 to 1; shape of `of`: (coordinates,).

    A choice is as far from every other as one end of a range is from the other. A parameter that one of two
    configurations lacks adds nothing to their distance: what excludes it differs already.
    """

    def __init__(self, space: Space, pool: Sequence[Params]) -> None:
        self._space = space
        self._names = [name for params in pool for name in params]
        self._names = [n for n in dict.fromkeys(self._names) if not isinstance(space.parameter(n), Fixed)]
        self.pool = np.stack([self.of(params) for params in pool])

    def of(self, params: Params) -> NDArray[np.float64]:
        """The coordinates of a configuration; NaN where it lacks the parameter."""
        return np.array(
            [x for name in self._names for x in _coordinates(self._space.parameter(name), params.get(name))]
        )

    def nearest(self, params: Params, open_: NDArray[np.bool_]) -> int:
        """The configuration of the pool that lies nearest, among those that are open; of equals the first."""
        squares = np.nansum((self.pool - self.of(params)) ** 2, axis=1)
        return int(np.argmin(np.where(open_, squares, np.inf)))


def _coordinates(parameter: Parameter, value: Scalar | None) -> Iterator[float]:
    grid = parameter.grid()
    if isinstance(parameter, Categorical):
        yield from (math.nan if value is None else math.sqrt(0.5) * (value == choice) for choice in parameter.choices)
    elif value is None:
        yield math.nan
    elif is_indexed(parameter) and grid is not None:
        yield grid.index(value) / max(1, len(grid) - 1)
    else:
        low, high, at = (math.log(x) if parameter.log else x for x in (parameter.low, parameter.high, value))
        yield (at - low) / (high - low) if high > low else 0.0


@dataclass
class World:
    """One repetition: trains what a contestant asks for, and asks it after each budget what it would choose.

    No contestant sees the mean over the seeds: a configuration has the curve of one seed, the same for all
    contestants of a repetition. What is chosen is judged by the mean: what training it anew can be expected to
    bring, at its best epoch.

    Attributes:
        budgets: Epochs of work, rising.
        choose: The contestant's choice as things stand; a place in the pool.
        chosen: What it chose after each budget so far.
        worked: Every epoch so far, as a place in the pool.
    """

    curves: Curves
    places: Places
    repetition: int
    budgets: Sequence[int]
    choose: Callable[[], int] = field(init=False)
    chosen: list[int] = field(default_factory=list)
    worked: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        count, seeds, _ = self.curves.values.shape
        self._seeds = np.random.default_rng([self.repetition, 1]).integers(seeds, size=count)
        self._open = np.ones(count, bool)
        self._done = np.zeros(count, int)

    def settle(self, params: Params) -> int:
        """The configuration that is trained for these params: the nearest of the pool that nobody had before."""
        if not self._open.any():
            raise Spent
        index = self.places.nearest(params, self._open)
        self._open[index] = False
        return index

    def params(self, index: int) -> Params:
        """A configuration of the pool."""
        return dict(self.curves.pool[index])

    def train(self, index: int) -> float:
        """One epoch more of a configuration; the validation accuracy after it.

        Raises:
            Spent: The last budget was spent before.
        """
        spent = len(self.worked)
        if spent in self.budgets and len(self.chosen) <= self.budgets.index(spent):
            self.chosen.append(self.choose())
        if spent == self.budgets[-1]:
            raise Spent
        self.worked.append(index)
        self._done[index] += 1
        return float(self.curves.values[index, self._seeds[index], self._done[index] - 1])


def finals(curves: Curves) -> NDArray[np.float64]:
    """What a configuration is worth: the mean over its seeds of the accuracy at the best of all epochs."""
    best = np.nanmax(curves.values.astype(np.float64), axis=2)
    return np.asarray(best.mean(axis=1))


def distances(world: World) -> list[float]:
    """How far each choice is from the best of the pool, in percentage points."""
    worth = finals(world.curves)
    return [100 * float(worth.max() - worth[index]) for index in world.chosen]
