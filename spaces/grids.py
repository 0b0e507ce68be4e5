"""Grids of numbers in exact decimals: 0.1, 0.2, 0.3, where floats would add up to 0.30000000000000004."""

from decimal import Decimal
from functools import lru_cache

_CLOSE = Decimal("1e-9")  # relative; numbers this near are one number, written with fewer digits


@lru_cache(typed=True)  # 1 and 1.0 make different grids
def grid(low: float, high: float, step: float, log: bool) -> tuple[float, ...]:
    """The numbers from low to high that are step apart, or where log is true a factor of step.

    High has to be one of them (see `ends`). Whole bounds make whole numbers.
    """
    kind = type(high)
    count = round(steps_between(low, high, step, log))
    return (*(kind(_after(number, low, step, log)) for number in range(count)), high)


def steps_between(low: float, high: float, step: float, log: bool) -> Decimal:
    """How many steps lead from low to high: a whole number where they fit."""
    first, last, stride = _exact(low), _exact(high), _exact(step)
    return (last / first).ln() / stride.ln() if log else (last - first) / stride


def ends(low: float, high: float, step: float, log: bool) -> tuple[float, ...]:
    """Where the steps from low can end: at high itself, or else at the numbers around it."""
    kind = type(high)
    count = steps_between(low, high, step, log)
    miss = abs(_after(round(count), low, step, log) - _exact(high))
    if miss <= (0 if kind is int else _CLOSE * _exact(high if log else step)):
        return (high,)
    return tuple(kind(_after(number, low, step, log)) for number in (int(count), int(count) + 1))


def _after(count: int, low: float, step: float, log: bool) -> Decimal:
    first, stride = _exact(low), _exact(step)
    return first * stride**count if log else first + stride * count


def _exact(number: float) -> Decimal:
    return Decimal(repr(number))
