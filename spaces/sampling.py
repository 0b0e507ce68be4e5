"""One set of params for a trial, drawn in an order that a sampler can learn from.

A sampler knows ranges and choices, not geometric grids, orders or decimals that must be exact. These
are drawn as the index of a value, so that neighbours stay neighbours.
"""

from collections.abc import Sequence
from typing import Protocol

from spaces.parameters import Categorical, Float, Int, Ordinal, Parameter, Params, Scalar
from spaces.space import Space


class Trial(Protocol):
    """What draws values; `optuna.Trial` is one."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number from low to high."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number from low to high."""

    def suggest_categorical(self, name: str, choices: Sequence[Scalar]) -> Scalar | None:
        """One of the choices."""


def suggest(space: Space, trial: Trial, given: Params | None = None) -> Params:
    """A value for every parameter that exists beside the values drawn before it.

    Args:
        space: What may vary.
        trial: Draws the values, by their full names; fixed ones are not drawn.
        given: Values that are taken instead of drawn. Those that do not exist beside the others are
            left out (`Space.problems_with` tells beforehand).
    """
    known = given or {}

    def choose(full: str, parameter: Parameter) -> Scalar:
        return parameter.settle(known[full]) if full in known else draw(trial, full, parameter)

    return space.fill(choose)


def draw(trial: Trial, full: str, parameter: Parameter) -> Scalar:
    """A value of one parameter."""
    if is_indexed(parameter):
        return from_index(parameter, trial.suggest_int(full, 0, len(parameter.grid() or ()) - 1))
    match parameter:
        case Int(low=low, high=high, step=step, log=log):
            return from_index(parameter, trial.suggest_int(full, low, high, step=step or 1, log=log))
        case Float(low=low, high=high, log=log):
            return from_index(parameter, trial.suggest_float(full, low, high, log=log))
        case Categorical(choices=choices):
            chosen = trial.suggest_categorical(full, choices)
            assert chosen is not None
            return chosen
    return parameter.middle()  # a fixed value


def is_indexed(parameter: Parameter) -> bool:
    """Whether a sampler draws the index of the value: orders, geometric grids, and grids of decimals."""
    if isinstance(parameter, Int):
        return parameter.step is not None and parameter.log
    return isinstance(parameter, Ordinal) or (isinstance(parameter, Float) and parameter.step is not None)


def to_index(parameter: Parameter, value: Scalar) -> Scalar:
    """What a sampler drew for a value: its index where `is_indexed`, its mirror image in a reversed range, else itself.

    Raises:
        ValueError: An indexed parameter does not have the value.
    """
    values = parameter.grid() if is_indexed(parameter) else None
    if values is None:
        return _mirrored(parameter, value)
    if law := parameter.problem(value):
        raise ValueError(law)
    return values.index(parameter.settle(value))


def from_index(parameter: Parameter, drawn: Scalar) -> Scalar:
    """The value that a sampler means by what it drew; undoes `to_index`."""
    return (parameter.grid() or ())[int(drawn)] if is_indexed(parameter) else _mirrored(parameter, drawn)


def _mirrored(parameter: Parameter, value: Scalar) -> Scalar:
    if isinstance(parameter, Int | Float) and parameter.reverse:
        return parameter.mirrored(value)  # type: ignore[arg-type]  # a number, since it is of a range
    return value
