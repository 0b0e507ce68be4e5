"""How studies stand: trials by state, best so far, epochs spent, what each worker does now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from reports.leaderboard import usable
from reports.words import counted, shown
from search.display import duration
from studies.records import StudyRecord
from studies.store import Store

_STATES = ("complete", "pruned", "paused", "running", "failed")
_FRESH_SECONDS = 15.0  # a supervisor says what it does at least every few seconds


def standing(record: StudyRecord, now: dict[str, Any] | None) -> dict[str, Any]:
    """How one study stands, as plain values.

    Args:
        record: The study.
        now: What its supervisor last said of itself: "at", "elapsed", "workers" (none once it has ended).
    """
    best = next(iter(usable(record)), None)
    alive = (
        now is not None and bool(now["workers"]) and _age(now["at"]) < _FRESH_SECONDS and record.state == "searching"
    )
    # What was under way when a run was killed, or when the time was up, waits for the next run.
    states = ("paused" if trial.state == "running" and not alive else trial.state for trial in record.trials)
    counts: Counter[str] = Counter(states)
    ended = "finished" if record.state == "finished" else "interrupted"
    return {
        "name": record.name,
        "state": "running" if alive else (ended if record.plan else "imported"),
        "trials": {state: counts[state] for state in _STATES},
        "budget": record.plan["budget"]["trials"] if record.plan else None,
        "epochs": sum(trial.epochs for trial in record.trials),
        "monitor": record.monitor,
        "best": None if best is None else best.value,
        "best_trial": None if best is None else best.number,
        "seconds": None if now is None else now["elapsed"],
        "workers": now["workers"] if now is not None and alive else [],
        "created": record.created.isoformat(timespec="seconds"),
    }


def standings(store: Store, name: str | None) -> list[dict[str, Any]]:
    """One study, or all of the store."""
    names = [name] if name is not None else list(store.names())
    return [standing(store.load(one), store.attribute(one, "now")) for one in names]


def standings_text(found: Sequence[dict[str, Any]]) -> RenderableType:
    """A few lines a study for a person, with one for each worker that is busy; they fit narrow terminals."""
    if not found:
        return "no studies yet; begin with: toprung run digits"
    grid = Table.grid("name", "lines", padding=(0, 2, 0, 0))
    for one in found:
        lines = [f"{one['state']}, {_trials(one)}", *_spent(one), *one["workers"]]
        grid.add_row(Text(one["name"], style="bold"), "\n".join(lines))
    return grid


def _trials(one: dict[str, Any]) -> str:
    total, budget = sum(one["trials"].values()), one["budget"]
    trials = counted(total, "trial") if budget is None or budget < total else f"{total} of {counted(budget, 'trial')}"
    counts = ", ".join(f"{count} {state}" for state, count in one["trials"].items() if count)
    return f"{trials}{counts and ': '}{counts}"


def _spent(one: dict[str, Any]) -> list[str]:
    """Nothing of what is not there: another program's study has no epochs, a new one no best trial."""
    time = "" if one["seconds"] is None else f" in {duration(one['seconds'])}"
    told = [f"{counted(one['epochs'], 'epoch')}{time}"] if one["epochs"] else []
    if one["best"] is not None:
        told.append(f"best {one['monitor']} {shown(one['monitor'], one['best'])} (trial {one['best_trial']})")
    return ["; ".join(told)] if told else []


def _age(moment: str) -> float:
    """Either way: a clock that was set back would have a search that was killed run until it has caught up."""
    return abs((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
