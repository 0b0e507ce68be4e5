"""From the epochs of a run to the figures of the benchmark; the same for all contestants."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.benchmarks.race import Epoch


@dataclass(frozen=True)
class Figures:
    """What a run has shown. Times are in seconds since its process was started.

    Attributes:
        trial_epochs: Trained within the budget.
        rate: Trial-epochs a second, importing and starting included.
        rate_once_started: The same from the first epoch on; None with a single epoch.
        first_epoch: When it had been trained.
        best: Validation accuracy after the budget's epochs.
        to_target: When the target was reached; None if it wasn't.
        to_reference: When the accuracy was reached that the reference ended with; None if it wasn't.
    """

    trial_epochs: int
    rate: float
    rate_once_started: float | None
    first_epoch: float
    best: float
    to_target: float | None
    to_reference: float | None


def figures(epochs: Sequence[Epoch], budget: int, target: float, reference: float) -> Figures:
    """The figures of a run.

    Args:
        epochs: All of the run, in the order of their arrival, at least one.
        budget: Trial-epochs that every contestant trains; later ones only count for the time to an accuracy.
        target: Validation accuracy to reach.
        reference: Another.
    """
    counted = epochs[:budget]
    first, last = counted[0].seconds, counted[-1].seconds
    return Figures(
        trial_epochs=len(counted),
        rate=len(counted) / last,
        rate_once_started=(len(counted) - 1) / (last - first) if last > first else None,
        first_epoch=first,
        best=best(epochs, budget),
        to_target=seconds_to(epochs, target),
        to_reference=seconds_to(epochs, reference),
    )


def best(epochs: Sequence[Epoch], budget: int) -> float:
    """The best validation accuracy within the first `budget` epochs."""
    return max(epoch.value for epoch in epochs[:budget])


def seconds_to(epochs: Sequence[Epoch], value: float) -> float | None:
    """When a validation accuracy was first reached."""
    return next((epoch.seconds for epoch in epochs if epoch.value >= value), None)


def improvements(epochs: Sequence[Epoch]) -> Iterator[tuple[float, int, float]]:
    """Seconds, trial-epochs and validation accuracy, each time that the best so far became better."""
    highest = -math.inf
    for count, epoch in enumerate(epochs, start=1):
        if epoch.value > highest:
            highest = epoch.value
            yield round(epoch.seconds, 3), count, epoch.value


def median_and_range(values: Sequence[float | None]) -> tuple[float, float, float]:
    """Median, lowest and highest; what was never reached counts as infinity."""
    known = [math.inf if value is None else value for value in values]
    return statistics.median(known), min(known), max(known)
