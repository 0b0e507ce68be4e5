"""Jobs after the search: given to whichever worker is free, tried again when a worker dies."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from search.errors import Interrupted, SearchError
from search.messages import EpochDone, Event, Job, JobDone, Refused, TrainJob, TrialFailed
from search.pool import Died, Pool
from search.progress import Progress
from search.signals import StopRequest
from search.telling import Observe, to_nobody
from studies.records import Direction

_TRIES = 3
_TICK_SECONDS = 0.2
_SILENT_SECONDS = 10800.0  # longer than an epoch or an evaluation takes: such a worker hangs


@dataclass
class Errand:
    """A job and what came of it.

    Attributes:
        epochs: What it reported, by epoch.
        done: Its end.
        failed: Why its training failed; empty if it didn't.
        tries: Workers that were given it since its last epoch.
    """

    job: Job
    epochs: dict[int, EpochDone] = field(default_factory=dict)
    done: JobDone = field(default_factory=JobDone)
    failed: str = ""
    tries: int = 0

    def epoch_done(self, event: EpochDone) -> None:
        """Take an epoch in; those after it were of a worker whose checkpoints are lost."""
        self.epochs = {epoch: known for epoch, known in self.epochs.items() if epoch < event.epoch}
        self.epochs[event.epoch] = event
        self.tries = 1

    def told(self) -> dict[str, object]:
        """What a display says of it beside the epoch."""
        if not isinstance(self.job, TrainJob):
            return {}
        task = self.job.tasks[0]
        return {
            "trial": task.trial,
            "doing": f"trial {task.trial}, seed {task.seed}",
            "to_epoch": self.job.to_epoch,
        }

    def progress(self, monitor: str, direction: Direction) -> Progress:
        """The training that a TrainJob did."""
        progress = Progress()
        for epoch in sorted(self.epochs):
            event = self.epochs[epoch]
            seconds = event.seconds - progress.seconds
            progress = progress.after(event.metrics, monitor, direction, seconds)
        return progress


@dataclass(frozen=True)
class Crew:
    """Who does jobs after the search.

    Attributes:
        pool: The workers.
        stop: Set when the user asks to end.
        observe: Told of the progress.
    """

    pool: Pool
    stop: StopRequest = field(default_factory=StopRequest)
    observe: Observe = to_nobody


def run_errands(crew: Crew, jobs: Sequence[Job]) -> list[Errand]:
    """Do all jobs, several at a time. A training that fails is told by its errand.

    Returns:
        One errand a job, in the order of `jobs`.
    Raises:
        Interrupted: The user asked to end.
        SearchError: A job killed three workers, or workers cannot be started.
    """
    errands = [Errand(job) for job in jobs]
    rounds = _Round(crew.pool, errands, crew.observe)
    while rounds.go_on():
        if crew.stop.is_set():
            raise Interrupted(crew.stop.exit_code)
        for slot, event in crew.pool.events(_TICK_SECONDS):
            rounds.handle(slot, event)
    return errands


class _Round:
    """Errands that wait, those that workers are busy with, and what is known of the workers."""

    def __init__(self, pool: Pool, errands: Sequence[Errand], observe: Observe) -> None:
        self._pool = pool
        self._observe = observe
        self._waiting = deque(errands)
        self._busy: dict[int, Errand] = {}
        self._heard: dict[int, float] = {}
        self._deaths = Counter[int]()  # by slot, since its workers last said something

    def go_on(self) -> bool:
        """Give idle workers what waits, and kill those that hang; False when all is done."""
        for slot in self._pool.slots:
            if slot not in self._busy and self._waiting:
                self._give(slot, self._waiting.popleft())
            elif slot in self._busy and time.monotonic() - self._heard[slot] > _SILENT_SECONDS:
                self._pool.kill(slot)
                self._heard[slot] = time.monotonic()
        return bool(self._waiting or self._busy)

    def handle(self, slot: int, event: Event | Died) -> None:
        """Take in what a worker says."""
        self._heard[slot] = time.monotonic()
        match event:
            case EpochDone() if slot in self._busy:
                self._busy[slot].epoch_done(event)
                self._observe("epoch", worker=slot, epoch=event.epoch, **self._busy[slot].told())
            case JobDone() if slot in self._busy:
                self._busy.pop(slot).done = event
            case TrialFailed() if slot in self._busy:
                self._busy[slot].failed = event.reason
            case Refused():
                raise SearchError(event.message, event.exit_code)
            case Died():
                self._replace(slot, event)
                return
        self._deaths[slot] = 0

    def _give(self, slot: int, errand: Errand) -> None:
        errand.tries += 1
        self._busy[slot], self._heard[slot] = errand, time.monotonic()
        self._pool.send(slot, errand.job)

    def _replace(self, slot: int, death: Died) -> None:
        """Start another worker, which is given the errand again unless that killed too many."""
        self._deaths[slot] += 1
        if slot in self._busy:
            self._waiting.appendleft(self._busy.pop(slot))
            if self._waiting[0].tries >= _TRIES:
                raise SearchError(f"{_TRIES} workers died over one job {death}", exit_code=1)
        elif self._deaths[slot] >= _TRIES:
            raise SearchError(f"a worker cannot start {death}", exit_code=3)
        self._pool.replace(slot)
