"""How far a number may be trusted: the generalization gap and its standard error."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gap:
    """A difference between two accuracies.

    Attributes:
        value: In accuracy (0.01 is one percentage point).
        standard_error: Of the value, in the same unit.
    """

    value: float
    standard_error: float


def gap_from_rates(validation_rate: float, validation_count: int, test_rate: float, test_count: int) -> Gap:
    """How much accuracy a model loses between the validation and the test split, two independent samples.

    The standard error is that of the Agresti-Caffo interval: with one success and one failure added
    to each sample, p = (hits + 1) / (n + 2), it is sqrt(p1 (1 - p1) / (n1 + 2) + p2 (1 - p2) / (n2 + 2)).
    Unlike the textbook (Wald) one it does not vanish for a model that is always right.

    Args:
        validation_rate: Accuracy on the validation split, from 0 to 1.
        validation_count: Examples in the validation split.
        test_rate: Accuracy on the test split, from 0 to 1.
        test_count: Examples in the test split.
    Returns:
        The plain difference, validation minus test (above 0 when test is worse), and its standard error.
    Raises:
        ValueError: A rate is not from 0 to 1, or a split is empty.
    Source:
        Agresti and Caffo (2000), doi:10.1080/00031305.2000.10474560.
    """
    variance = _variance("validation", validation_rate, validation_count)
    variance += _variance("test", test_rate, test_count)
    return Gap(without_dust(validation_rate - test_rate), math.sqrt(variance))


def without_dust(value: float) -> float:
    """What was computed from numbers of a float32, in no more digits than theirs: 0.001, not 0.0010000000000000009."""
    return float(f"{value:.9g}")


def mean_over_seeds(values: Sequence[float]) -> float:
    """The mean of what one configuration reached with each of its seeds.

    Of several it has six digits: those that are right equally often together get one mean, though each of their shares
    was rounded to a float32.

    Args:
        values: One or more.
    """
    return values[0] if len(values) == 1 else float(f"{sum(values) / len(values):.6g}")


def _variance(split: str, rate: float, count: int) -> float:
    if count < 1:
        raise ValueError(f"the {split} split must hold at least one example (count = {count})")
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"the {split} accuracy must be from 0 to 1 (rate = {rate})")
    adjusted = (rate * count + 1) / (count + 2)
    return adjusted * (1 - adjusted) / (count + 2)
