"""Epochs of toprung's trainer and of a loop written by hand, turn by turn, in a process of their own.

`tests.benchmarks.overhead` starts it with a `Subject` as JSON; it prints `Pairs` as JSON. KERAS_BACKEND says which
backend.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.blobs import FolderBlobs
from search.datasets import Arrays, SearchSplits, open_source, search_splits
from search.devices import Slot, available_cores, visible_gpus
from search.messages import JobDone, TrainJob
from search.open_run import publish, workload
from search.recipe import Recipe
from spaces.parameters import Params
from studies.plan import LoadedStudy, load_study
from studies.records import TrialRecord
from tests.benchmarks.bare import Loop, Network, make_loop
from tests.benchmarks.timed_worker import Stopwatch, time_programs

_WARM_UP = 2  # the first epochs trace and compile

FIXED: Params = {"dropout": 0.2, "l1": 1e-5, "optimizer": "adam", "learning_rate": 1e-3}


@dataclass(frozen=True)
class Subject:
    """A model and its data.

    Attributes:
        study: A study of the catalog.
        overrides: What is changed in it.
        filters: Of each block of convolution.
        units: Of each dense layer, all equal.
        pairs: Epochs of each, after those to warm up.
        threads: Of the processor, where there is no GPU.
    """

    study: str
    overrides: tuple[str, ...]
    filters: tuple[int, ...]
    units: tuple[int, ...]
    pairs: int
    threads: int

    @classmethod
    def told(cls, fields: dict[str, Any]) -> Subject:
        """The subject that another process has written as JSON."""
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})

    @property
    def name(self) -> str:
        """For people: "mlp 3 x 256"."""
        convolutions = f"cnn {'-'.join(map(str, self.filters))}, " if self.filters else "mlp "
        return f"{convolutions}{len(self.units)} x {self.units[0]}"

    @property
    def slot(self) -> Slot:
        """Where it is trained: the first GPU, or as many threads as it says."""
        gpus = visible_gpus()
        return Slot(gpus[0], 1, available_cores()) if gpus else Slot(None, 1, self.threads)

    @property
    def params(self) -> Params:
        """What a trial of the study's space has."""
        if not self.filters:
            return {"layers": len(self.units), "units": self.units[0], **FIXED}
        filters = {f"filters_{index}": count for index, count in enumerate(self.filters)}
        return {"blocks": len(self.filters), **filters, "units": self.units[0], "batch_norm": True, **FIXED}

    def network(self, row: tuple[int, int], classes: int) -> Network:
        """The same model for the hand-written loop."""
        numbers = (float(FIXED[name]) for name in ("dropout", "l1", "learning_rate"))
        dropout, l1, learning_rate = numbers
        return Network(row, self.filters, self.units, classes, dropout, l1, bool(self.filters), learning_rate)


@dataclass(frozen=True)
class Pairs:
    """Both ways to train, epoch by epoch; toprung's comes first in each tuple.

    Attributes:
        seconds: By the clock.
        cpu_seconds: Of the processor.
        step_seconds: What toprung's took by the clock for training and validation steps alone.
        weights: Numbers in the model's weights.
        val_accuracy: After the last epoch.
    """

    seconds: list[tuple[float, float]]
    cpu_seconds: list[tuple[float, float]]
    step_seconds: list[float]
    weights: tuple[int, int]
    val_accuracy: tuple[float, float]


class _Turns:
    """Trains an epoch by hand whenever the trainer reports one, and times both."""

    def __init__(self, loop: Loop, rows: int, watch: Stopwatch) -> None:
        self._loop = loop
        self._rows = rows
        self._watch = watch
        self._rng = np.random.default_rng(0)
        self.toprung: list[tuple[float, float]] = []
        self.steps: list[float] = []
        self.bare: list[tuple[float, float]] = []
        self.val_accuracy = 0.0, 0.0
        self.since = _now()

    def report(self, event: Any) -> None:
        """Take the trainer's epoch in, then do the other's."""
        event.model_dump_json()  # what a worker does with it
        self.toprung.append(_passed(self.since))
        self.steps.append(self._watch.taken()["parts"]["steps"])
        begun = _now()
        found = self._loop.epoch(self._rng.permutation(self._rows).astype(np.int32))
        self.bare.append(_passed(begun))
        self.val_accuracy = event.metrics["val_accuracy"], found["val_accuracy"]
        self.since = _now()


def compare(subject: Subject) -> Pairs:
    """Train the subject both ways."""
    from search.programs import limit_threads

    limit_threads(subject.slot.threads)
    loaded = load_study(subject.study, subject.overrides)
    splits, watch = _splits(loaded), Stopwatch()
    network = subject.network(splits.train.x.shape[1:3], len(splits.class_names))
    train, validation = (_scaled(rows, splits) for rows in (splits.train, splits.validation))
    batch_size = loaded.plan.training.batch_size
    loop = make_loop(os.environ["KERAS_BACKEND"], network, train, validation, batch_size)
    turns = _Turns(loop, len(splits.train.y), watch)
    time_programs(watch)
    done = _train(loaded, splits, subject, turns)
    weights = sum(value.size for layer in network.initial() for value in layer.values())
    both = list(zip(turns.toprung, turns.bare, strict=True))[_WARM_UP:]
    seconds, cpu = ([(own[which], other[which]) for own, other in both] for which in (0, 1))
    return Pairs(seconds, cpu, turns.steps[_WARM_UP:], (done.weights, weights), turns.val_accuracy)


def _train(loaded: LoadedStudy, splits: SearchSplits, subject: Subject, turns: _Turns) -> JobDone:
    """What a worker does with a job for the subject."""
    from search.training import KerasTrainer

    with tempfile.TemporaryDirectory(prefix="toprung-benchmark-") as name:
        blobs = FolderBlobs(Path(name))
        publish(splits, blobs)
        trainer = KerasTrainer(workload(loaded, splits, blobs, [subject.slot]))
        turns.since = _now()
        return trainer.train(_job(loaded, subject), turns.report, lambda: False)


def _job(loaded: LoadedStudy, subject: Subject) -> TrainJob:
    recipe = Recipe(loaded)
    task = recipe.task(TrialRecord(number=0, state="running", params=subject.params))
    return TrainJob(structure=recipe.structure(task.params), tasks=[task], to_epoch=subject.pairs + _WARM_UP)


def _splits(loaded: LoadedStudy) -> SearchSplits:
    return search_splits(open_source(loaded.plan.data, loaded.path.parent), loaded.plan.data)


def _scaled(rows: Arrays, splits: SearchSplits) -> tuple[Any, Any]:
    """What an expert does once and not at every step."""
    return (rows.x * splits.scale + splits.offset).astype(np.float32), rows.y.astype(np.int32)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _passed(since: tuple[float, float]) -> tuple[float, float]:
    wall, cpu = _now()
    return wall - since[0], cpu - since[1]


def main() -> None:
    print(json.dumps(asdict(compare(Subject.told(json.loads(sys.argv[1]))))))


if __name__ == "__main__":
    main()
