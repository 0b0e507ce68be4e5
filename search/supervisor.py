"""Owns the study: jobs out to the workers, epochs in from them, every step of a trial kept in the store."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from datetime import UTC, datetime
from functools import partial

from reports.words import counted
from search.agenda import Agenda
from search.desk import Desk
from search.errors import Interrupted, SearchError
from search.flight import Flight
from search.logbook import Logbook
from search.messages import EpochDone, Event, JobDone, Ready, Refused, TrainJob, TrialFailed
from search.pool import Died, Pool
from search.recipe import Recipe
from search.signals import StopRequest
from search.telling import Observe
from studies.promotion import Step

_RETRIES = 2  # of an epoch, or a start, whose worker was killed or hung; a trial's own errors are never retried
_FAILURES_IN_A_ROW = 5  # jobs of which no trial is left
_FLUSH_SECONDS = 0.5
_TICK_SECONDS = 0.2
_STARTING_SECONDS = 3600.0  # without a sign of life: importing, loading data
_FIRST_SECONDS = 10800.0  # before the first epoch of a network: nothing yet tells how long that may take
_PATIENCE_SECONDS = 300.0  # before others; ten epochs of the network if they take longer
_PROGRAM_SECONDS = 0.5  # that making a program takes, until it is known
_PAUSE_SECONDS = 5.0  # beyond the epoch under way, until a worker that doesn't pause is killed


class Supervisor:
    """Runs one search until its limits are reached or `stop` is set."""

    def __init__(self, logbook: Logbook, recipe: Recipe, pool: Pool, stop: StopRequest, observe: Observe) -> None:
        self._logbook = logbook
        self._plan = recipe.loaded.plan
        self._recipe = recipe
        self._pool = pool
        self._stop = stop
        self._observe = observe
        self._agenda = Agenda(logbook, recipe)
        self._desks = {slot: Desk() for slot in pool.slots}
        self._epoch_seconds: deque[float] = deque(maxlen=50)
        self._program_seconds: deque[float] = deque([_PROGRAM_SECONDS], maxlen=20)
        self._first_epochs: dict[str, float] = {}  # by structure: until a second one tells what was the program's
        self._waiting_since: dict[int, float] = {}  # by number: trials that were left to another worker
        self._failures: list[str] = []  # since a job brought something
        self._failed_jobs = 0
        self._notes: set[str] = set()  # that were told
        self._pausing = False
        self._began = self._flushed = time.monotonic()

    def run(self) -> None:
        """Search until every trial has its final state, or the time is up.

        Raises:
            Interrupted: `stop` was set; a later run goes on from what is stored, which is all that was done.
            SearchError: The study cannot be trained, or workers cannot be started.
            StudyError: The store is locked, full or gone.
        """
        with self._logbook:
            while (self._busy() or self._agenda.find_more()) and not self._out_of_time() and not self._stop.is_set():
                self._give_jobs()
                self._listen()
                self._flush()
                self._watch()
            self._pause()
            if self._stop.is_set():
                raise Interrupted(self._stop.exit_code)
            if not self._agenda.find_more():  # else more minutes would let the others go on
                self._end()
            self._logbook.settle()

    def _busy(self) -> list[int]:
        """The slots whose workers have a job."""
        return [slot for slot, desk in self._desks.items() if desk.job]

    def _trials(self, desk: Desk) -> list[tuple[Step, Flight]]:
        """The trials of a worker's job, but for those that have failed."""
        flights = self._logbook.flights
        return [(step, flights[step.number]) for step in desk.steps if step.number in flights]

    def _out_of_time(self) -> bool:
        minutes = self._plan.budget.minutes
        return minutes is not None and self._elapsed() >= 60 * minutes

    def _elapsed(self) -> float:
        return self._logbook.seconds_before + time.monotonic() - self._began

    # Jobs out

    def _give_jobs(self) -> None:
        idle = [slot for slot, desk in self._desks.items() if desk.ready and desk.job is None]
        for slot in idle:
            left = partial(self._left_to_another, slot)
            steps = self._agenda.next(self._desks[slot].cohort, left, ahead=len(self._desks))
            if steps:
                self._give(slot, steps)
        if 1 < len(self._desks) == len(self._busy()):
            self._agenda.prepare()  # one worker alone had better wait for what its job will teach the sampler

    def _left_to_another(self, slot: int, number: int) -> bool:
        """Whether a trial had better wait for another worker, which has made its program already.

        It had, while that worker will be free sooner than this one could make the program; and not longer than that
        takes, in all.
        """
        trace = self._agenda.trace(number)
        others = [desk for other, desk in self._desks.items() if other != slot and trace in desk.traces]
        if trace in self._desks[slot].traces or not others:
            return False
        seconds = _typical(self._program_seconds)
        if min(self._seconds_left(desk) for desk in others) > seconds:
            return False
        now = time.monotonic()
        return now - self._waiting_since.setdefault(number, now) < seconds

    def _seconds_left(self, desk: Desk) -> float:
        """About how long a worker will still be busy."""
        if desk.job is None:
            return 0.0
        top = desk.job.to_epoch
        done = min((flight.epochs for _, flight in self._trials(desk)), default=top)
        return (top - done) * _typical(self._epoch_seconds)

    def _give(self, slot: int, steps: list[Step]) -> None:
        records = [self._logbook.flights[step.number].record for step in steps]
        structure, to_epoch = self._agenda.structure(steps[0].number), steps[0].to_epoch
        job = TrainJob(structure=structure, tasks=[self._recipe.task(record) for record in records], to_epoch=to_epoch)
        self._desks[slot].begin(job, steps, self._agenda.trace(steps[0].number))
        for record in records:
            self._waiting_since.pop(record.number, None)
            self._observe(
                "trial",
                worker=slot,
                trial=record.number,
                epoch=record.epochs,
                to_epoch=to_epoch,
                params=record.params,
                cohort=len(records),
            )
        self._pool.send(slot, job)

    # Events in

    def _listen(self) -> None:
        """Take in what workers say, waiting a little if they say nothing."""
        for slot, event in self._pool.events(_TICK_SECONDS):
            self._handle(slot, event)

    def _handle(self, slot: int, event: Event | Died) -> None:
        desk = self._desks[slot]
        desk.heard = time.monotonic()
        match event:
            case Ready():
                if not any(other.ready for other in self._desks.values()):
                    self._observe("phase", phase="search")
                desk.ready, desk.cohort = True, event.cohort
                self._observe("worker", worker=slot, **event.model_dump(exclude={"type"}))
                if event.warning:
                    self._observe("message", text=f"worker {slot}: {event.warning}")
            case EpochDone() | TrialFailed() if event.trial not in self._logbook.flights:
                pass  # it has failed already: tried again with others of its cohort
            case EpochDone():
                self._epoch_done(slot, desk, event)
            case TrialFailed():
                desk.tainted = bool(event.details)
                self._trial_failed(event.trial, event.reason, event.details)
            case JobDone():
                self._job_done(desk, event)
                self._note(event.note)
                if desk.tainted or event.memory_bytes > self._pool.most_bytes:
                    self._recycle(slot)
            case Refused():
                raise SearchError(event.message, event.exit_code)
            case Died():
                self._worker_died(slot, desk, event)

    def _epoch_done(self, slot: int, desk: Desk, event: EpochDone) -> None:
        if desk.job is None or event.epoch > desk.job.to_epoch:
            return  # a checkpoint from before a kill that goes beyond what the store knows; it will be promoted again
        flight = self._logbook.flights[event.trial]
        if event.epoch <= flight.epochs:
            self._note(f"trial {event.trial}: its checkpoint is missing or damaged, so known epochs are trained again")
        if flight.epoch_done(event):
            self._learn_times(desk, flight.epoch_seconds * len(desk.steps))
            desk.epochs += 1
            value = flight.unsaved[event.epoch]
            self._observe(
                "epoch",
                worker=slot,
                trial=event.trial,
                epoch=event.epoch,
                value=value,
                best=flight.record.value,
            )

    def _note(self, text: str) -> None:
        """Tell a person something, once."""
        if text and text not in self._notes:
            self._notes.add(text)
            self._observe("message", text=text)

    def _learn_times(self, desk: Desk, seconds: float) -> None:
        """Note what an epoch of a whole cohort took, or else what making its program did.

        That is in the first epoch of a job, and known with the second: what the first took beyond it. A typical epoch
        would be no measure, for a large network's takes a multiple of it.
        """
        structure = desk.job.structure if desk.job else ""
        if desk.epochs == 0 and desk.makes_program:
            self._first_epochs[structure] = time.monotonic() - desk.given
            return
        self._epoch_seconds.append(seconds)
        if structure in self._first_epochs:
            self._program_seconds.append(max(0.0, self._first_epochs.pop(structure) - seconds))

    def _job_done(self, desk: Desk, event: JobDone) -> None:
        if desk.epochs == 0 and not self._pausing:  # else such a job would be given again for ever
            for step, flight in self._trials(desk):
                if not _arrived(flight, step):
                    law = f"its worker ended the job without training to epoch {step.to_epoch}"
                    self._trial_failed(step.number, law)
        trials = self._trials(desk)
        self._count_failures(desk, some_left=bool(trials))
        self._agenda.again([step for step, flight in trials if not _arrived(flight, step)])
        desk.job, desk.steps = None, []
        if len(trials) > 1:
            self._logbook.save_epochs()  # of all before one arrives: killed in between, a search goes on as it would
        for step, flight in trials:
            arrived = _arrived(flight, step)
            if event.weights and (arrived or not self._stop.is_set()):  # an interruption leaves no trace
                flight.weighs(event.weights)
            if arrived:
                self._arrive(flight, step.to_epoch)

    def _arrive(self, flight: Flight, rung: int) -> None:
        """A trial is at its rung."""
        number = flight.record.number
        complete = rung == self._plan.hyperband.max_resource
        flight.rung_reached("complete" if complete else "paused", rung)
        value = flight.record.value
        self._agenda.rule.arrive(number, rung, value if value is not None else math.nan)
        if complete and flight.stopped:
            flight.ends("complete", f"early stopping at epoch {flight.epochs}")
        if self._agenda.rule.out(number):
            flight.ends("pruned", f"stopped by Optuna's pruner after {counted(flight.epochs, 'epoch')}")
        self._logbook.save(flight)
        self._observe("rung", trial=number, epoch=flight.epochs, value=value, state=flight.record.state)

    def _trial_failed(self, number: int, reason: str, details: str = "") -> None:
        flight = self._logbook.flights[number]
        self._agenda.rule.fail(number)
        self._logbook.fail(flight, reason, details)
        self._observe("failed", trial=number, reason=reason, details=details)
        self._failures.append(reason)

    def _count_failures(self, desk: Desk, *, some_left: bool) -> None:
        """End a search in which nothing works: one job after the other of which no trial is left."""
        if some_left:
            self._failures, self._failed_jobs = [], 0
        elif desk.job is not None:
            self._failed_jobs += 1
        if self._failed_jobs >= _FAILURES_IN_A_ROW:
            failures = f"{len(self._failures)} trials failed one after the other"
            raise SearchError(f"{failures}; the last: {self._failures[-1]}", exit_code=1)

    def _worker_died(self, slot: int, desk: Desk, event: Died) -> None:
        if self._stop.is_set():  # all processes of the run may have been told to end: nobody takes its place
            desk.job, desk.steps = None, []
            return
        reason = f"no progress for {self._patience(desk):.0f} s" if desk.hung else event.reason
        if not desk.ready and not (event.killed and desk.failed_starts < _RETRIES):
            raise SearchError(f"a worker cannot start ({reason}):\n{event.last_words}", exit_code=3)
        self._observe("died", worker=slot, reason=reason)
        self._recycle(slot)
        self._desks[slot].failed_starts = 0 if desk.ready else desk.failed_starts + 1
        for step, flight in self._trials(desk):
            self._logbook.lost_worker(flight)
            if flight.deaths > _RETRIES:
                self._trial_failed(step.number, f"worker died {flight.deaths} times ({reason})", event.last_words)
        left = [step for step, _ in self._trials(desk)]
        self._agenda.again(left)
        if not left:
            self._count_failures(desk, some_left=False)

    def _recycle(self, slot: int) -> None:
        """Take a fresh process after an exception, or when one has grown too large."""
        self._desks[slot] = Desk()
        self._pool.replace(slot)

    # Keeping and ending

    def _flush(self) -> None:
        if time.monotonic() - self._flushed >= _FLUSH_SECONDS:
            self._logbook.save_epochs()
            self._tell([f"worker {slot}: {self._doing(desk)}" for slot, desk in self._desks.items()])
            self._flushed = time.monotonic()

    def _tell(self, workers: list[str]) -> None:
        """What `toprung status` shows: a search under way has a line a worker, one that has ended has none."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self._logbook.tell({"at": at, "elapsed": round(self._elapsed(), 1), "workers": workers})

    def _doing(self, desk: Desk) -> str:
        if desk.job is None:
            return "idle" if desk.ready else "starting"
        trials = self._trials(desk)
        if not trials:
            return "idle"
        (step, flight), *others = trials
        more = f" and {len(others)} more" if others else ""
        return f"trial {step.number}{more}, epoch {flight.epochs} of {step.to_epoch}"

    def _watch(self) -> None:
        """Kill workers that give no sign of life; `Died` will follow."""
        for slot, desk in self._desks.items():
            busy = desk.job is not None or not desk.ready
            if busy and not desk.hung and time.monotonic() - desk.heard > self._patience(desk):
                desk.hung = True
                self._pool.kill(slot)

    def _patience(self, desk: Desk) -> float:
        if not desk.ready:
            return _STARTING_SECONDS
        slowest = max((flight.epoch_seconds for _, flight in self._trials(desk)), default=0)
        least = _FIRST_SECONDS if desk.epochs == 0 and (desk.makes_program or not slowest) else _PATIENCE_SECONDS
        return max(least, 10 * slowest * len(desk.steps))

    def _pause(self) -> None:
        """Let every worker finish its epoch, and keep what they report; kill those that take too long."""
        self._pausing = True
        self._pool.pause()
        longest = max(self._epoch_seconds, default=0.0) + max(self._program_seconds)
        deadline = time.monotonic() + longest + _PAUSE_SECONDS
        while self._busy() and time.monotonic() < deadline:
            self._listen()
        for slot in self._busy():  # it doesn't pause: what it says from now on must not reach the next phase
            self._agenda.again([step for step, _ in self._trials(self._desks[slot])])
            self._recycle(slot)
        self._logbook.save_epochs()
        self._tell([])
        self._logbook.settle()

    def _end(self) -> None:
        """The search is over: what still waits is pruned."""
        for _, flight in sorted(self._logbook.flights.items()):
            done = counted(flight.epochs, "epoch")
            begin = f"early stopping after {done}," if flight.stopped else f"stopped after {done}:"
            flight.ends("pruned", f"{begin} outranked at its rung")
            self._logbook.save(flight)


def _arrived(flight: Flight, step: Step) -> bool:
    """Whether a trial has trained as far as its step goes, or stopped early on the way."""
    return flight.epochs >= step.to_epoch or flight.stopped


def _typical(seconds: deque[float]) -> float:
    return statistics.median(seconds) if seconds else 0.0
