"""Where the time of a real search goes: in training and validation steps, or elsewhere."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from search.errors import Interrupted
from search.open_run import Options
from search.signals import StopRequest
from search.study import run_study
from studies.plan import load_study
from studies.store import sqlite_url

Job = Mapping[str, Any]

_WORKER = (sys.executable, "-m", "tests.benchmarks.timed_worker")


@dataclass(frozen=True)
class Spending:
    """The time of a search's workers, from each one's first job to the end of the search.

    Attributes:
        seconds: Of all workers together.
        shares: Parts of them by what they were spent on; "steps" is training and validation, all else overhead.
        epochs: Trained, those of a cohort counted once.
        programs: Traced.
    """

    seconds: float
    shares: dict[str, float]
    epochs: int
    programs: int

    @property
    def outside(self) -> float:
        """The share outside training and validation steps."""
        return 1 - self.shares["steps"]


@dataclass
class _End:
    """Notes when the search of a run ended; ends the run there."""

    stop: StopRequest
    at: float = 0.0
    phases: list[str] = field(default_factory=list)

    def __call__(self, kind: str, **fields: Any) -> None:
        if kind == "phase":
            self.phases.append(fields["phase"])
            if fields["phase"] != "search":
                self.at = self.at or time.monotonic()
                self.stop.set()


def spend(study: str, overrides: Sequence[str], workers: int | None = None) -> Spending:
    """Search a study of the catalog, as `toprung run` does, and see where its workers' time goes."""
    loaded = load_study(study, overrides)
    with tempfile.TemporaryDirectory(prefix="toprung-benchmark-") as name:
        out, notes = Path(name) / "runs", Path(name) / "notes"
        notes.mkdir()
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        options = Options(out, sqlite_url(out / "studies.db"), backend, workers, worker_command=_WORKER)
        end = _End(StopRequest())
        with _told(notes), suppress(Interrupted):
            run_study(loaded, options, end.stop, end)
        return spending([jobs for path in sorted(notes.iterdir()) if (jobs := _jobs(path, end.at))], end.at)


def spending(workers: Sequence[Sequence[Job]], end: float) -> Spending:
    """From the notes of each worker's jobs to shares of the time.

    Args:
        workers: Each with its jobs in order, at least one.
        end: Of the search.
    """
    parts: dict[str, float] = defaultdict(float)
    for jobs in workers:
        parts["waiting for the supervisor"] += _between(jobs)
        parts["waiting for the last trials"] += end - jobs[-1]["ended"]
        for job in jobs:
            for name, passed in job["parts"].items():
                parts[name] += passed
            parts["other"] += job["ended"] - job["began"] - sum(job["parts"].values())
    calls = [(worker, *call) for worker, jobs in enumerate(workers) for job in jobs for call in job["calls"]]
    tracing = _tracing(calls)
    parts["tracing"] += tracing
    parts["steps"] -= tracing
    seconds = sum(end - jobs[0]["began"] for jobs in workers)
    programs = {(worker, program) for worker, program, _, _ in calls}
    shares = {name: parts[name] / seconds for name in sorted(parts, key=lambda name: -parts[name])}
    epochs = sum(what == "train" for _, _, what, _ in calls)
    return Spending(seconds, shares, epochs, len(programs))


def _between(jobs: Sequence[Job]) -> float:
    """Seconds between a worker's jobs."""
    return float(jobs[-1]["ended"] - jobs[0]["began"] - sum(job["ended"] - job["began"] for job in jobs))


def _tracing(calls: Sequence[tuple[int, int, str, float]]) -> float:
    """Seconds that the first calls of programs took more than their later ones.

    A program that was called once is taken to need what the others needed, in the median: tracing depends little on
    the size of a network, an epoch very much.
    """
    by_program: dict[tuple[int, int, str], list[float]] = defaultdict(list)
    for worker, program, what, seconds in calls:
        by_program[worker, program, what].append(seconds)
    found = 0.0
    for what in ("train", "validate"):
        all_seconds = [own for key, own in by_program.items() if key[2] == what]
        known = [max(0.0, own[0] - median(own[1:])) for own in all_seconds if own[1:]]
        once = [min(own[0], median(known or [0.0])) for own in all_seconds if not own[1:]]
        found += sum(known) + sum(once)
    return found


def _jobs(path: Path, end: float) -> list[Job]:
    """A worker's jobs of the search; one of the retraining may have begun before the run was stopped."""
    jobs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [job for job in jobs if job["began"] < end]


@contextmanager
def _told(notes: Path) -> Iterator[None]:
    told = {"PYTHON_NOTES": str(notes), "JAX_COMPILATION_CACHE_DIR": str(notes.with_name("compiled"))}
    os.environ.update(told)  # what earlier searches have compiled doesn't count
    try:
        yield
    finally:
        for name in told:
            del os.environ[name]
