"""A trial as the supervisor sees it while it trains: its record, and what the store doesn't know yet."""

from __future__ import annotations

from dataclasses import replace

from search.messages import EpochDone
from search.progress import Progress
from studies.records import Direction, TrialRecord, TrialState


class Flight:
    """A trial that may still go on.

    Attributes:
        record: What the store holds of it, or will hold with the next save.
        unsaved: Epochs that the store doesn't have yet, with the monitor's values.
        deaths: How many workers died over it since its last epoch, in this run.
    """

    def __init__(self, record: TrialRecord, monitor: str, direction: Direction) -> None:
        self.record = record
        self.unsaved: dict[int, float] = {}
        self.deaths = 0
        self._monitor = monitor
        self._direction = direction
        self._progress = Progress(record.epochs, record.history, record.best_epoch, record.seconds)

    @property
    def epochs(self) -> int:
        """Completed epochs."""
        return self._progress.epoch

    def epoch_done(self, event: EpochDone) -> bool:
        """Take an epoch in; False if it was known (a worker died and its successor repeated it)."""
        if event.epoch != self.epochs + 1:
            return False
        seconds = max(0.0, event.seconds - self._progress.seconds)
        self._progress = self._progress.after(event.metrics, self._monitor, self._direction, seconds)
        self.unsaved[event.epoch] = event.metrics[self._monitor]
        self.deaths = 0
        self._update(state="running")
        return True

    def rung_reached(self, state: TrialState) -> None:
        """Note the best value so far as the one it is compared by at this rung."""
        rungs = {**self.record.rungs, self.epochs: self.record.value or 0.0}
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
