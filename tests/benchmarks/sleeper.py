"""The tests' sleeping worker, which also notes when its jobs began and ended and how long it slept.

A line of JSON a job goes to a file of its own in the folder PYTHON_NOTES.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from search.messages import JobDone, Ready, TrainJob, Workload
from search.worker import Trainer, serve
from tests.sleeping_worker import SECONDS, SleepingTrainer


class NotingTrainer(SleepingTrainer):
    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)  # type: ignore[no-untyped-call]
        self._notes = (Path(os.environ["PYTHON_NOTES"]) / f"{os.getpid()}.jsonl").open("a", encoding="utf-8")

    def train(self, job: TrainJob, report: Callable[[Any], None], paused: Callable[[], bool]) -> JobDone:
        epochs = 0

        def count(event: Any) -> None:
            nonlocal epochs
            epochs += 1
            report(event)

        began = time.monotonic()
        done: JobDone = super().train(job, count, paused)  # type: ignore[no-untyped-call]
        if job.data == "train":  # the search's; not a retraining
            self._note(began=began, ended=time.monotonic(), epochs=epochs, slept=epochs * SECONDS)
        return done

    def _note(self, **figures: float) -> None:
        print(json.dumps(figures), file=self._notes, flush=True)


def make_trainer(workload: Workload) -> tuple[Trainer, Ready]:
    return NotingTrainer(workload), Ready(backend="none", devices=[], versions={}, seconds=0.0)


if __name__ == "__main__":
    serve(make_trainer)
