"""What a person or a script sees of a run while it lasts.

A run tells what happens as (kind, fields); here that becomes a live display on a terminal, plain lines
elsewhere, or one JSON object a line.
"""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reports.words import counted, shown
from search.output import json_line, write_nowhere

_REFRESHES_PER_SECOND = 8
_QUIET_SECONDS = 30.0  # between two lines of a log while epochs are trained


@dataclass
class WorkerLine:
    """What one worker does now."""

    doing: str = "starting"
    epoch: int = 0
    to_epoch: int = 0
    value: float | None = None


@dataclass
class RunState:
    """What has been told of a run so far.

    Attributes:
        expected_epochs: Epochs that the whole search will take, as `toprung plan` forecasts it.
        epochs: Epochs trained in this run of the command.
        best: Trial number and value of the best so far.
    """

    name: str = ""
    monitor: str = ""
    maximize: bool = True
    trials_total: int = 0
    known_epochs: int = 0
    expected_epochs: float = 0.0
    seconds_left: float | None = None
    phase: str = "starting"
    epochs: int = 0
    trials: set[int] = field(default_factory=set)
    best: tuple[int, float] | None = None
    workers: dict[int, WorkerLine] = field(default_factory=dict)
    first_epoch: float | None = None

    def take(self, kind: str, fields: dict[str, Any]) -> None:
        """Take in what happened."""
        match kind:
            case "study":
                self._study(fields)
            case "phase":
                self.phase = fields["phase"]
                self.workers = {slot: WorkerLine("idle") for slot in self.workers}
            case "worker":
                self.workers[fields["worker"]] = WorkerLine("idle")
            case "died":
                self.workers[fields["worker"]] = WorkerLine("restarting")
            case "trial":
                self.trials.add(fields["trial"])
                line = WorkerLine(f"trial {fields['trial']}", fields["epoch"], fields["to_epoch"])
                self.workers[fields["worker"]] = line
            case "epoch":
                self._epoch(fields)

    def remaining_seconds(self) -> float | None:
        """A guess from the epochs that are left at the present rate; None before there is one."""
        if self.first_epoch is None or self.epochs < 5 or self.phase != "search":
            return None
        passed = time.monotonic() - self.first_epoch
        left = max(0.0, self.expected_epochs - self.known_epochs - self.epochs) * passed / self.epochs
        return left if self.seconds_left is None else min(left, max(0.0, self.seconds_left - passed))

    def _study(self, fields: dict[str, Any]) -> None:
        for name in ("name", "monitor", "maximize", "trials_total", "known_epochs", "expected_epochs"):
            setattr(self, name, fields[name])
        self.seconds_left = fields["seconds_left"]
        self.trials = set(fields["trials"])
        self.best = fields["best"]

    def _epoch(self, fields: dict[str, Any]) -> None:
        self.first_epoch = self.first_epoch or time.monotonic()
        line = self.workers.setdefault(fields["worker"], WorkerLine())
        line.epoch, line.value = fields["epoch"], fields.get("value")
        if fields.get("value") is None:
            line.doing = fields["doing"]
            line.to_epoch = fields["to_epoch"]
            return
        self.epochs += 1
        sign = 1 if self.maximize else -1
        if self.best is None or sign * fields["value"] > sign * self.best[1]:
            self.best = fields["trial"], fields["value"]


class Silent:
    """Shows nothing; for `--quiet`."""

    def __call__(self, kind: str, **fields: Any) -> None:
        """Ignore what happened."""

    def showing(self) -> AbstractContextManager[Any]:
        """Nothing to open or close."""
        return nullcontext()


class JsonLines(Silent):
    """One JSON object a line, for scripts."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream

    def __call__(self, kind: str, **fields: Any) -> None:
        """Write it down."""
        try:
            print(json_line({"event": kind, **fields}), file=self._stream, flush=True)
        except BrokenPipeError:
            write_nowhere()


class PlainLines(Silent):
    """A line for each thing that a log should keep: not every epoch, but where the run stands now and then."""

    def __init__(self, console: Console) -> None:
        self._state = RunState()
        self._console = console
        self._said = time.monotonic()

    def __call__(self, kind: str, **fields: Any) -> None:
        """Say it in a line, if it is worth one."""
        self._state.take(kind, fields)
        line = _line(kind, fields, self._state)
        if line is None and kind == "epoch" and time.monotonic() - self._said >= _QUIET_SECONDS:
            line = ", ".join(_progress(self._state))
        if line is not None:
            self._said = time.monotonic()
            self._console.print(line, highlight=False, soft_wrap=True)


class LiveDisplay(Silent):
    """A bar, a line a worker, the best so far and the time left, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._state = RunState()
        self._console = console

    def __call__(self, kind: str, **fields: Any) -> None:
        """Take it in; failures and messages also stay above the display."""
        self._state.take(kind, fields)
        line = _line(kind, fields, self._state)
        if line is not None and kind in ("study", "failed", "died", "message"):
            self._console.print(Text(line, style="yellow" if kind in ("failed", "died") else ""))

    def showing(self) -> AbstractContextManager[Any]:
        """Draw while the context lasts."""
        return Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
        )

    def _render(self) -> RenderableType:
        state = self._state
        grid = Table.grid(padding=(0, 1))
        for is_bar in (False, False, True, False, False):  # as in `_worker_row`: where room is short, bars give way
            grid.add_column(no_wrap=not is_bar)
        for slot, worker in sorted(state.workers.items()):
            grid.add_row(*_worker_row(slot, worker, state))
        return Group(_headline(state), grid)


def make_display(console: Console, *, quiet: bool, as_json: bool) -> Silent:
    """The display for this terminal, pipe or script."""
    if as_json:
        return JsonLines()
    if quiet:
        return Silent()
    redraws = console.is_terminal and not console.is_dumb_terminal
    return LiveDisplay(console) if redraws else PlainLines(console)


def _headline(state: RunState) -> RenderableType:
    """Two lines while it searches, which fit 60 characters; else one."""
    line = Table.grid(padding=(0, 1))
    if state.phase != "search" or not state.trials_total:
        told = "; ".join(filter(None, (_PHASES.get(state.phase, state.phase), _best(state))))
        line.add_row(Text(state.name, style="bold"), told)
        return line
    spent = state.known_epochs + state.epochs
    done = min(1.0, spent / state.expected_epochs) if state.expected_epochs else 0.0
    trials, epochs, *others = _progress(state)
    bar = ProgressBar(total=1.0, completed=done, width=24)
    line.add_row(Text(state.name, style="bold"), bar, f"{trials}, {epochs}")
    return Group(line, Text(f"  {', '.join(others)}")) if others else line


def _worker_row(slot: int, worker: WorkerLine, state: RunState) -> list[RenderableType]:
    row: list[RenderableType] = [f"  worker {slot}", worker.doing]
    if worker.to_epoch:
        bar = ProgressBar(total=worker.to_epoch, completed=worker.epoch, width=16)
        row += [bar, f"epoch {worker.epoch}/{worker.to_epoch}"]
    if worker.value is not None:
        row.append(shown(state.monitor, worker.value))
    return row


def _progress(state: RunState) -> list[str]:
    trials = f"{len(state.trials)} of {counted(state.trials_total, 'trial')}"
    told = [trials, counted(state.known_epochs + state.epochs, "epoch"), _best(state), _left(state)]
    return [text for text in told if text]


def _best(state: RunState) -> str:
    return f"best {shown(state.monitor, state.best[1])} (trial {state.best[0]})" if state.best else ""


def _left(state: RunState) -> str:
    left = state.remaining_seconds()
    return "" if left is None else f"about {duration(left)} left"


_PHASES = {
    "starting": "starting workers",
    "score": "scoring complete trials on the test split",
    "retrain": "retraining the best configuration",
    "report": "writing the leaderboard and the report",
}


def _line(kind: str, fields: dict[str, Any], state: RunState) -> str | None:
    """The line that a log keeps of what happened; None if it isn't worth one."""
    match kind:
        case "study":
            return _study_line(fields)
        case "phase" if fields["phase"] in _PHASES:
            return _PHASES[fields["phase"]]
        case "rung":
            return (
                f"trial {fields['trial']}: {fields['state']} after {counted(fields['epoch'], 'epoch')}, "
                f"{state.monitor} {shown(state.monitor, fields['value'])}; {_best(state)}"
            )
        case "failed":
            return f"trial {fields['trial']}: failed: {fields['reason']}"
        case "died":
            return f"worker {fields['worker']}: died ({fields['reason']}); a new one takes its place"
        case "message":
            return str(fields["text"])
    return None


def _study_line(fields: dict[str, Any]) -> str:
    known, total = len(fields["trials"]), fields["trials_total"]
    there = f"{counted(known, 'trial')} and {counted(fields['known_epochs'], 'epoch')}"
    if known == total:
        return f"{fields['name']}: no new trials, {there} are there; {fields['where']}"
    begin = f"{fields['name']}: up to {counted(total, 'trial')} on {fields['where']}"
    return f"{begin}, going on from {there}" if known else begin


def duration(seconds: float) -> str:
    """A time for a person: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"
