"""One warm process: jobs in on standard input, epochs out on standard output, one JSON object a line.

The supervisor sets the environment (backend, threads, visible devices) before this process starts, because
Keras reads it when it is imported.
"""

from __future__ import annotations

import ctypes
import os
import queue
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from search.errors import SearchError
from search.messages import (
    ORDERS,
    EpochDone,
    EvaluateJob,
    Event,
    ExportJob,
    Job,
    JobDone,
    Pause,
    PredictJob,
    Ready,
    Refused,
    TrainJob,
    TrialFailed,
    Workload,
)
from search.quick_import import quick_import
from spaces.space import is_custom

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_OOM_SCORE = "500"  # of 1000; a program of which nothing is known has 0


class Trainer(Protocol):
    """Does the jobs; `search.training.KerasTrainer`, or one that only sleeps."""

    def train(
        self, job: TrainJob, report: Callable[[EpochDone | TrialFailed], None], paused: Callable[[], bool]
    ) -> JobDone:
        """Train a cohort."""

    def evaluate(self, job: EvaluateJob) -> JobDone:
        """Evaluate a trial's weights."""

    def export(self, job: ExportJob) -> JobDone:
        """Write a model file."""

    def predict(self, job: PredictJob) -> JobDone:
        """Write predictions."""


class Orders:
    """What the supervisor says, read by a thread so that a pause is seen between two epochs."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._orders: queue.Queue[Workload | Job | None] = queue.Queue()
        self._pause = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> Workload | Job | None:
        """The next order; None when the supervisor has closed the line."""
        return self._orders.get()

    def paused(self) -> bool:
        """Whether the job under way shall stop at the end of its epoch."""
        return self._pause.is_set()

    def _read(self) -> None:
        for line in self._stream:
            order = ORDERS.validate_json(line)
            if isinstance(order, Pause):
                self._pause.set()
            else:
                self._pause.clear()
                self._orders.put(order)
        self._pause.set()
        self._orders.put(None)


def serve(make_trainer: Callable[[Workload], tuple[Trainer, Ready]]) -> None:
    """Do the supervisor's jobs until it closes the line.

    Args:
        make_trainer: Called once, with the first message.
    """
    _die_with_parent()
    _die_first_for_want_of_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    events = _private_stdout()
    orders = Orders(_private_stdin())

    def say(event: Event) -> None:
        events.write(event.model_dump_json().encode() + b"\n")
        events.flush()

    workload = orders.next()
    if isinstance(workload, Workload):
        try:
            trainer, ready = make_trainer(workload)
            say(ready)
            while (order := orders.next()) is not None:
                done = _do(trainer, order, say, orders.paused)
                say(done.model_copy(update={"memory_bytes": _peak_memory()}))
        except SearchError as problem:
            say(Refused(message=str(problem), exit_code=problem.exit_code))


def _do(trainer: Trainer, order: Workload | Job, say: Callable[[Event], None], paused: Callable[[], bool]) -> JobDone:
    match order:
        case TrainJob():
            return trainer.train(order, say, paused)
        case EvaluateJob():
            return trainer.evaluate(order)
        case ExportJob():
            return trainer.export(order)
        case PredictJob():
            return trainer.predict(order)
    raise SearchError("worker: was briefed already", exit_code=1)


def _peak_memory() -> int:
    """Of this program alone: what `getrusage` knows on Linux begins with what the supervisor had taken."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def _private_stdin() -> IO[bytes]:
    """A descriptor of our own: Python closes `sys.stdin` when it ends, and aborts where a thread still reads it."""
    return os.fdopen(os.dup(sys.stdin.fileno()), "rb")


def _private_stdout() -> IO[bytes]:
    """Keep standard output for events; whatever else prints goes to standard error, the worker's log."""
    events = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return events


def _die_with_parent() -> None:
    """Ask Linux for SIGKILL when the supervisor dies; the line's end tells it elsewhere, between jobs."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)


def _die_first_for_want_of_memory() -> None:
    """Have Linux kill this process before the supervisor when memory runs out: it costs an epoch, not a run."""
    with suppress(OSError):  # not Linux, or not allowed
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)


def _keras_trainer(workload: Workload) -> tuple[Trainer, Ready]:
    with quick_import(everything=is_custom(workload.model)):
        import keras

        from search.programs import devices, limit_threads
        from search.training import KerasTrainer

    limit_threads(workload.threads)
    backend = keras.backend.backend()
    versions = {"keras": keras.__version__, backend: str(__import__(backend).__version__)}
    trainer = KerasTrainer(workload)
    seen, gpu = devices(), os.environ.get("CUDA_VISIBLE_DEVICES", "-1")
    ready = Ready(
        backend=backend,
        devices=seen,
        versions=versions,
        seconds=time.perf_counter() - _STARTED,
        cohort=trainer.cohort,
        warning="" if seen or gpu == "-1" else f"{backend} doesn't see GPU {gpu} and trains on cores; toprung doctor",
    )
    return trainer, ready


_STARTED = time.perf_counter()

if __name__ == "__main__":
    serve(_keras_trainer)
