"""Learning curves of many configurations, made once by toprung's own trainer and kept in a file.

    python -m tests.benchmarks.curves runs/curves.npz
    python -m tests.benchmarks.curves runs/mnist.npz --set data.path=mnist.npz

`tests.benchmarks.efficiency` replays them. The configurations are the random sampler's draws from a study's space;
each is trained to the top rung once a seed. Interrupted, the same command goes on. KERAS_BACKEND says under which
backend; the curves don't depend on it but for rounding.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from search.blobs import FolderBlobs
from search.datasets import open_source, search_splits
from search.devices import Slot
from search.messages import EpochDone, Task, TrainJob, TrialFailed
from search.open_run import publish, workload
from search.recipe import Recipe
from spaces import Space, validate
from spaces.parameters import Params
from studies.grid import Key, key
from studies.plan import LoadedStudy, SamplerPlan, load_study
from studies.records import TrialRecord
from studies.sampler import Proposer

if TYPE_CHECKING:
    from search.training import KerasTrainer

STUDY = "digits"
CONFIGURATIONS = 1_000
SEEDS = 3
_SOME = 50  # configurations that are trained before the file is written again


@dataclass(frozen=True)
class Curves:
    """What is replayed.

    Attributes:
        space: The study's.
        pool: Its configurations, no two alike.
        values: Validation accuracy, shape (configurations, seeds, epochs); NaN from where a training failed.
    """

    space: Space
    pool: list[Params]
    values: NDArray[np.float32]

    @property
    def epochs(self) -> int:
        """The top rung."""
        return int(self.values.shape[2])

    def save(self, path: Path) -> None:
        """Keep them in a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.savez_compressed(
                file, values=self.values, pool=json.dumps(self.pool), space=self.space.model_dump_json()
            )

    @classmethod
    def load(cls, path: Path) -> Curves:
        """What `save` has kept."""
        with np.load(path) as file:
            space = validate(Space, json.loads(str(file["space"])), str(path))
            return cls(space, json.loads(str(file["pool"])), file["values"])


def draw(space: Space, count: int) -> list[Params]:
    """So many different configurations of a space, as toprung's random sampler draws them."""
    flat = load_study(STUDY).plan.hyperband.ladder
    proposer = Proposer(space, SamplerPlan(name="random"), "maximize", flat)
    drawn: dict[Key, Params] = {}
    for number in range(20 * count):
        params = proposer.propose(number, [])
        if params is not None:
            drawn.setdefault(key(params), params)
        if len(drawn) == count:
            break
    return list(drawn.values())


def make(loaded: LoadedStudy, pool: Sequence[Params], seeds: int, kept: int = 0) -> Iterator[NDArray[np.float32]]:
    """Train every configuration once a seed.

    What is trained for a configuration doesn't depend on how many there are.

    Args:
        loaded: The study.
        pool: All configurations.
        seeds: Trainings of each.
        kept: So many of the first configurations have been trained before.

    Yields:
        Validation accuracy, shape (some, seeds, epochs), of the next configurations.
    """
    with tempfile.TemporaryDirectory(prefix="toprung-benchmark-") as name:
        blobs = FolderBlobs(Path(name))
        trainer = _trainer(loaded, blobs)
        for first in range(kept, len(pool), _SOME):
            last = min(first + _SOME, len(pool))
            yield _trained(trainer, blobs, _jobs(loaded, pool, seeds, first, last), (first, last, seeds))
            print(f"\r{last} of {len(pool)} configurations", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def _trained(
    trainer: KerasTrainer, blobs: FolderBlobs, jobs: Iterable[TrainJob], shape: tuple[int, int, int]
) -> NDArray[np.float32]:
    first, last, seeds = shape
    values: dict[tuple[int, int], float] = {}

    def keep(event: EpochDone | TrialFailed) -> None:
        if isinstance(event, EpochDone):
            values[event.trial, event.epoch] = event.metrics["val_accuracy"]

    epochs = 0
    for job in jobs:
        trainer.train(job, keep, lambda: False)
        blobs.delete("trials")
        epochs = job.to_epoch
    numbers, ends = range(first * seeds, last * seeds), range(1, epochs + 1)
    found = [[values.get((number, epoch), np.nan) for epoch in ends] for number in numbers]
    return np.array(found, np.float32).reshape(last - first, seeds, epochs)


def _trainer(loaded: LoadedStudy, blobs: FolderBlobs) -> KerasTrainer:
    from search.training import KerasTrainer

    splits = search_splits(open_source(loaded.plan.data, loaded.path.parent), loaded.plan.data)
    publish(splits, blobs)
    return KerasTrainer(workload(loaded, splits, blobs, [Slot(None, 1, 1)]))


def _jobs(loaded: LoadedStudy, pool: Sequence[Params], seeds: int, first: int, last: int) -> Iterator[TrainJob]:
    """Some trainings, those of equal structure together; a task's number tells configuration and seed."""
    recipe = Recipe(loaded)
    tasks: dict[str, list[Task]] = {}
    for index in range(first, last):
        for seed in range(seeds):
            record = TrialRecord(number=index * seeds + seed, state="running", params=pool[index])
            task = recipe.task(record)
            tasks.setdefault(recipe.structure(task.params), []).append(task)
    for structure, own in tasks.items():
        yield TrainJob(structure=structure, tasks=own, to_epoch=loaded.plan.hyperband.max_resource)


def main() -> None:
    from search.programs import limit_threads

    limit_threads(1)
    arguments = _arguments()
    loaded = load_study(arguments.study, arguments.set)
    pool = draw(loaded.space, arguments.configurations)
    shape = (0, arguments.seeds, loaded.plan.hyperband.max_resource)
    values = Curves.load(arguments.file).values if arguments.file.is_file() else np.empty(shape, np.float32)
    for more in make(loaded, pool, arguments.seeds, kept=len(values)):
        values = np.concatenate([values, more])
        Curves(loaded.space, pool[: len(values)], values).save(arguments.file)


def _arguments() -> argparse.Namespace:
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.curves",
        description=about,
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="where the curves go")
    parser.add_argument("--study", default=STUDY, help="a name in studies/catalog, or a path")
    parser.add_argument("--set", action="append", default=[], metavar="section.key=value", help="as of toprung run")
    parser.add_argument("--configurations", type=int, default=CONFIGURATIONS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
