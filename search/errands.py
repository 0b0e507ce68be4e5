"""Jobs after the search: given to whichever worker is free, tried again when a worker dies."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from search.errors import Interrupted, SearchError
from search.messages import EpochDone, Job, JobDone, Refused, TrainJob, TrialFailed
from search.pool import Died, Pool
from search.progress import Direction, Progress
from search.signals import StopRequest

_TRIES = 3


@dataclass
class Errand:
    """A job and what came of it.

    Attributes:
        epochs: What it reported, by epoch.
        done: Its end.
        tries: Workers that were given it.
    """

    job: Job
    epochs: dict[int, EpochDone] = field(default_factory=dict)
    done: JobDone = field(default_factory=JobDone)
    tries: int = 0

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


def run_errands(pool: Pool, jobs: Sequence[Job], stop: StopRequest, observe: Callable[..., None]) -> list[Errand]:
    """Do all jobs, several at a time.

    Returns:
        One errand a job, in the order of `jobs`.
    Raises:
        Interrupted: The user asked to end.
        SearchError: A job failed, or killed three workers.
    """
    errands = [Errand(job) for job in jobs]
    waiting = deque(errands)
    busy: dict[int, Errand] = {}
    while waiting or busy:
        for slot in pool.slots:
            if slot not in busy and waiting:
                busy[slot] = _give(pool, slot, waiting.popleft())
        if stop.is_set():
            raise Interrupted(stop.exit_code)
        for slot, event in pool.events(0.2):
            match event:
                case EpochDone() if slot in busy:
                    busy[slot].epochs[event.epoch] = event
                    observe("epoch", worker=slot, epoch=event.epoch, **busy[slot].told())
                case JobDone() if slot in busy:
                    busy.pop(slot).done = event
                case TrialFailed():
                    raise SearchError(f"trial {event.trial}: {event.reason}", exit_code=1)
                case Refused():
                    raise SearchError(event.message)
                case Died():
                    pool.replace(slot)
                    if slot in busy:
                        waiting.appendleft(_again(busy.pop(slot), event))
    return errands


def _give(pool: Pool, slot: int, errand: Errand) -> Errand:
    errand.tries += 1
    pool.send(slot, errand.job)
    return errand


def _again(errand: Errand, death: Died) -> Errand:
    if errand.tries >= _TRIES:
        raise SearchError(f"{errand.tries} workers died over one job ({death.reason})", exit_code=1)
    return errand
