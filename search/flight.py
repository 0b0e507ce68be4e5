"""A trial as the supervisor sees it while it trains: its record, and what the store doesn't know yet."""

from __future__ import annotations

import math
from dataclasses import replace

from search.messages import EpochDone
from search.progress import Progress
from studies.patience import EarlyStopping
from studies.records import Direction, TrialRecord, TrialState


class Flight:
    """A trial that may still go on.

    Attributes:
        record: What the store holds of it, or will hold with the next save.
        unsaved: Epochs that the store doesn't have yet, with the monitor's values.
        deaths: How many workers died over it since its last epoch.
        epoch_seconds: What its last epoch took, or one of those of earlier runs; 0 before the first.
    """

    def __init__(
        self, record: TrialRecord, monitor: str, direction: Direction, early_stopping: EarlyStopping | None = None
    ) -> None:
        self.record = record
        self.unsaved: dict[int, float] = {}
        self.deaths = 0
        self.epoch_seconds = record.seconds / max(record.epochs, 1)
        self._monitor = monitor
        self._direction = direction
        self._early_stopping = early_stopping
        self._progress = Progress(record.epochs, record.history, record.best_epoch, record.seconds)

    @property
    def epochs(self) -> int:
        """Completed epochs."""
        return self._progress.epoch

    @property
    def stopped(self) -> bool:
        """Whether early stopping has ended its training; its worker sees that in the same history."""
        return self._early_stopping is not None and self._early_stopping.stopped(self._progress.history) is not None

    def epoch_done(self, event: EpochDone) -> bool:
        """Take an epoch in; False if it is known with these metrics, or is not the next one.

        A worker that lacks the checkpoint of the one before trains known epochs anew. Where its metrics differ from
        the known ones (another device, a `fit` with random numbers of its own), they take their place: the weights
        are now those of this training.
        """
        known = event.epoch <= self.epochs
        if event.epoch > self.epochs + 1 or (known and self._progress.at(event.epoch) == event.metrics):
            return False
        if known:
            self._progress = self._progress.before(event.epoch, self._monitor, self._direction)
        self.epoch_seconds = max(0.0, event.seconds - self._progress.seconds)
        self._progress = self._progress.after(event.metrics, self._monitor, self._direction, self.epoch_seconds)
        self.unsaved[event.epoch] = event.metrics[self._monitor]
        self.deaths = 0
        self._update(state="running")
        return True

    def rung_reached(self, state: TrialState, rung: int) -> None:
        """Note its best value so far as the one by which it is compared with others at a rung.

        A trial that early stopping has ended comes to the rung it was on its way to with fewer epochs: with more, its
        best value would be the same.
        """
        value = self.record.value
        rungs = {**self.record.rungs, rung: math.nan if value is None else value}
        self._update(state=state, rungs=rungs)

    def ends(self, state: TrialState, reason: str | None) -> None:
        """Give it its final state."""
        self._update(state=state, reason=reason)

    def weighs(self, weights: int) -> None:
        """Note the number of weights of its model."""
        self.record = replace(self.record, weights=weights)

    def _update(self, **changes: object) -> None:
        progress = self._progress
        metrics = progress.at(progress.best_epoch)
        self.record = replace(
            self.record,
            epochs=progress.epoch,
            value=metrics.get(self._monitor),
            best_epoch=progress.best_epoch,
            metrics=metrics,
            history=dict(progress.history),
            seconds=progress.seconds,
            **changes,  # type: ignore[arg-type]
        )
