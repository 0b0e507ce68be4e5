"""The verbs of `toprung studies`: the catalog and the store."""

from __future__ import annotations

import sys
from itertools import takewhile
from pathlib import Path
from typing import Annotated

import typer

from search.cli_options import (
    Json,
    Name,
    Out,
    StoreUrl,
    Study,
    load_record,
    open_store,
    print_json,
    show_file,
    two_columns,
)
from studies.files import RUNS, is_name, store_url

studies_app = typer.Typer(no_args_is_help=True, help="Studies: the catalog and the store.")


@studies_app.command("list", epilog="Example: toprung studies list")
def studies_list(out: Out = RUNS, store: StoreUrl = None, json: Json = False) -> None:
    """The studies of the catalog, and those in the store."""
    from spaces import catalog_names
    from studies.plan import CATALOG

    catalog = {name: _first_sentence(CATALOG / f"{name}.toml") for name in catalog_names(CATALOG)}
    stored: list[str] = []
    if store is not None or (out / "studies.db").exists():
        with open_store(out, store) as opened:
            stored = list(opened.names())
    if json:
        print_json(*({"name": name, "in": "catalog", "description": text} for name, text in catalog.items()))
        print_json(*({"name": name, "in": "store"} for name in stored))
        return
    typer.echo(f"In the catalog, for toprung run:\n{two_columns(catalog)}")
    typer.echo(f"In the store: {', '.join(stored) or 'none yet'}")


@studies_app.command("show", epilog="Example: toprung studies show digits")
def studies_show(study: Study, json: Json = False) -> None:
    """The text of a study of the catalog, to copy and change."""
    from spaces import find
    from studies.plan import CATALOG

    show_file(find("study", study, CATALOG), json)


@studies_app.command("remove", epilog="Example: toprung studies remove digits --yes")
def studies_remove(
    name: Name,
    out: Out = RUNS,
    store: StoreUrl = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    json: Json = False,
) -> None:
    """Delete a study from the store, and its folder with checkpoints and models."""
    from search.errors import SearchError
    from search.folder import remove_study

    load_record(out, store, name)
    if not yes and not sys.stdin.isatty():
        raise SearchError("there is no terminal to ask at whether to delete it; --yes deletes it")
    if not yes:
        files = f" and everything in {out / name}" if is_name(name) else ""
        typer.confirm(f"Delete the study {name}{files}?", abort=True, err=True)
    remove_study(store_url(out, store), name, out / name)
    print_json({"removed": name}) if json else typer.echo(f"removed {name}")


@studies_app.command("import", epilog="Example: toprung studies import old --from-optuna sqlite:///optuna.db")
def studies_import(
    name: Annotated[str, typer.Argument(help="What it is called in the store.", metavar="NAME")],
    from_optuna: Annotated[
        str | None, typer.Option("--from-optuna", help="An Optuna study.", metavar="URL[#STUDY]")
    ] = None,
    from_keras_tuner: Annotated[
        Path | None, typer.Option("--from-keras-tuner", help="The project folder of a tuner.", metavar="DIR")
    ] = None,
    out: Out = RUNS,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Copy the finished trials of another program's study, to be browsed, compared and exported here."""
    from reports.words import counted
    from studies.imports import open_optuna, read_keras_tuner, read_optuna
    from studies.store import Store

    if (from_optuna is None) == (from_keras_tuner is None):
        raise typer.BadParameter("give --from-optuna or --from-keras-tuner")
    if from_optuna is not None:
        with open_optuna(from_optuna) as source:
            foreign = read_optuna(name, source)
    else:
        assert from_keras_tuner is not None
        foreign = read_keras_tuner(name, from_keras_tuner)
    with Store.open(store_url(out, store)) as opened:
        count = foreign.add_to(opened)
    if json:
        print_json({"imported": name, "trials": count})
    else:
        typer.echo(f"imported {name}: {counted(count, 'trial')}; toprung leaderboard {name}")


def _first_sentence(path: Path) -> str:
    """Of the comment with which a study of the catalog begins."""
    lines = takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    return " ".join(line.removeprefix("#").strip() for line in lines).partition(". ")[0].rstrip(".")
