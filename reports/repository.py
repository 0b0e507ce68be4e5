"""A study's report in Markdown for a repository page, with its pictures in a folder beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from reports.canvas import Chart
from reports.contents import Contents
from reports.errors import ReportError
from reports.files import replace
from reports.markdown import bullets, code, escaped, table
from reports.page import gathered
from reports.reproduction import Reproduction
from reports.sections import Section, Table
from reports.tables import to_markdown
from studies.records import StudyRecord


def write_repository_page(study: StudyRecord, folder: Path, path: Path) -> None:
    """Write the report of a study as Markdown: `digits.md`, and its pictures in `digits_files`.

    Args:
        study: What happened.
        folder: The study's own, for what it knows of the winner.
        path: The Markdown file, in a folder that exists.
    Raises:
        ReportError: It cannot be written; or what the study's folder has cannot be read.
    """
    if path.is_dir():
        raise ReportError(f"{path}: cannot be written: it is a folder")
    pictures = path.with_name(f"{path.stem}_files")
    text, charts = markdown(gathered(study, folder), pictures.name)
    try:
        pictures.mkdir(exist_ok=True)
    except OSError as error:
        raise ReportError(f"{pictures}: cannot be made: {error.strerror or error}") from error
    for name, chart in charts.items():
        replace(pictures / name, chart.svg())
    replace(path, text)


def markdown(told: Contents, pictures: str) -> tuple[str, dict[str, Chart]]:
    """The text, and the pictures that it shows by their file names.

    Args:
        told: What the report tells.
        pictures: The name of the folder of pictures.
    """
    charts: dict[str, Chart] = {}
    parts = [f"# {escaped(told.study.name)}", escaped(told.facts), bullets(told.sentences), *_board(told)]
    for section in told.sections:
        parts += _section(section, "##", charts, pictures)
    if told.winner:
        parts += ["## The winner", escaped(told.winner)]
    for section in told.winner_sections:
        parts += _section(section, "###", charts, pictures)
    for section in told.failures:
        parts += _section(section, "##", charts, pictures)
    if told.again:
        parts += _again(told.again)
    return "\n\n".join(parts) + "\n", charts


def _board(told: Contents) -> Iterator[str]:
    if len(told.board):
        yield "## Leaderboard"
        yield to_markdown(told.board).rstrip()
        yield escaped(told.board_note)


def _section(section: Section, level: str, charts: dict[str, Chart], pictures: str) -> Iterator[str]:
    yield f"{level} {escaped(section.title)}"
    if section.sentences:
        yield bullets(section.sentences)
    for chart in section.charts:
        name = _file_name(chart.title, charts)
        charts[name] = chart
        yield f"**{escaped(chart.title)}**"
        yield f"![{escaped(chart.alternative)}]({quote(pictures)}/{name})"
    yield from (text for one in section.tables for text in _table(one))


def _file_name(title: str, taken: dict[str, Chart]) -> str:
    stem = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-")
    number = sum(name.startswith(f"{stem}.") or re.fullmatch(rf"{stem}-\d+\.svg", name) is not None for name in taken)
    return f"{stem}-{number + 1}.svg" if number else f"{stem}.svg"


def _table(one: Table) -> Iterator[str]:
    yield f"**{escaped(one.title)}**"
    yield table(one.header, one.rows, one.names)
    if one.note:
        yield escaped(one.note)


def _again(again: Reproduction) -> Iterator[str]:
    yield "## To run it again"
    yield "Save the two files below, then:"
    yield code(again.command)
    facts = [(f"seed, {use}", seed) for use, seed in again.seeds.items()]
    facts += [(f"data, {fact}", value) for fact, value in again.data.items()]
    versions = ", ".join(f"{package} {version}" for package, version in again.versions.items())
    facts.append(("versions", f"{versions} ({again.versions_of})"))
    yield table(("what", "value"), facts, names=2)
    for name, text in again.files.items():
        yield f"`{name}`:"
        yield code(text, "toml")
