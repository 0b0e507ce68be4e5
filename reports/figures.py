"""Figures for optuna-dashboard, as Plotly reads them: small, for the page takes them anew every few seconds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from reports.canvas import COLOURS
from reports.charts import gap_rows
from reports.leaderboard import usable
from reports.rungs import RungCount, by_bracket, rung_counts
from reports.words import GAP_METRIC, is_share, spoken
from studies.records import StudyRecord, TrialRecord

MOST_POINTS = 100
DASHES = ("solid", "dash", "dashdot", "dot", "longdash", "longdashdot")
DIGITS = 5


def figures(study: StudyRecord) -> dict[str, str]:
    """Name to figure, as JSON, of what the study has to show: its rungs, its best learning curves, its gaps."""
    made = {"rungs": _rungs(study), "learning-curves": _curves(study), "gaps": _gaps(study)}
    return {name: json.dumps(figure, separators=(",", ":")) for name, figure in made.items() if figure["data"]}


def _rungs(study: StudyRecord) -> dict[str, Any]:
    layout = _layout("Trials that reached each rung", "rung, in epochs", "trials")
    layout["xaxis"]["type"] = "category"
    return {"data": list(map(_bars, by_bracket(rung_counts(study)))), "layout": layout | {"barmode": "group"}}


def _bars(counts: Sequence[RungCount]) -> dict[str, Any]:
    promoted = ["" if count.went_on is None else f"{count.went_on} promoted" for count in counts]
    return {
        "type": "bar",
        "name": f"bracket {counts[0].bracket}",
        "x": [str(count.epochs) for count in counts],
        "y": [count.reached for count in counts],
        "text": [str(count.reached) for count in counts],
        "hovertext": promoted,
        "marker": {"color": COLOURS[counts[0].bracket % len(COLOURS)]},
    }


def _curves(study: StudyRecord) -> dict[str, Any]:
    best = [trial for trial in usable(study) if trial.history.get(study.monitor)][: len(COLOURS)]
    layout = _layout("Learning curves of the best trials", "epoch", f"validation {spoken(study.metric)}")
    layout["yaxis"] |= {"tickformat": ".1%"} if is_share(study.metric) else {}
    return {"data": [_curve(study, trial, place) for place, trial in enumerate(best)], "layout": layout}


def _curve(study: StudyRecord, trial: TrialRecord, place: int) -> dict[str, Any]:
    points = list(_thinned(trial.history[study.monitor]))
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(points) < MOST_POINTS / 2 else "lines",
        "name": f"trial {trial.number}",
        "x": [epoch for epoch, _ in points],
        "y": [value for _, value in points],
        "line": {"color": COLOURS[place], "dash": DASHES[place]},
    }


def _thinned(values: Sequence[float]) -> Iterator[tuple[int, float | None]]:
    """Epochs from 1 with their values: of many, evenly spread ones and the last; None where not finite."""
    step = math.ceil(len(values) / MOST_POINTS)
    for epoch, value in enumerate(values, 1):
        if epoch % step == 0 or epoch == len(values):
            yield epoch, float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _gaps(study: StudyRecord) -> dict[str, Any]:
    rows = gap_rows(study)
    layout = _layout("Validation minus test", "", f"points of {GAP_METRIC}, above 0 test is worse")
    layout |= {"showlegend": False}
    layout["xaxis"]["type"] = "category"
    return {"data": [_errors(rows)] if rows else [], "layout": layout}


def _errors(rows: Sequence[tuple[str, float, float | None]]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [name for name, _, _ in rows],
        "y": [round(gap * 100, DIGITS) for _, gap, _ in rows],
        "error_y": {"type": "data", "array": [round((error or 0.0) * 100, DIGITS) for _, _, error in rows]},
        "marker": {"color": COLOURS[0], "size": 8},
    }


def _layout(title: str, x: str, y: str) -> dict[str, Any]:
    axes = {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}
    # To the left, for the page lays its buttons over the right.
    return {
        "title": {"text": title, "x": 0.02, "xanchor": "left"},
        "margin": {"l": 60, "t": 50, "r": 20, "b": 60},
        "showlegend": True,
        **axes,
    }
