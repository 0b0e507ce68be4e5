"""What the supervisor knows of a worker: the job on its desk, and how it stands itself."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from search.messages import TrainJob
from studies.promotion import Step


@dataclass
class Desk:
    """A worker of a search, until another process takes its place."""

    job: TrainJob | None = None
    steps: list[Step] = field(default_factory=list)  # of this job's trials
    given: float = 0.0
    heard: float = field(default_factory=time.monotonic)
    epochs: int = 0  # of this job, all its trials together
    makes_program: bool = False  # this job does
    traces: set[str] = field(default_factory=set)  # that it has made
    cohort: int = 1  # trials that it takes together
    ready: bool = False
    failed_starts: int = 0  # in a row, of this slot's workers
    hung: bool = False
    tainted: bool = False  # an exception may have left anything behind in the process

    def begin(self, job: TrainJob, steps: list[Step], trace: str) -> None:
        """Note the job that the worker is given now."""
        self.job, self.steps, self.epochs = job, steps, 0
        self.given = self.heard = time.monotonic()
        self.makes_program = trace not in self.traces
        self.traces.add(trace)
