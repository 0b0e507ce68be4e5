"""Why a trial was stopped or promoted, in numbers and in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table

from reports.words import counted, listed, scalar, shown
from search.output import thin_table
from spaces import validate
from studies.ladder import AHEAD
from studies.plan import Hyperband
from studies.promotion import explain
from studies.records import StudyRecord

_SHOWN_COMPETITORS = 5


def explanation(record: StudyRecord, number: int) -> dict[str, Any]:
    """How the trial stands and one verdict a rung, as plain values; none where Optuna's pruner was the judge.

    Raises:
        StudyError: There is no such trial, or another program made the study.
    """
    hyperband = validate(Hyperband, record.own_plan["hyperband"], record.name)
    verdicts = explain(record.trials, hyperband.ladder, record.direction, number)
    trial = next(trial for trial in record.trials if trial.number == number)
    return {
        "study": record.name,
        "trial": number,
        "state": trial.state,
        "mode": hyperband.mode,
        "reason": trial.reason,
        "bracket": trial.bracket,
        "epochs": trial.epochs,
        "value": trial.value,
        "monitor": record.monitor,
        "params": trial.params,
        "rungs": [] if hyperband.mode == "stop" else [asdict(verdict) for verdict in verdicts],
    }


def explanation_text(found: dict[str, Any]) -> RenderableType:
    """The same for a person."""
    monitor = found["monitor"]
    value = "" if found["value"] is None else f", {monitor} {shown(monitor, found['value'])}"
    bracket = "" if found["bracket"] is None else f", bracket {found['bracket']}"
    epochs = counted(found["epochs"], "epoch")
    head = f"trial {found['trial']} of {found['study']}: {found['state']} after {epochs}{value}{bracket}"
    params = ", ".join(f"{name} = {scalar(value)}" for name, value in found["params"].items())
    lines: list[RenderableType] = [head, Padding(params, (0, 0, 0, 2))]
    if found["reason"]:
        lines.append(f"  {found['reason']}")
    if found["mode"] == "stop":
        lines.append('  mode = "stop": Optuna\'s HyperbandPruner judged it; it deals out brackets of its own')
        return Group(*lines)
    if not found["rungs"]:
        return Group(*lines, "  it has reached no rung")
    rungs = found["rungs"]
    return Group(*lines, _rungs_table(monitor, rungs), *_despite_its_rank(found), *_advice(monitor, rungs[-1]))


def _despite_its_rank(found: dict[str, Any]) -> list[str]:
    """Why it went on from rungs where ranks and cut-offs, those of all that arrived, tell nothing of it."""
    told, rungs = [], found["rungs"]
    if found["trial"] == 0 and found["mode"] == "promote":
        told.append("  the first trial of a study goes on to its third rung whatever its rank")
        rungs = rungs[AHEAD:]
    if early := _epochs(filter(_was_overtaken, rungs)):
        told.append(f"  ranks count all that ever arrived: it went on from rung {early} before better ones came")
    if alone := _epochs(rung for rung in rungs if rung["verdict"] == "promoted" and rung["cutoff"] is None):
        few = f"from rung {alone}, which too few have reached,"
        told.append(f"  {few} the best goes on, for each bracket completes a trial")
    return told


def _epochs(rungs: Iterable[dict[str, Any]]) -> str:
    return listed([str(rung["epochs"]) for rung in rungs])


def _was_overtaken(rung: dict[str, Any]) -> bool:
    """Whether better ones arrived after it went on."""
    values = [value for _, value in rung["competitors"]]
    if rung["verdict"] != "promoted" or rung["cutoff"] not in values or rung["rank"] is None:
        return False
    return bool(rung["rank"] > len(values) - values[::-1].index(rung["cutoff"]))


def _rungs_table(monitor: str, rungs: list[dict[str, Any]]) -> Table:
    texts = ("best competitors", "verdict")
    table = thin_table("rung", "value", "rank", "cut-off", *texts, texts=texts)
    for rung in rungs:
        best = rung["competitors"][:_SHOWN_COMPETITORS]
        others = [f"{shown(monitor, value)} (trial {number})" for number, value in best]
        table.add_row(
            f"{rung['epochs']}",
            shown(monitor, rung["value"]),
            f"{rung['rank']} of {len(rung['competitors'])}",
            shown(monitor, rung["cutoff"]),
            "\n".join(others),
            rung["verdict"],
        )
    return table


def _advice(monitor: str, rung: dict[str, Any]) -> list[str]:
    if rung["verdict"] not in ("pruned", "paused") or rung["rank"] is None:
        return []
    if rung["cutoff"] is None:
        return [f"  too few trials have reached rung {rung['epochs']} for its rank to take it on"]
    if rung["verdict"] == "paused" and rung["rank"] <= rung["places"]:
        return [f"  it may go on from rung {rung['epochs']} and waits for its turn"]
    needed = f"  to go on from rung {rung['epochs']} it needed"
    if rung["value"] == rung["cutoff"]:
        return [f"{needed} better than {shown(monitor, rung['cutoff'])}: of equal values the lower number goes first"]
    return [f"{needed} {shown(monitor, rung['cutoff'])} or better"]
