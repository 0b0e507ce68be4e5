"""A study as one HTML file that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from importlib.resources import files
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.canvas import Chart
from reports.columns import readable
from reports.contents import Contents, contents
from reports.files import replace
from reports.steps import recorded_steps
from studies.files import BEST, DIAGNOSIS
from studies.records import StudyRecord

if TYPE_CHECKING:
    import pandas as pd


def write_report(study: StudyRecord, folder: Path, path: Path) -> None:
    """Write the report of a study, with what the study's folder knows of its winner.

    Raises:
        ReportError: It cannot be written, and a file that was there is left as it was; or what the folder has cannot be
            read.
    """
    replace(path, page(gathered(study, folder)))


def gathered(study: StudyRecord, folder: Path) -> Contents:
    """The contents of a study's report, with what the folder has: the look at its winner, versions, recorded steps.

    Raises:
        ReportError: The close look or a recording is damaged.
    """
    from reports.diagnosis import read

    diagnosis = folder / DIAGNOSIS
    closely = read(diagnosis) if diagnosis.is_file() else None
    return contents(study, closely, _versions(folder / BEST), recorded_steps(study, folder))


def page(told: Contents) -> str:
    """The report as HTML text. Nothing from the study is taken for markup."""
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data_url"] = _data_url
    template = environment.from_string(files("reports").joinpath("page.html").read_text(encoding="utf-8"))
    return template.render(it=told, board=_board(told.board))


def _versions(path: Path) -> Mapping[str, str] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["versions"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def _board(frame: pd.DataFrame) -> Mapping[str, Any]:
    columns = sorted(readable(frame), key=attrgetter("priority"))
    cells = zip(*(column.cells for column in columns), strict=True)
    return {"columns": columns, "rows": list(zip(frame["state"], cells, strict=True))}


def _data_url(chart: Chart) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(chart.svg().encode()).decode()}"
