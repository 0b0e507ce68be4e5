"""Configurations as places in the unit cube: each parameter from 0 to 1."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from spaces.parameters import Fixed, Parameter, Params, Scalar
from spaces.sampling import draw, suggest, to_index
from spaces.space import Space

Array = NDArray[np.float64]

BELOW_ONE = math.nextafter(1.0, 0.0)


class Place:
    """One configuration by where it lies: a `spaces.sampling.Trial` that "draws" the values there.

    Args:
        at: Where a parameter lies, by its full name: from 0 to below 1.
    """

    def __init__(self, at: Callable[[str], float]) -> None:
        self._at = at

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """The whole number whose part of the range this is; with `log` the parts are alike in ratio, not in width."""
        if log:
            return min(high, max(low, math.floor(_between(low, high + 1, self._at(name), log))))
        return low + step * math.floor(self._at(name) * ((high - low) // step + 1))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """The number there."""
        return min(high, max(low, _between(low, high, self._at(name), log)))

    def suggest_categorical(self, name: str, choices: Sequence[Scalar]) -> Scalar:
        """The choice whose part this is."""
        return choices[math.floor(self._at(name) * len(choices))]


class Cube:
    """The configurations of a space as points: a coordinate for each parameter that varies.

    Attributes:
        names: Full names of the parameters, in the order of the coordinates.
        kinds: What each is drawn from.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        varying = {full: space.parameter(full) for full in space.full_names}
        self.kinds = {full: _drawn_from(one) for full, one in varying.items() if not isinstance(one, Fixed)}
        self.names = list(self.kinds)
        self._decisive = [index for index, full in enumerate(self.names) if full in space.decisive]

    def point(self, params: Params) -> Array:
        """Where a configuration lies; NaN along what it lacks."""
        found = np.full(len(self.names), np.nan)
        for index, full in enumerate(self.names):
            if full in params:
                drawn = to_index(self._space.parameter(full), params[full])
                found[index] = coordinate(self.kinds[full], drawn)
        return found

    def params(self, point: Array, given: Params | None = None) -> Params:
        """The configuration at a point; a parameter whose value is given has that one, wherever the point lies."""
        coordinates = dict(zip(self.names, point.tolist(), strict=True))
        return suggest(self._space, Place(coordinates.__getitem__), given)

    def settled(self, points: Array, given: Params | None = None) -> Array:
        """The points with each coordinate as `point` would have it for the configuration there.

        So a whole number and a choice lie in the middle of their part, and what a configuration lacks is NaN.

        Args:
            points: Shape (points, coordinates), each from 0 to below 1.
            given: Values that all configurations have.
        """
        found = np.column_stack([_middle(kind, points[:, i]) for i, kind in enumerate(self.kinds.values())] or [points])
        for index, at in enumerate(self.point(given or {})):
            if not math.isnan(at):
                found[:, index] = at
        _, firsts, groups = np.unique(found[:, self._decisive], axis=0, return_index=True, return_inverse=True)
        for group, first in enumerate(firsts):  # points that agree in these have the same parameters
            params = self.params(found[first], given)
            lacked = [index for index, full in enumerate(self.names) if full not in params]
            found[np.ix_(groups.reshape(-1) == group, lacked)] = np.nan
        return found


class _Asked:
    """A `spaces.sampling.Trial` that notes what a parameter is drawn from, and answers anything that lies in it."""

    distribution: BaseDistribution

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self.distribution = IntDistribution(low, high, log=log, step=step)
        return low

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self.distribution = FloatDistribution(low, high, log=log, step=step)
        return low

    def suggest_categorical(self, name: str, choices: Sequence[Scalar]) -> Scalar:
        self.distribution = CategoricalDistribution(choices)
        return choices[0]


def _drawn_from(parameter: Parameter) -> BaseDistribution:
    """The distribution that a sampler draws a parameter from, indices included."""
    asked = _Asked()
    draw(asked, "", parameter)
    return asked.distribution


def coordinate(kind: BaseDistribution, drawn: Scalar) -> float:
    """Where a drawn value lies, from 0 to below 1; a `Place` there answers with the value.

    Args:
        kind: What it was drawn from.
        drawn: The value as it was drawn: of a geometric grid its index. A whole number and a choice lie in the
            middle of their part.
    """
    match kind:
        case IntDistribution(low=low, high=high, log=True):
            return _share(low, high + 1, float(drawn) + 0.5, log=True)
        case IntDistribution(low=low, high=high, step=step):
            return ((float(drawn) - low) / step + 0.5) / ((high - low) // step + 1)
        case FloatDistribution(low=low, high=high, log=log):
            return min(BELOW_ONE, _share(low, high, float(drawn), log))
        case CategoricalDistribution(choices=choices):
            return (choices.index(drawn) + 0.5) / len(choices)
    raise TypeError(f"no coordinate in {kind}")


def _middle(kind: BaseDistribution, at: Array) -> Array:
    """The middles of the parts in which coordinates lie; of a number that may be any the coordinates themselves."""
    match kind:
        case IntDistribution(low=low, high=high, log=True):
            bottom, top = math.log(low), math.log(high + 1)
            drawn = np.clip(np.floor(np.exp(bottom + (top - bottom) * at)), low, high)  # exp(log(5)) is below 5
            return np.asarray((np.log(drawn + 0.5) - bottom) / (top - bottom))
        case IntDistribution(low=low, high=high, step=step):
            parts = (high - low) // step + 1
        case CategoricalDistribution(choices=choices):
            parts = len(choices)
        case _:
            return at
    return np.asarray((np.floor(at * parts) + 0.5) / parts)


def _between(low: float, high: float, share: float, log: bool) -> float:
    if log:
        return math.exp(_between(math.log(low), math.log(high), share, False))
    return low + (high - low) * share


def _share(low: float, high: float, value: float, log: bool) -> float:
    if log:
        return _share(math.log(low), math.log(high), math.log(value), False)
    return (value - low) / (high - low) if high > low else 0.5
