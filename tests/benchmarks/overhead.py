"""What toprung costs beside the training itself: one command.

    python -m tests.benchmarks.overhead --json results.json
    python -m tests.benchmarks.overhead --dataset mnist --data mnist.npz --trials 60 --repeats 1

The first table: where the time of a real search's workers goes, from each one's first job to the end of the search.
All but training and validation steps is overhead. A program's first call traces it; what that takes longer
than its later ones counts as tracing; a program that was called once is taken to need what the others did.

The second table: an epoch of toprung's trainer, with validation, checkpoint and report, and an epoch of the same model
on the same data by hand: one `tf.function` of raw operations over the whole epoch, or with KERAS_BACKEND=jax a
jitted `lax.scan`, as an expert would write it who trains one model and needs nothing else. They take turns, epoch by
epoch, in one process, on the first GPU or with one thread; the ratio is the median over all pairs. The trainer's
steps are also told alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from search.devices import worker_environment
from tests.benchmarks import machine
from tests.benchmarks.epochs import Pairs, Subject
from tests.benchmarks.scale import markdown
from tests.benchmarks.spending import Spending, spend

_IMAGES = 10_000


@dataclass(frozen=True)
class Task:
    """What is measured with a data set.

    Attributes:
        study: In the catalog.
        overrides: Of the search.
        subjects: The models that are also trained by hand.
    """

    study: str
    overrides: tuple[str, ...]
    subjects: tuple[Subject, ...]


TASKS = {
    "digits": Task(
        "digits",
        (),
        (Subject("digits", (), (), (64,), 40, 1), Subject("digits", (), (), (256, 256, 256), 40, 1)),
    ),
    "mnist": Task("mnist_cnn", ("budget.trials=12",), (Subject("mnist_cnn", (), (32, 64), (64,), 5, 1),)),
}


@dataclass(frozen=True)
class Search:
    """One search."""

    load_average: float
    spending: Spending


@dataclass(frozen=True)
class Comparison:
    """One process in which a model was trained both ways."""

    load_average: float
    subject: Subject
    pairs: Pairs


def searched(task: Task, workers: int | None) -> Search:
    """Search, and see where the time goes."""
    load = machine.load()
    found = spend(task.study, task.overrides, workers)
    return Search(max(load, machine.load()), found)


def compared(subject: Subject) -> Comparison:
    """Train a model both ways, in a process with the environment of a worker."""
    load = machine.load()
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    environment = worker_environment(subject.slot, backend)
    words = [sys.executable, "-m", "tests.benchmarks.epochs", json.dumps(asdict(subject))]
    output = subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=True).stdout
    return Comparison(max(load, machine.load()), subject, Pairs(**json.loads(output)))


def spending_table(found: Sequence[Search]) -> str:
    """One line a use of time, as Markdown: medians over the searches, with lowest and highest."""
    names = list(dict.fromkeys(name for one in found for name in one.spending.shares))
    rows = [[name, _shares([one.spending.shares.get(name, 0.0) for one in found])] for name in names]
    rows.append(["all but steps", _shares([one.spending.outside for one in found])])
    return markdown(["workers' time", "%"], rows)


def pairs_table(found: Sequence[Comparison]) -> str:
    """One line a model, as Markdown: medians over all pairs of all processes."""
    columns = ["model", "weights", "trainer, ms", "its steps, ms", "by hand, ms", "ratio", "ratio of the processor"]
    rows = []
    for subject in dict.fromkeys(one.subject for one in found):
        own = [one.pairs for one in found if one.subject == subject]
        seconds, cpu = ([pair for one in own for pair in getattr(one, name)] for name in ("seconds", "cpu_seconds"))
        steps = [step for one in own for step in one.step_seconds]
        trainer, hand = (median(pair[which] for pair in seconds) for which in (0, 1))
        ratios = [f"{median(pair[0] / pair[1] for pair in pairs):.2f}" for pairs in (seconds, cpu)]
        times = [f"{1000 * value:.1f}" for value in (trainer, median(steps), hand)]
        rows.append([subject.name, f"{own[0].weights[0]:,}", *times, *ratios])
    return markdown(columns, rows)


def _shares(values: Sequence[float]) -> str:
    middle, low, high = (100 * value for value in (median(values), min(values), max(values)))
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def prepared(task: Task, file: Path | None, folder: Path, images: int = _IMAGES, trials: int | None = None) -> Task:
    """The task with at most so many images of a local file as its data, and so many trials."""
    if trials is not None:
        task = replace(task, overrides=(*task.overrides, f"budget.trials={trials}"))
    if file is None:
        return task
    arrays = np.load(file)
    chosen = np.sort(np.random.default_rng(0).permutation(len(arrays["y_train"]))[:images])
    path = folder / "images.npz"
    np.savez(path, x_train=arrays["x_train"][chosen], y_train=arrays["y_train"][chosen])
    source = (f'data.source="{path}"',)
    subjects = tuple(replace(subject, overrides=(*subject.overrides, *source)) for subject in task.subjects)
    return replace(task, overrides=(*task.overrides, *source), subjects=subjects)


def main() -> None:
    arguments = _arguments()
    searches: list[Search] = []
    comparisons: list[Comparison] = []
    with tempfile.TemporaryDirectory(prefix="toprung-benchmark-") as name:
        task = prepared(TASKS[arguments.dataset], arguments.data, Path(name), arguments.images, arguments.trials)
        for _ in range(arguments.repeats):
            searches.append(searched(task, arguments.workers))
            print(spending_table(searches), f"load {searches[-1].load_average:.1f}", sep="\n", file=sys.stderr)
            comparisons += [compared(subject) for subject in task.subjects]
            print(pairs_table(comparisons), f"load {comparisons[-1].load_average:.1f}", sep="\n", file=sys.stderr)
    tables = [spending_table(searches), pairs_table(comparisons)]
    print("\n\n".join(tables))
    if arguments.json is not None:
        results: dict[str, Any] = {"machine": machine.facts(), "dataset": arguments.dataset, "tables": tables}
        results |= {"searches": [asdict(one) for one in searches], "pairs": [asdict(one) for one in comparisons]}
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.overhead",
        description=about,
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dataset", choices=TASKS, default="digits")
    parser.add_argument("--data", type=Path, help="a local .npz file of the data set")
    parser.add_argument("--images", type=int, default=_IMAGES, help="of that file that are used, validation included")
    parser.add_argument("--trials", type=int, help="of the search; those of `digits` or 12 of `mnist` by default")
    parser.add_argument("--workers", type=int, help="of the search; one a core by default")
    parser.add_argument("--repeats", type=int, default=3, help="searches, and processes a model")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure, with machine and versions")
    return parser.parse_args()


if __name__ == "__main__":
    main()
