"""How toprung's own work grows with a study and with its workers: one command, no model trained.

    python -m tests.benchmarks.scale --json results.json
    python -m tests.benchmarks.scale --sizes 100 1000 --workers 2 --repeats 5

The first table: stores of so many trials with about thirty epochs each, written by the store's own code. In one that
is being searched a trial is asked for (the default sampler's proposal, and the trial in the store), reported with
verdict (the epoch after which it arrives at a rung, the rung's decision, and which trial goes on) and told (the
last epoch of one that becomes complete); each waits for the disk, as a search never does. Then users look at
it: `toprung status` and `toprung leaderboard`, what they do and as whole processes, and `toprung dashboard`, from its
start to the list of studies, from its start to the study with all its trials, and when that is read anew.

The second table: searches with workers that sleep instead of training. The supervisor's overhead is the time of the
processor that its process takes an epoch; workers lose time between two jobs. The share beside sleeping is what a job
takes more than its epochs' sleep: checkpoints, messages, and waking up late on a busy machine.

Times are medians, with the median of the processor's seconds behind the stroke: others who use the machine
lengthen the first more than the second.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks import machine
from tests.benchmarks.filling import EPOCHS, fill
from tests.benchmarks.handling import Samples, browsed, looked_at, searched
from tests.benchmarks.idling import Idling, idle
from tests.benchmarks.samples import Median
from tests.benchmarks.samples import median as median_of

SIZES = (100, 1_000, 10_000)
WORKERS = (1, 2, 4, 8)
EPOCH_SECONDS = (0.05, 0.005)
_TRIALS_A_WORKER = 40
_COMMANDS = 3  # whole processes are measured at most so often


@dataclass(frozen=True)
class Handled:
    """What was measured with a store of one size, by name."""

    trials: int
    load_average: float
    figures: dict[str, Median]


@dataclass(frozen=True)
class Idled:
    """What one search with sleeping workers has shown."""

    workers: int
    epoch_seconds: float
    load_average: float
    figures: Idling


def handled(trials: int, repeats: int) -> Handled:
    """Fill a store, then do with it what a search and its user do."""
    load = machine.load()
    with tempfile.TemporaryDirectory(prefix="toprung-benchmark-") as name:
        out = Path(name)
        loaded = fill(out, trials)
        commands = min(repeats, _COMMANDS)
        samples: Samples = looked_at(loaded.plan.name, out, commands) | browsed(out, commands)
        samples = searched(loaded, out, repeats) | samples
    return Handled(trials, max(load, machine.load()), {what: median_of(found) for what, found in samples.items()})


def idled(workers: int, epoch_seconds: float, trials: int) -> Idled:
    """Search with workers that sleep."""
    load = machine.load()
    found = idle(workers, epoch_seconds, workers * trials)
    return Idled(workers, epoch_seconds, max(load, machine.load()), found)


def stores_table(found: Sequence[Handled]) -> str:
    """One line a measurement, one column a size, as Markdown."""
    sizes = [f"{one.trials:,} trials" for one in found]
    rows = [[name, *(_times(one.figures[name]) for one in found)] for name in found[0].figures]
    return markdown([f"ms by the clock / of the processor, {EPOCHS} epochs a trial", *sizes], rows)


def workers_table(found: Sequence[Idled]) -> str:
    """One line a number of workers and length of an epoch: medians over the repetitions."""
    columns = ["workers", "ms an epoch", "epochs", "supervisor, ms an epoch", "lost between jobs", "beside sleeping"]
    rows = []
    for workers, seconds in dict.fromkeys((one.workers, one.epoch_seconds) for one in found):
        own = [one.figures for one in found if (one.workers, one.epoch_seconds) == (workers, seconds)]
        cpu, lost, beside = (median(getattr(one, name) for one in own) for name in ("cpu_per_epoch", "lost", "beside"))
        cells = [f"{1000 * seconds:g}", f"{median(one.epochs for one in own):.0f}", f"{1000 * cpu:.2f}"]
        rows.append([str(workers), *cells, f"{100 * lost:.1f} %", f"{100 * beside:.1f} %"])
    return markdown(columns, rows)


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _times(one: Median) -> str:
    return f"{1000 * one.wall:,.1f} / {1000 * one.cpu:,.1f}"


def main() -> None:
    arguments = _arguments()
    stores: list[Handled] = []
    workers: list[Idled] = []
    for trials in arguments.sizes:
        stores.append(handled(trials, arguments.repeats))
        print(stores_table(stores), f"load {stores[-1].load_average:.1f}", sep="\n", file=sys.stderr)
    for _ in range(min(arguments.repeats, _COMMANDS) if arguments.workers else 0):
        for seconds in EPOCH_SECONDS:
            workers += [idled(count, seconds, arguments.trials_a_worker) for count in arguments.workers]
            print(workers_table(workers), f"load {workers[-1].load_average:.1f}", sep="\n", file=sys.stderr)
    tables = ([stores_table(stores)] if stores else []) + ([workers_table(workers)] if workers else [])
    print("\n\n".join(tables))
    if arguments.json is not None:
        results: dict[str, Any] = {"machine": machine.facts(), "repeats": arguments.repeats, "tables": tables}
        results |= {"stores": [asdict(one) for one in stores], "workers": [asdict(one) for one in workers]}
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.scale",
        description=about,
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES, help="trials of each store")
    parser.add_argument("--workers", nargs="*", type=int, default=WORKERS, help="sleeping workers of each search")
    parser.add_argument(
        "--repeats", type=int, default=10, help="of what takes milliseconds; commands and searches less"
    )
    parser.add_argument("--trials-a-worker", type=int, default=_TRIALS_A_WORKER, help="of searches that sleep")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure, with machine and versions")
    return parser.parse_args()


if __name__ == "__main__":
    main()
