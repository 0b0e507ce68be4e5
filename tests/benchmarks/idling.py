"""What a supervisor costs its workers, seen with workers that only sleep."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from search.errors import Interrupted
from search.open_run import Options
from search.signals import StopRequest
from search.study import run_study
from studies.plan import load_study
from studies.store import sqlite_url

_WORKER = (sys.executable, "-m", "tests.benchmarks.sleeper")


@dataclass(frozen=True)
class Idling:
    """What one search with sleeping workers has shown.

    Attributes:
        epochs: Trained in all.
        cpu_per_epoch: Seconds of the processor that the supervisor took, from the first job to the end, an epoch.
        lost: Share of the workers' time between their jobs, as long as there were new trials to begin.
        beside: Share of it in jobs, beside sleeping: checkpoints, messages, and waking up late.
    """

    epochs: int
    cpu_per_epoch: float
    lost: float
    beside: float


@dataclass
class _Clock:
    """Notes when the search of a run began and ended; ends the run after it."""

    stop: StopRequest
    cpu: list[float] = field(default_factory=list)
    last_new_trial: float = 0.0

    def __call__(self, kind: str, **fields: Any) -> None:
        if kind == "trial" and fields["epoch"] == 0:
            self.last_new_trial = time.monotonic()
        elif kind == "phase":
            self.cpu.append(_own_cpu_seconds())
            if fields["phase"] != "search":
                self.stop.set()


def idle(workers: int, epoch_seconds: float, trials: int) -> Idling:
    """Search the `digits` study with workers that sleep so long an epoch."""
    loaded = load_study("digits", [f"budget.trials={trials}"])
    with tempfile.TemporaryDirectory(prefix="toprung-benchmark-") as name:
        out, notes = Path(name) / "runs", Path(name) / "notes"
        notes.mkdir()
        store = sqlite_url(out / "studies.db")
        clock = _Clock(StopRequest())
        with _sleeping(epoch_seconds, notes), suppress(Interrupted):
            run_study(loaded, Options(out, store, workers=workers, worker_command=_WORKER), clock.stop, clock)
        return _found(clock, [_jobs(path) for path in notes.iterdir()])


def _found(clock: _Clock, workers: Sequence[Sequence[dict[str, float]]]) -> Idling:
    epochs = sum(round(job["epochs"]) for jobs in workers for job in jobs)
    busy = sum(job["ended"] - job["began"] for jobs in workers for job in jobs)
    slept = sum(job["slept"] for jobs in workers for job in jobs)
    gaps = sum(_gaps(jobs, clock.last_new_trial) for jobs in workers)
    return Idling(
        epochs=epochs,
        cpu_per_epoch=(clock.cpu[1] - clock.cpu[0]) / epochs,
        lost=gaps / (busy + gaps),
        beside=(busy - slept) / (busy + gaps),
    )


def _gaps(jobs: Sequence[dict[str, float]], until: float) -> float:
    """Seconds between a worker's jobs, up to a moment."""
    return sum(after["began"] - before["ended"] for before, after in pairwise(jobs) if before["ended"] < until)


def _jobs(path: Path) -> list[dict[str, float]]:
    lines: Iterable[str] = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@contextmanager
def _sleeping(epoch_seconds: float, notes: Path) -> Iterator[None]:
    """What the worker reads from its environment."""
    told = {"PYTHON_SLEEP_SECONDS": str(epoch_seconds), "PYTHON_NOTES": str(notes)}
    os.environ.update(told)
    try:
        yield
    finally:
        for name in told:
            del os.environ[name]


def _own_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
