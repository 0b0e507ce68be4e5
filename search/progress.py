"""How far a trial has come, and which of its epochs is its best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from studies.records import Direction


@dataclass(frozen=True)
class Progress:
    """A trial after some epochs.

    Attributes:
        epoch: Completed epochs.
        history: Per metric, one value a completed epoch.
        best_epoch: The epoch whose weights are kept, counted from 1; None before the first epoch.
        seconds: Time spent in training and validation.
    """

    epoch: int = 0
    history: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    best_epoch: int | None = None
    seconds: float = 0.0

    def after(self, metrics: Mapping[str, float], monitor: str, direction: Direction, seconds: float) -> Progress:
        """The trial one epoch later. Without the monitor (no validation split) the last epoch is the best."""
        history = {name: (*self.history.get(name, ()), value) for name, value in metrics.items()}
        best = best_epoch(history[monitor], direction) if monitor in history else self.epoch + 1
        return Progress(self.epoch + 1, history, best, self.seconds + seconds)

    def before(self, epoch: int, monitor: str, direction: Direction) -> Progress:
        """The trial as it stood before a completed epoch, each having taken as long as the others."""
        if epoch == 1:
            return Progress()
        history = {name: values[: epoch - 1] for name, values in self.history.items()}
        best = best_epoch(history[monitor], direction) if monitor in history else epoch - 1
        return Progress(epoch - 1, history, best, self.seconds * (epoch - 1) / self.epoch)

    def at(self, epoch: int | None) -> dict[str, float]:
        """Every metric at a completed epoch; empty for None."""
        if epoch is None:
            return {}
        return {name: values[epoch - 1] for name, values in self.history.items()}


def best_epoch(values: Sequence[float], direction: Direction) -> int:
    """The epoch, from 1, with the best value; of equals the first. `values` is not empty."""
    choose = max if direction == "maximize" else min
    return values.index(choose(values)) + 1
