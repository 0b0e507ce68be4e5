"""Configurations as places in the unit cube: each parameter from 0 to 1."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from spaces.parameters import Parameter, Scalar
from spaces.sampling import draw

BELOW_ONE = math.nextafter(1.0, 0.0)


class Place(ABC):
    """Answers what is drawn for one configuration by where it lies.

    Attributes:
        coordinates: Of all that was drawn, as `coordinate` has them.
    """

    def __init__(self) -> None:
        self.coordinates: dict[str, float] = {}

    @abstractmethod
    def at(self, name: str) -> float:
        """Where a parameter lies, from 0 to below 1."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """The whole number whose part of the range this is; with `log` the parts are alike in ratio, not in width."""
        if not log:
            return low + step * self._part(name, self.at(name), (high - low) // step + 1)
        drawn = min(high, math.floor(_between(low, high + 1, self.at(name), log)))
        self.coordinates[name] = _share(low, high + 1, drawn + 0.5, log)
        return drawn

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """The number there."""
        self.coordinates[name] = at = self.at(name)
        return min(high, max(low, _between(low, high, at, log)))

    def suggest_categorical(self, name: str, choices: Sequence[Scalar]) -> Scalar:
        """The choice whose part this is."""
        return choices[self._part(name, self.at(name), len(choices))]

    def _part(self, name: str, at: float, parts: int) -> int:
        part = math.floor(at * parts)
        self.coordinates[name] = (part + 0.5) / parts
        return part


class _Asked:
    """Notes what a parameter is drawn from; answers anything that lies in it."""

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


def drawn_from(parameter: Parameter) -> BaseDistribution:
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


def _between(low: float, high: float, share: float, log: bool) -> float:
    if log:
        return math.exp(_between(math.log(low), math.log(high), share, False))
    return low + (high - low) * share


def _share(low: float, high: float, value: float, log: bool) -> float:
    if log:
        return _share(math.log(low), math.log(high), math.log(value), False)
    return (value - low) / (high - low) if high > low else 0.5
