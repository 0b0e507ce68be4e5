"""How studies stand: trials by state, best so far, epochs spent, what each worker does now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from reports.leaderboard import usable
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
    """A table for a person, with a line for each worker that is busy."""
    if not found:
        return "no studies yet; begin with: toprung run digits"
    table = Table()
    for column in ("study", "state", "trials", "epochs", "best", "time"):
        table.add_column(column, justify="right" if column in ("epochs", "time") else "left")
    for one in found:
        time = "" if one["seconds"] is None else duration(one["seconds"])
        table.add_row(one["name"], one["state"], _trials(one), str(one["epochs"]), _best(one), time)
    workers = [f"{one['name']}: {line}" for one in found for line in one["workers"]]
    return Group(table, *workers)


def _trials(one: dict[str, Any]) -> str:
    counts = [f"{count} {state}" for state, count in one["trials"].items() if count]
    budget = "" if one["budget"] is None else f" of {one['budget']}"
    return f"{sum(one['trials'].values())}{budget}: {', '.join(counts) or 'none yet'}"


def _best(one: dict[str, Any]) -> str:
    return "" if one["best"] is None else f"{one['best']:.4f} {one['monitor']} (trial {one['best_trial']})"


def _age(moment: str) -> float:
    """Either way: a clock that was set back would have a search that was killed run until it has caught up."""
    return abs((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
