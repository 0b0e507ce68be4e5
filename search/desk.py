"""What the supervisor knows of a worker."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from search.messages import TrainJob
from studies.promotion import Step


@dataclass
class Desk:
    """What a worker is busy with."""

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
