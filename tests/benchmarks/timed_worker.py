"""toprung's worker with a stopwatch around its parts, for `tests.benchmarks.overhead`; the product knows nothing of it.

A line of JSON a job goes to a file of its own in the folder PYTHON_NOTES: when it began and ended, the seconds of each
part, and those of each call of a program.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any

from search import worker
from search.messages import JobDone, Ready, TrainJob, Workload

_MAKER = "build_program"  # where the trainer finds it
_NUMBERS = count()  # of programs


class Stopwatch:
    """Seconds spent in named parts; what a part calls counts for itself alone.

    Args:
        clock: Tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: list[tuple[int, str, float]] = []  # of programs: which program, what, seconds
        self._inner = [0.0]

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens within for this part."""
        self._inner.append(0.0)
        begun = self.clock()
        try:
            yield
        finally:
            passed = self.clock() - begun
            self.seconds[name] += passed - self._inner.pop()
            self._inner[-1] += passed

    def wrap(self, owner: Any, method: str, part: str) -> None:
        """Count every call of a method or function for a part."""
        inner = getattr(owner, method)

        @wraps(inner)
        def timed(*arguments: Any, **named: Any) -> Any:
            with self.part(part):
                return inner(*arguments, **named)

        setattr(owner, method, timed)

    def taken(self) -> dict[str, Any]:
        """What was counted since the last time."""
        found = {"parts": dict(self.seconds), "calls": self.calls}
        self.seconds, self.calls = defaultdict(float), []
        return found


class TimedProgram:
    """A program whose cohorts' calls are timed."""

    def __init__(self, program: Any, watch: Stopwatch) -> None:
        self._program = program
        self._watch = watch
        self._number = next(_NUMBERS)
        self.capacity = program.capacity

    def cohort(self) -> Any:
        """A cohort of the program's own kind."""
        return TimedCohort(self._program.cohort(), self._number, self._watch)

    def to_device(self, *arrays: Any) -> Any:
        """Not a step: it counts for whoever calls it."""
        return self._program.to_device(*arrays)


class TimedCohort:
    """A cohort whose calls are timed."""

    def __init__(self, cohort: Any, program: int, watch: Stopwatch) -> None:
        self._cohort = cohort
        self._program = program
        self._watch = watch
        self.enter = cohort.enter

    def train(self, *arguments: Any) -> Any:
        """An epoch of steps for each trial."""
        return self._call("train", *arguments)

    def validate(self, *arguments: Any) -> Any:
        """A validation of each trial."""
        return self._call("validate", *arguments)

    def assign(self, *arguments: Any) -> None:
        """Draws and rates."""
        with self._watch.part("seeding"):
            self._cohort.assign(*arguments)

    def read(self, *arguments: Any) -> Any:
        """What a checkpoint keeps."""
        with self._watch.part("weights"):
            return self._cohort.read(*arguments)

    def _call(self, what: str, *arguments: Any) -> Any:
        begun = time.perf_counter()
        with self._watch.part("steps"):
            found = getattr(self._cohort, what)(*arguments)
        self._watch.calls.append((self._program, what, time.perf_counter() - begun))
        return found


class TimedTrainer:
    """A trainer that notes its jobs of the search; retraining isn't noted."""

    def __init__(self, trainer: worker.Trainer, watch: Stopwatch) -> None:
        self._trainer = trainer
        self._watch = watch
        self._notes = (Path(os.environ["PYTHON_NOTES"]) / f"{os.getpid()}.jsonl").open("a", encoding="utf-8")
        self.evaluate = trainer.evaluate
        self.export = trainer.export
        self.predict = trainer.predict

    def train(self, job: TrainJob, report: Callable[[Any], None], paused: Callable[[], bool]) -> JobDone:
        """Train, and note what took how long."""

        def timed_report(event: Any) -> None:
            with self._watch.part("messages"):
                report(event)

        self._watch.taken()
        began = time.monotonic()
        done = self._trainer.train(job, timed_report, paused)
        if job.data == "train":
            note = {"began": began, "ended": time.monotonic(), **self._watch.taken()}
            print(json.dumps(note), file=self._notes, flush=True)
        return done


def make_trainer(workload: Workload) -> tuple[worker.Trainer, Ready]:
    """The real trainer, with the stopwatch around its parts."""
    trainer, ready = worker._keras_trainer(workload)
    from search import training
    from search.checkpoints import Checkpoints

    watch = Stopwatch()
    for owner, method, part in (
        (training.KerasTrainer, "_build", "building"),
        (training.Machine, "prepare", "preparing"),
        (training.Machine, "resume", "weights"),
        (Checkpoints, "save", "checkpoints"),
        (Checkpoints, "load", "checkpoints"),
    ):
        watch.wrap(owner, method, part)
    time_programs(watch)
    return TimedTrainer(trainer, watch), ready


def time_programs(watch: Stopwatch) -> None:
    """Let the programs of trainers that are made from now on be timed."""
    from search import training

    inner, kin_of = getattr(training, _MAKER), training.Machines.kin

    def build(*arguments: Any, **named: Any) -> TimedProgram:
        return TimedProgram(inner(*arguments, **named), watch)

    def find(machines: training.Machines, params: dict[str, Any]) -> training.Kin:
        kin = kin_of(machines, params)
        return training.Kin(*(timed and timed._program for timed in (kin.training, kin.validation)))

    setattr(training, _MAKER, build)
    training.Machines.kin = find


if __name__ == "__main__":
    worker.serve(make_trainer)
