"""How many epochs a search needs: schedulers and samplers on the same learning curves, hundreds of times.

    python -m tests.benchmarks.efficiency --json results.json
    python -m tests.benchmarks.efficiency --curves runs/mnist.npz --contestants optuna toprung --repetitions 50

Learning curves of many configurations of the study `digits` are made first, once, by toprung's own trainer
(`tests.benchmarks.curves`), and kept in a file. Then every contestant searches again and again in a world in which
training looks the curve up, so that the machine doesn't count. A sampler may propose what it likes: trained is the
nearest configuration that this search hasn't had, and the study holds that one's params. Of each configuration one
seed's curve is seen in a repetition, the same by all contestants.

After each budget of epochs a contestant is asked for its choice, which is what the tool would return. The figure is
how far the choice lies behind the best configuration there is, in percentage points of validation accuracy: the mean
over the seeds of what each has at its best epoch, as a retraining would bring it, not the value the search has seen.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks import machine
from tests.benchmarks.contestants import CONTESTANTS
from tests.benchmarks.curves import Curves
from tests.benchmarks.replay import Places, Spent, World, distances
from tests.benchmarks.scale import markdown

BUDGETS = (27, 54, 81, 100, 135, 200, 300, 450, 700)
CURVES = Path("runs/curves.npz")


@dataclass(frozen=True)
class Task:
    """One repetition of one contestant."""

    curves: Path
    contestant: str
    repetition: int
    budgets: tuple[int, ...]


def repeat(task: Task) -> list[float]:
    """The distances after each budget."""
    curves, places = _opened(task.curves)
    world = World(curves, places, task.repetition, task.budgets)
    with suppress(Spent):
        CONTESTANTS[task.contestant](world)
    return distances(world)


@cache
def _opened(path: Path) -> tuple[Curves, Places]:
    curves = Curves.load(path)
    return curves, Places(curves.space, curves.pool)


def table(found: dict[str, list[list[float]]], budgets: Sequence[int]) -> str:
    """Means, one line a contestant, one column a budget, as Markdown."""
    rows = [[name, *(f"{mean:.2f}" for mean in np.mean(runs, axis=0)), str(len(runs))] for name, runs in found.items()]
    return markdown(["contestant", *(f"{budget}" for budget in budgets), "repetitions"], rows)


def _tasks(arguments: argparse.Namespace) -> Iterable[Task]:
    for name in arguments.contestants:
        for repetition in range(arguments.repetitions):
            yield Task(arguments.curves, name, repetition, tuple(arguments.budgets))


def _make_curves(path: Path) -> None:
    """In a process of its own, which imports Keras."""
    subprocess.run([sys.executable, "-m", "tests.benchmarks.curves", str(path)], check=True)


def main() -> None:
    arguments = _arguments()
    if not arguments.curves.is_file():
        _make_curves(arguments.curves)
    tasks = list(_tasks(arguments))
    found: dict[str, list[list[float]]] = {}
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes to come: there is one a core
    os.environ.setdefault("KERAS_BACKEND", "jax")  # imported sooner than TensorFlow; Keras Tuner builds no model here
    with ProcessPoolExecutor(arguments.processes) as pool:
        for task, run in zip(tasks, pool.map(repeat, tasks), strict=True):
            found.setdefault(task.contestant, []).append(run)
            print(f"\r{task.contestant} {task.repetition + 1}   ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(table(found, arguments.budgets))
    if arguments.json is not None:
        about = {"machine": machine.facts(), "curves": _about(arguments.curves), "budgets": list(arguments.budgets)}
        results = about | {"table": table(found, arguments.budgets), "distances": found}
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _about(path: Path) -> dict[str, Any]:
    configurations, seeds, epochs = _opened(path)[0].values.shape
    return {"file": str(path), "configurations": configurations, "seeds": seeds, "epochs": epochs}


def _arguments() -> argparse.Namespace:
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.efficiency",
        description=about,
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--curves", type=Path, default=CURVES, metavar="FILE", help="made if it isn't there")
    parser.add_argument("--repetitions", type=int, default=200, help="of each contestant")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--budgets", nargs="+", type=int, default=BUDGETS, help="epochs of work, rising")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="that replay at the same time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every distance, with machine and versions")
    return parser.parse_args()


if __name__ == "__main__":
    main()
