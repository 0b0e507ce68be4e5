"""Arguments and options that several verbs of the command line share, and the store that they name."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studies.files import store_url

if TYPE_CHECKING:
    from studies.records import StudyRecord
    from studies.store import Store

Study = Annotated[str, typer.Argument(help="A study file, or the name of one in the catalog.", metavar="STUDY")]
Name = Annotated[str, typer.Argument(help="A study in the store.", metavar="NAME")]
Out = Annotated[Path, typer.Option("--out", help="Folder of all runs.")]


def _without_password(context: typer.Context, parameter: typer.CallbackParam, url: str | None) -> str | None:
    """Refuse a password among the arguments of a process, which every user of the machine can list."""
    source = context.get_parameter_source(parameter.name or "")
    if url is None or source is None or source.name != "COMMANDLINE":
        return url
    from search.errors import SearchError
    from studies.store import has_password

    if has_password(url):
        law = "put it into ~/.pgpass or PGPASSWORD, or the whole URL into the environment as TOPRUNG_STORE"
        raise SearchError(f"--store: every user of this machine can see a password among the arguments; {law}")
    return url


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"toprung {version('toprung')}")
        raise typer.Exit


StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="Database URL; by default sqlite:///OUT/studies.db.",
        metavar="URL",
        envvar="TOPRUNG_STORE",
        callback=_without_password,
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, max=1024, help="Workers; by default one a GPU, or one a core.")]
SlotsPerGpu = Annotated[int, typer.Option(min=1, max=64, help="Workers that share a GPU.")]
FreshWorkers = Annotated[
    bool, typer.Option("--fresh-workers", help="A new process for every job: for models that leave memory behind.")
]
Backend = Annotated[
    str | None,
    typer.Option(help="Keras backend: tensorflow, jax or torch. By default KERAS_BACKEND, or tensorflow."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a key of the study file; repeatable.", metavar="SECTION.KEY=VALUE"),
]
Trials = Annotated[int | None, typer.Option(min=1, help="Configurations in all, those in the store included.")]
Minutes = Annotated[float | None, typer.Option(min=0.01, help="Minutes of searching in all.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of the sampler and of training.")]
Hypermodel = Annotated[
    str | None,
    typer.Option(
        "--hypermodel",
        help="A Keras Tuner hypermodel in place of the study's space and enqueued params.",
        metavar="MODULE:BUILD",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")]
Version = Annotated[
    bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", is_eager=True)]


def print_json(*values: Mapping[str, Any]) -> None:
    """One JSON object a line on standard output; what is no finite number is null."""
    from search.output import json_line

    for value in values:
        typer.echo(json_line(value))


def show_file(path: Path, as_json: bool) -> None:
    """A TOML file as it is, or what it says as JSON."""
    from spaces import read_toml

    print_json(read_toml(path)) if as_json else typer.echo(path.read_text(encoding="utf-8"), nl=False)


def two_columns(lines: Mapping[str, str]) -> str:
    """Names and what is said of them, one below the other; on a terminal in lines that fit."""
    width = max(map(len, lines), default=0)
    pairs = [f"{name:{width}}  {text}".rstrip() for name, text in lines.items()]
    if sys.stdout.isatty():
        room, indent = shutil.get_terminal_size().columns, " " * (width + 2)
        pairs = [textwrap.fill(pair, max(room, width + 20), subsequent_indent=indent) for pair in pairs]
    return "\n".join(pairs)


def load_record(out: Path, store: str | None, name: str) -> StudyRecord:
    """A study in the store, with all its trials."""
    with open_store(out, store) as opened:
        return opened.load(name)


def open_store(out: Path, store: str | None) -> Store:
    """The store, for reading."""
    from studies.store import Store

    return Store.open(store_url(out, store), create=False, read_only=True)
