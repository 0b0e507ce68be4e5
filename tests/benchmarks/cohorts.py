"""How fast trials of one structure train together, in one program, against one after the other: one command.

    KERAS_BACKEND=jax python -m tests.benchmarks.cohorts --json results.json
    KERAS_BACKEND=jax python -m tests.benchmarks.cohorts --data mnist.npz --precision float32 mixed_bfloat16

Each line is one job of toprung's trainer, with validation and a checkpoint each epoch, for so many trials of a
network: what its first epoch took, in which its program is traced and compiled, and the median of the others. It runs
where a worker runs: on the first GPU, or on one core. A backend that trains one trial at a time (TensorFlow) shows
what turns cost.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from search.blobs import FolderBlobs
from search.datasets import open_source, search_splits
from search.devices import worker_environment
from search.messages import EpochDone, TrainJob
from search.open_run import publish, workload
from search.recipe import Recipe
from studies.plan import load_study
from studies.records import TrialRecord
from tests.benchmarks import machine
from tests.benchmarks.epochs import Subject
from tests.benchmarks.overhead import TASKS, prepared
from tests.benchmarks.scale import markdown

_EPOCHS = 8


@dataclass(frozen=True)
class Job:
    """What one process trains.

    Attributes:
        subject: The network and its data.
        precision: Of the study.
        together: Trials of the job.
    """

    subject: Subject
    precision: str
    together: int


@dataclass(frozen=True)
class Taken:
    """Seconds of a job's first epoch and of each later one, of all its trials together."""

    first: float
    later: list[float]


class _Moments:
    """Notes when the last trial of each epoch has reported it."""

    def __init__(self, together: int) -> None:
        self._together = together
        self._reported = 0
        self.moments = [time.perf_counter()]

    def report(self, event: Any) -> None:
        event.model_dump_json()  # what a worker does with it
        assert isinstance(event, EpochDone), event
        self._reported += 1
        if self._reported % self._together == 0:
            self.moments.append(time.perf_counter())


def train(job: Job) -> Taken:
    """Train a job's trials, which differ in nothing but rate and seed, in this process."""
    from search.training import KerasTrainer

    subject = job.subject
    loaded = load_study(subject.study, (*subject.overrides, f'training.precision="{job.precision}"'))
    data = loaded.plan.data
    splits = search_splits(open_source(data, loaded.path.parent), data)
    recipe = Recipe(loaded)
    records = [
        TrialRecord(number=number, state="running", params={**subject.params, "learning_rate": 1e-3 / (1 + number)})
        for number in range(job.together)
    ]
    tasks = [recipe.task(record) for record in records]
    with tempfile.TemporaryDirectory(prefix="toprung-benchmark-") as name:
        blobs = FolderBlobs(Path(name))
        publish(splits, blobs)
        trainer = KerasTrainer(workload(loaded, splits, blobs, [subject.slot]))
        moments = _Moments(job.together)
        structure = recipe.structure(tasks[0].params)
        trainer.train(TrainJob(structure=structure, tasks=tasks, to_epoch=_EPOCHS), moments.report, lambda: False)
    passed = [after - before for before, after in zip(moments.moments, moments.moments[1:], strict=False)]
    return Taken(passed[0], passed[1:])


def measure(job: Job) -> Taken:
    """Train it in a process with the environment of a worker."""
    environment = worker_environment(job.subject.slot, os.environ.get("KERAS_BACKEND", "tensorflow"))
    words = [sys.executable, "-m", "tests.benchmarks.cohorts", "--job", json.dumps(asdict(job))]
    return Taken(**json.loads(subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=True).stdout))


def table(found: Sequence[tuple[Job, Taken]]) -> str:
    """One line a job, as Markdown."""
    columns = ["model", "precision", "together", "first epoch, s", "an epoch, ms", "a trial's epoch, ms", "times alone"]
    alone = {(job.subject, job.precision): _each(job, taken) for job, taken in found if job.together == 1}
    rows = []
    for job, taken in found:
        each = _each(job, taken)
        faster = alone[job.subject, job.precision] / each
        times = [f"{taken.first:.2f}", f"{1000 * median(taken.later):.1f}", f"{1000 * each:.1f}", f"{faster:.2f}"]
        rows.append([job.subject.name, job.precision, str(job.together), *times])
    return markdown(columns, rows)


def _each(job: Job, taken: Taken) -> float:
    return median(taken.later) / job.together


def main() -> None:
    arguments = _arguments()
    if arguments.job:
        told = json.loads(arguments.job)
        print(json.dumps(asdict(train(Job(Subject.told(told["subject"]), told["precision"], told["together"])))))
        return
    found: list[tuple[Job, Taken]] = []
    with tempfile.TemporaryDirectory(prefix="toprung-benchmark-") as name:
        subjects = list(TASKS["digits"].subjects)
        if arguments.data is not None:
            subjects += prepared(TASKS["mnist"], arguments.data, Path(name)).subjects
        for subject in subjects:
            for precision in arguments.precision:
                for together in arguments.together:
                    job = Job(subject, precision, together)
                    found.append((job, measure(job)))
                    print(table(found), file=sys.stderr)
    print(table(found))
    if arguments.json is not None:
        jobs = [asdict(job) | asdict(taken) for job, taken in found]
        results = {"machine": machine.facts(), "table": table(found), "jobs": jobs}
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.cohorts",
        description=about,
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, help="a local .npz file of MNIST: convolutional networks as well")
    parser.add_argument("--together", type=int, nargs="+", default=[1, 4, 16], help="trials of a job; 1 comes first")
    parser.add_argument("--precision", nargs="+", default=["float32"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure, with machine and versions")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
