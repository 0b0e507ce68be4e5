"""A study as one HTML file that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.canvas import Chart
from reports.charts import charts
from reports.columns import readable
from reports.comparison import comparison, shared
from reports.files import replace
from reports.leaderboard import leaderboard, metric_names
from reports.reproduction import reproduction
from reports.rungs import rung_counts
from reports.steps import recorded_steps, steps_chart
from reports.summary import summary
from reports.words import counted, shown, spoken
from studies.records import StudyRecord
from studies.steps import Steps

if TYPE_CHECKING:
    import pandas as pd

    from reports.diagnosis import Diagnosis

DIAGNOSIS = "diagnosis.npz"  # in a study's folder: a close look at its winner
MOST_ROWS = 30
MOST_NUMBERS = 20


def write_page(
    study: StudyRecord, path: Path, diagnosis: Diagnosis | None = None, steps: Mapping[int, Steps] | None = None
) -> None:
    """Write the report of a study; the file is replaced as a whole.

    Args:
        study: What happened; any state will do, even without trials.
        path: The HTML file, in a folder that exists.
        diagnosis: A close look at the winner, where one was taken.
        steps: What was recorded of single training steps, by trial.
    Raises:
        ReportError: It cannot be written; a file that was there is left as it was.
    """
    replace(path, page(study, diagnosis, steps))


def write_report(study: StudyRecord, folder: Path, path: Path) -> None:
    """Write the report of a study, with the close look at its winner and the steps that the study's folder has.

    Raises:
        ReportError: See `write_page`; or what the folder has can't be read.
    """
    from reports.diagnosis import read

    diagnosis = folder / DIAGNOSIS
    write_page(study, path, read(diagnosis) if diagnosis.is_file() else None, recorded_steps(study, folder))


def page(study: StudyRecord, diagnosis: Diagnosis | None = None, steps: Mapping[int, Steps] | None = None) -> str:
    """The report as HTML text. Nothing from the study is taken for markup."""
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("reports").joinpath("page.html").read_text(encoding="utf-8"))
    metric, _ = metric_names(study)
    return template.render(
        study=study,
        metric=spoken(metric),
        sentences=summary(study),
        board=_board(leaderboard(study, top=MOST_ROWS)),
        trials=counted(len(study.trials), "trial"),
        left_out=len(study.trials) > MOST_ROWS,
        shown_trials=MOST_ROWS,
        rungs=[_rung_cells(metric, count) for count in rung_counts(study)],
        charts=[_picture(chart) for chart in [*comparison(study), *charts(study), steps_chart(steps or {})] if chart],
        shared=shared(study),
        diagnosis=diagnosis,
        sections=_sections(diagnosis) if diagnosis else [],
        failures=_failures(study),
        again=reproduction(study),
    )


def _board(frame: pd.DataFrame) -> Mapping[str, Any]:
    columns = readable(frame)
    cells = zip(*(column.cells for column in columns), strict=True)
    return {"columns": columns, "rows": list(zip(frame["state"], cells, strict=True))}


def _rung_cells(metric: str, count: Any) -> Mapping[str, Any]:
    return {
        "bracket": count.bracket,
        "epochs": count.epochs,
        "reached": count.reached,
        "went_on": "" if count.went_on is None else count.went_on,
        "best": shown(metric, count.best),
    }


def _sections(diagnosis: Diagnosis) -> list[Mapping[str, Any]]:
    from reports.diagnosis.sections import sections

    return [
        {
            "title": section.title,
            "sentences": section.sentences,
            "charts": [_picture(chart) for chart in section.charts],
            "tables": section.tables,
        }
        for section in sections(diagnosis)
    ]


def _picture(chart: Chart) -> Mapping[str, Any]:
    data = base64.b64encode(chart.svg().encode()).decode()
    return {
        "title": chart.title,
        "source": f"data:image/svg+xml;base64,{data}",
        "alternative": chart.alternative,
        "detailed": chart.detailed,
    }


def _failures(study: StudyRecord) -> list[Mapping[str, str]]:
    numbers: dict[str, list[int]] = {}
    for trial in study.trials:
        if trial.state == "failed":
            numbers.setdefault(trial.reason or "no reason was recorded", []).append(trial.number)
    groups = sorted(numbers.items(), key=lambda group: -len(group[1]))
    return [
        {"reason": reason, "count": counted(len(trials), "trial"), "trials": _few(trials)} for reason, trials in groups
    ]


def _few(trials: list[int]) -> str:
    text = ", ".join(map(str, trials[:MOST_NUMBERS]))
    return text if len(trials) <= MOST_NUMBERS else f"{text}, ..."
