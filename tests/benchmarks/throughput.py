"""How fast toprung searches beside what its users would otherwise use: one command, side by side, in one run.

    python -m tests.benchmarks.throughput --dataset digits --repeats 3 --json results.json
    python -m tests.benchmarks.throughput --dataset mnist --data mnist.npz --repeats 5
    python -m tests.benchmarks.throughput --dataset cifar10 --data cifar10.npz --repeats 5

The contestants are Keras Tuner's Hyperband, a plain Optuna script with HyperbandPruner and KerasPruningCallback (both
in `peers/`, with the choices that were made) and `toprung run`; `optuna-processes`, the same script with a process a
core, and `toprung-slots`, with four workers on each GPU, join in if they are named. All search the same space of
`spaces/catalog` by Hyperband with the same resource, reduction factor, batch size and split, without known-good params.
Each runs as a process of its own, imports included, one after the other and round after round, so that a slow minute of
the machine hits all; each prints a line an epoch, and the moment at which a line arrives here is its time.

The budget is trial-epochs, as many as one sweep of Keras Tuner's Hyperband takes. Equally many trials would be
another amount of work for each (Optuna stops few of them), and equally many seconds would hide starting up
behind a long run. A contestant that has not reached the target after its budget searches on, up to a limit
of seconds, only to see how long that takes. From the second on, contestants also go on to the accuracy that the first
one, Keras Tuner, has ended its budget with in the same round. A median counts what was never reached as infinity.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from search.datasets import Arrays, open_source, search_splits
from search.devices import available_cores
from studies.plan import DataPlan
from tests.benchmarks import machine
from tests.benchmarks.figures import best, figures, improvements, median_and_range
from tests.benchmarks.peers.contest import Contest
from tests.benchmarks.race import Epoch, Finish, race

REDUCTION_FACTOR = 3
REFERENCE = "keras-tuner"
SLOTS = 4  # workers that share a GPU, for a contestant
_PEERS = "tests.benchmarks.peers"


@dataclass(frozen=True)
class Task:
    """What is searched.

    Attributes:
        source: toprung's name of the data.
        images: Training images that are used, validation included; None for all.
        space: A name in spaces/catalog, or "e2", which is here.
        max_resource: Epochs of a complete trial.
        batch_size: Rows a training step.
        epochs: Trial-epochs of one sweep of Keras Tuner's Hyperband with this resource.
        seconds: Limit for one contestant.
        target: Validation accuracy; None for no other than the reference's.
    """

    source: str
    images: int | None
    space: str
    max_resource: int
    batch_size: int
    epochs: int
    seconds: float
    target: float | None


TASKS = {
    "digits": Task("digits", None, "mlp", 27, 32, 375, 240.0, 0.97),
    "mnist": Task("mnist", 10_000, "cnn", 9, 128, 75, 1200.0, 0.97),
    "cifar10": Task("cifar10", 10_000, "e2", 10, 64, 120, 7200.0, None),
}

STUDY = """\
name  = "benchmark"
space = "{space}"

[data]
source = "{source}"

[hyperband]
max_resource = {max_resource}
reduction_factor = {reduction_factor}

[sampler]
seed = {seed}

[training]
batch_size = {batch_size}

[budget]
trials  = 100000
minutes = {minutes}
"""


def peer(module: str, *options: str) -> Callable[[Contest, str], list[str]]:
    """The command of a script in `peers`."""

    def command(contest: Contest, source: str) -> list[str]:
        path = Path(contest.folder) / "contest.json"
        contest.write(path)
        return [sys.executable, "-m", f"{_PEERS}.{module}", str(path), *options]

    return command


def toprung(*options: str) -> Callable[[Contest, str], list[str]]:
    """`toprung run` on a study file that says what a contest says."""

    def command(contest: Contest, source: str) -> list[str]:
        own = Path(__file__).with_name(f"{contest.space}.toml")
        values = asdict(contest) | {"source": source, "space": str(own) if own.is_file() else contest.space}
        study = Path(contest.folder) / "study.toml"
        study.write_text(STUDY.format(**values, minutes=contest.seconds / 60), encoding="utf-8")
        fresh = f"JAX_COMPILATION_CACHE_DIR={contest.folder}/compiled"  # as where nothing has been compiled before
        words = [sys.executable, "-m", "search", "run", str(study), "--out", contest.folder, "--json", *options]
        return ["env", fresh, *words]

    return command


CONTESTANTS = {
    REFERENCE: peer("keras_tuner_hyperband"),
    "optuna": peer("plain_optuna"),
    "optuna-processes": peer("plain_optuna", "--helpers", str(available_cores() - 1)),
    "toprung": toprung(),
    "toprung-slots": toprung("--slots-per-gpu", str(SLOTS)),
}
USUAL = [REFERENCE, "optuna", "toprung"]


@dataclass(frozen=True)
class Benchmark:
    """One call of the command.

    Attributes:
        data: An .npz file with the splits that the peers get.
        source: Where toprung reads the same data.
    """

    task: Task
    contestants: Sequence[str]
    folder: Path
    data: str
    source: str

    def round(self, seed: int) -> list[dict[str, Any]]:
        """Every contestant once."""
        runs: dict[str, list[Epoch]] = {}
        loads = {}
        for name in self.contestants:
            loads[name] = machine.load()
            runs[name] = self._run(name, seed, self._reference(runs))
            print(_progress(name, seed, runs[name]), file=sys.stderr)
        return [self._record(name, seed, runs, loads[name]) for name in self.contestants]

    def _run(self, name: str, seed: int, reference: float) -> list[Epoch]:
        task, folder = self.task, self.folder / f"{seed}-{name}"
        folder.mkdir()
        seconds = 2 * task.seconds  # nobody ends by itself
        resource = task.max_resource, REDUCTION_FACTOR, task.batch_size
        contest = Contest(task.space, self.data, str(folder), *resource, seconds, seed)
        finish = Finish(task.epochs, max(task.target or 0.0, reference), task.seconds)
        return race(CONTESTANTS[name](contest, self.source), finish, folder / "errors.log")

    def _record(self, name: str, seed: int, runs: dict[str, list[Epoch]], load: float) -> dict[str, Any]:
        target = math.inf if self.task.target is None else self.task.target
        reference = self._reference(runs) or math.inf
        found = figures(runs[name], self.task.epochs, target, reference)
        about = {"contestant": name, "seed": seed, "load_average": load}
        return about | asdict(found) | {"improvements": list(improvements(runs[name]))}

    def _reference(self, runs: dict[str, list[Epoch]]) -> float:
        """What the reference has ended its budget with; 0 before that."""
        return best(runs[REFERENCE], self.task.epochs) if REFERENCE in runs else 0.0


def prepare(task: Task, file: Path | None, folder: Path) -> tuple[str, str]:
    """Cut the splits once.

    Args:
        task: What is searched.
        file: A local file for data that aren't embedded; None to use what keras.datasets has in its cache.
        folder: Where the files go.
    Returns:
        The path of the peers' file, and what toprung's study has as its source.
    """
    plan = DataPlan(source=task.source, path=None if file is None else str(file.absolute()))
    source = open_source(plan, Path.cwd())
    if task.images is not None:
        rows = _some(source.train(), task.images)
        path = folder / "toprung.npz"
        np.savez(path, x_train=rows.x, y_train=rows.y)
        plan = DataPlan(source=str(path))
        source = open_source(plan, Path.cwd())
    splits = search_splits(source, plan)
    peers = folder / "peers.npz"
    np.savez(
        peers,
        x_train=(splits.train.x * splits.scale + splits.offset).astype(np.float32),
        y_train=splits.train.y,
        x_val=(splits.validation.x * splits.scale + splits.offset).astype(np.float32),
        y_val=splits.validation.y,
    )
    return str(peers), plan.source


def _some(rows: Arrays, count: int) -> Arrays:
    """At most `count` rows, always the same."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(rows.y))[:count])
    return Arrays(rows.x[chosen], rows.y[chosen])


def table(runs: Sequence[dict[str, Any]], task: Task) -> str:
    """Medians, with lowest and highest in brackets, as Markdown."""
    columns = {
        "trial-epochs": ("trial_epochs", 0),
        "a second": ("rate", 2),
        "a second once started": ("rate_once_started", 2),
        "first epoch, s": ("first_epoch", 1),
        f"s to {task.target}": ("to_target", 1),
        f"s to {REFERENCE}'s best": ("to_reference", 1),
        "best within them": ("best", 4),
    }
    contestants = list(dict.fromkeys(run["contestant"] for run in runs))
    if task.target is None:
        del columns["s to None"]
    if REFERENCE not in contestants:
        del columns[f"s to {REFERENCE}'s best"]
    lines = ["| contestant | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in contestants:
        own = [run for run in runs if run["contestant"] == name]
        cells = [_cell([run[key] for run in own], digits, task) for key, digits in columns.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: Sequence[float | None], digits: int, task: Task) -> str:
    def text(value: float) -> str:
        return f"not in {task.seconds:g}" if math.isinf(value) else f"{value:.{digits}f}"

    median, low, high = (text(value) for value in median_and_range(values))
    return f"{median} ({low} to {high})"


def _progress(name: str, seed: int, epochs: Sequence[Epoch]) -> str:
    highest = max(epoch.value for epoch in epochs)
    return f"seed {seed}, {name}: {len(epochs)} epochs in {epochs[-1].seconds:.1f} s, best {highest:.4f}"


def warm_up() -> None:
    """Read what all import from the disk once, so that the first contestant isn't the one to wait for it."""
    modules = "keras, keras_tuner, optuna_integration, search.training, search.study"
    subprocess.run([sys.executable, "-c", f"import {modules}"], check=True, capture_output=True)


def main() -> None:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by the way of every `finally`: contestants end too
    task = TASKS[arguments.dataset]
    task = replace(task, epochs=arguments.epochs or task.epochs, seconds=arguments.seconds or task.seconds)
    warm_up()
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="toprung-benchmark-") as name:
        benchmark = Benchmark(task, arguments.contestants, Path(name), *prepare(task, arguments.data, Path(name)))
        for seed in range(arguments.repeats):
            runs += benchmark.round(seed)
            if arguments.json is not None:
                results = {"machine": machine.facts(), "dataset": arguments.dataset, "task": asdict(task)}
                results |= {"repeats": seed + 1, "table": table(runs, task), "runs": runs}
                arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(runs, task))


def _arguments() -> argparse.Namespace:
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.throughput",
        description=about,
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dataset", choices=TASKS, default="digits")
    parser.add_argument("--data", type=Path, help="a local file of the data set")
    parser.add_argument("--repeats", type=int, default=3, help="rounds; each has its own seed")
    parser.add_argument("--epochs", type=int, help="trial-epochs for each, where a whole sweep takes too long")
    parser.add_argument("--seconds", type=float, help="limit for one contestant, by default what the data set has")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=USUAL)
    parser.add_argument("--json", type=Path, metavar="FILE", help="every run's figures, with machine and versions")
    return parser.parse_args()


if __name__ == "__main__":
    main()
