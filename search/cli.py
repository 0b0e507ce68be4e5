"""The command line: one function a verb, and the one place where errors become exit codes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from search.job import Options
    from spaces import Space
    from studies.plan import LoadedStudy
    from studies.records import StudyRecord
    from studies.store import Store

app = typer.Typer(
    name="toprung",
    help="Hyperparameter search for Keras models that wastes no epoch.",
    epilog="Begin with: toprung run digits",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
spaces_app = typer.Typer(no_args_is_help=True, help="Spaces: what may vary.")
studies_app = typer.Typer(no_args_is_help=True, help="Studies: the catalog and the store.")
app.add_typer(spaces_app, name="spaces")
app.add_typer(studies_app, name="studies")

Study = Annotated[str, typer.Argument(help="A study file, or the name of one in the catalog.")]
Name = Annotated[str, typer.Argument(help="A study in the store.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of all runs.")]


def _without_password(context: typer.Context, parameter: typer.CallbackParam, url: str | None) -> str | None:
    """Refuse a password among the arguments of a process, which every user of the machine can list."""
    from search.errors import SearchError
    from studies.store import has_password

    source = context.get_parameter_source(parameter.name or "")
    if url is not None and source is not None and source.name == "COMMANDLINE" and has_password(url):
        law = "put it into ~/.pgpass or PGPASSWORD, or the whole URL into the environment as TOPRUNG_STORE"
        raise SearchError(f"--store: every user of this machine can see a password among the arguments; {law}")
    return url


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
Backend = Annotated[
    str | None,
    typer.Option(help="Keras backend: tensorflow or jax. By default KERAS_BACKEND, or tensorflow."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a key of the study file; repeatable.", metavar="SECTION.KEY=VALUE"),
]
Trials = Annotated[int | None, typer.Option(min=1, help="Configurations in all, those in the store included.")]
Minutes = Annotated[float | None, typer.Option(min=0.01, help="Minutes of searching in all.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of the sampler and of training.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", is_eager=True)]

RUNS = Path("runs")


@app.callback()
def toprung(debug: Debug = False) -> None:
    """Hyperparameter search for Keras models that wastes no epoch."""


@app.command(epilog="Example: toprung run digits --trials 20")
def run(
    study: Study,
    out: Out = RUNS,
    store: StoreUrl = None,
    workers: Workers = None,
    slots_per_gpu: SlotsPerGpu = 1,
    backend: Backend = None,
    trials: Trials = None,
    minutes: Minutes = None,
    seed: Seed = None,
    set_: Set = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Search, retrain the best, open the test split, write leaderboard and report. Run again to resume."""
    from search.display import make_display
    from search.run import run_study
    from search.signals import stop_on_signals

    loaded = _load(study, set_, trials, minutes, seed)
    options = _options(out, store, backend, workers, slots_per_gpu)
    display = make_display(_console(), quiet=quiet, as_json=json)
    with stop_on_signals() as stop, display.showing():
        record = run_study(loaded, options, stop, display)
    if not quiet and not json:
        _print_conclusion(record, options.folder(record.name))


@app.command(epilog="Example: toprung plan digits --trials 200")
def plan(
    study: Study,
    workers: Workers = None,
    slots_per_gpu: SlotsPerGpu = 1,
    backend: Backend = None,
    trials: Trials = None,
    set_: Set = None,
    probe: Annotated[bool, typer.Option(help="Train the default configuration briefly to measure time.")] = True,
    json: Json = False,
) -> None:
    """Show brackets, rungs and the cost in epochs and hours, before spending anything."""
    from search.forecast import forecast_study, forecast_text

    loaded = _load(study, set_, trials, None, None)
    options = _options(RUNS, None, backend, workers, slots_per_gpu)
    forecast = forecast_study(loaded, options, probe=probe)
    _print_json(forecast) if json else _console().print(forecast_text(forecast))


@app.command(epilog="Example: toprung status digits")
def status(
    name: Annotated[str | None, typer.Argument(help="A study in the store; all by default.")] = None,
    out: Out = RUNS,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Studies in the store: trials by state, best so far, epochs spent, what each worker does now."""
    from search.status import standings, standings_text

    with _store(out, store) as opened:
        found = standings(opened, name)
    _print_json(*found) if json else _console().print(standings_text(found))


@app.command(epilog="Example: toprung leaderboard digits --top 5 --csv best.csv")
def leaderboard(
    name: Name,
    top: Annotated[int | None, typer.Option(min=1, help="Only the first so many configurations.")] = None,
    sort: Annotated[str | None, typer.Option(help="A column to sort by; -COLUMN turns it round.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the table to a CSV file.")] = None,
    out: Out = RUNS,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """The table of a study's configurations, ranked by validation."""
    from reports.leaderboard import leaderboard as make_leaderboard
    from reports.tables import print_table, to_csv, to_json

    table = make_leaderboard(_record(out, store, name), top=top, sort=sort)
    if csv is not None:
        to_csv(table, csv)
    if json:
        typer.echo(to_json(table), nl=False)
    elif csv is None:
        print_table(table, _console())
    else:
        typer.echo(f"leaderboard: {csv}")


@app.command(epilog="Example: toprung retrain digits --top 3 --seeds 5 --data train")
def retrain(
    name: Name,
    top: Annotated[int, typer.Option(min=1, help="Retrain the best so many configurations.")] = 1,
    seeds: Annotated[int | None, typer.Option(min=1, max=1000, help="Repetitions of each.")] = None,
    data: Annotated[str | None, typer.Option(help="train or train+validation.", metavar="DATA")] = None,
    out: Out = RUNS,
    store: StoreUrl = None,
    workers: Workers = None,
    slots_per_gpu: SlotsPerGpu = 1,
    backend: Backend = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train the best configurations once more and score them on the test split."""
    from search.display import make_display
    from search.run import retrain_study
    from search.signals import stop_on_signals

    changes = {key: value for key, value in (("seeds", seeds), ("data", data)) if value is not None}
    options = _options(out, store, backend, workers, slots_per_gpu)
    display = make_display(_console(), quiet=quiet, as_json=json)
    with stop_on_signals() as stop, display.showing():
        record = retrain_study(name, options, top, changes, stop, display)
    if not quiet and not json:
        _print_conclusion(record, options.folder(record.name))


@app.command(epilog="Example: toprung report digits")
def report(
    name: Name,
    to: Annotated[Path | None, typer.Option("--to", help="The file; by default OUT/NAME/report.html.")] = None,
    out: Out = RUNS,
    store: StoreUrl = None,
) -> None:
    """Write one self-contained HTML file with the leaderboard and plots."""
    from reports.page import write_report

    path = to or out / name / "report.html"
    write_report(_record(out, store, name), out / name, path)
    typer.echo(f"report: {path}")


@app.command(epilog="Example: toprung dashboard --port 8080")
def dashboard(
    out: Out = RUNS,
    store: StoreUrl = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option(help="Only this machine: 127.0.0.1 or localhost.")] = "127.0.0.1",
    write: Annotated[bool, typer.Option("--write", help="Allow changes from the browser.")] = False,
) -> None:
    """Browse trials in optuna-dashboard, on this machine only, read-only unless --write."""
    from reports.dashboard import serve

    serve(_store_url(out, store), out, host=host, port=port, write=write)


@app.command(epilog="Example: toprung explain digits 12")
def explain(
    name: Name,
    trial: Annotated[int, typer.Argument(help="The number of a trial.", min=0)],
    out: Out = RUNS,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Why a trial was stopped or promoted: bracket, rung, its value, the cut-off, the competitors."""
    from search.explain import explanation, explanation_text

    found = explanation(_record(out, store, name), trial)
    _print_json(found) if json else _console().print(explanation_text(found))


@app.command(epilog="Example: toprung doctor --backend jax")
def doctor(backend: Backend = None, json: Json = False) -> None:
    """Backend, devices, memory, versions, and whether the GPU is really used."""
    from search.doctor import examine, findings_text

    findings = examine(_backend(backend))
    _print_json(findings) if json else _console().print(findings_text(findings))


@spaces_app.command("list", epilog="Example: toprung spaces list")
def spaces_list() -> None:
    """The spaces that ship with toprung."""
    from spaces import CATALOG, catalog_names, load_space

    for name in catalog_names(CATALOG):
        typer.echo(f"{name:12} {load_space(name).description}")


@spaces_app.command("show", epilog="Example: toprung spaces show cnn")
def spaces_show(
    space: Annotated[str, typer.Argument(help="A space file, or a name in the catalog.")],
) -> None:
    """The text of a space, to copy and change."""
    from spaces import CATALOG, find

    typer.echo(find("space", space, CATALOG).read_text(encoding="utf-8"), nl=False)


@spaces_app.command("check", epilog="Example: toprung spaces check my_space.toml")
def spaces_check(
    space: Annotated[str, typer.Argument(help="A space file, or a name in the catalog.")],
) -> None:
    """Check a space and draw its default configuration."""
    from spaces import load_space

    found = load_space(space)
    _check_model(found, space, None)
    typer.echo(f"{space}: {len(found.parameters)} parameters, model {found.model}")
    for name, value in found.default().items():
        typer.echo(f"  {name} = {value!r}")


@studies_app.command("list", epilog="Example: toprung studies list")
def studies_list(out: Out = RUNS, store: StoreUrl = None) -> None:
    """The studies of the catalog, and those in the store."""
    from spaces import catalog_names
    from studies.plan import CATALOG

    typer.echo("catalog: " + ", ".join(catalog_names(CATALOG)))
    if store is not None or (out / "studies.db").exists():
        with _store(out, store) as opened:
            typer.echo("store:   " + (", ".join(opened.names()) or "none yet"))


@studies_app.command("show", epilog="Example: toprung studies show digits")
def studies_show(study: Study) -> None:
    """The text of a study of the catalog, to copy and change."""
    from spaces import find
    from studies.plan import CATALOG

    typer.echo(find("study", study, CATALOG).read_text(encoding="utf-8"), nl=False)


@studies_app.command("remove", epilog="Example: toprung studies remove digits --yes")
def studies_remove(
    name: Name,
    out: Out = RUNS,
    store: StoreUrl = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Delete a study from the store, and its folder with checkpoints and models."""
    from search.job import remove_study

    _record(out, store, name)
    if not yes:
        typer.confirm(f"Delete the study {name} and everything in {out / name}?", abort=True)
    remove_study(_store_url(out, store), name, out / name)
    typer.echo(f"removed {name}")


def main() -> None:
    """The program: run a verb, turn what goes wrong into one line a problem and an exit code."""
    from search.boundary import run_verb

    sys.exit(run_verb(app, sys.argv[1:]))


def _load(
    study: str, changes: list[str] | None, trials: int | None, minutes: float | None, seed: int | None
) -> LoadedStudy:
    from studies.plan import load_study

    overrides = list(changes or [])
    overrides += [f"budget.trials={trials}"] if trials is not None else []
    overrides += [f"budget.minutes={float(minutes)}"] if minutes is not None else []
    overrides += [f"sampler.seed={seed}"] if seed is not None else []
    loaded = load_study(study, overrides)
    _check_model(loaded.space, loaded.plan.space, loaded.path.parent)
    return loaded


def _check_model(space: Space, name_or_path: str, folder: Path | None) -> None:
    """Refuse a space whose family of models there is not, or does not know its parameters."""
    from search.errors import SearchError
    from search.models import check
    from spaces import CATALOG, find, shown_path

    try:
        check(space.model, space.parameters)
    except SearchError as error:
        where = shown_path(find("space", name_or_path, CATALOG, folder))
        raise SearchError(f"{where}: {error}") from None


def _options(out: Path, store: str | None, backend: str | None, workers: int | None, slots_per_gpu: int) -> Options:
    from search.job import Options

    return Options(out, _store_url(out, store), _backend(backend), workers, slots_per_gpu)


def _backend(name: str | None) -> str:
    from search.devices import choose_backend

    return choose_backend(name)


def _store_url(out: Path, store: str | None) -> str:
    from studies.store import sqlite_url

    return store if store is not None else sqlite_url((out / "studies.db").absolute())


def _record(out: Path, store: str | None, name: str) -> StudyRecord:
    with _store(out, store) as opened:
        return opened.load(name)


def _store(out: Path, store: str | None) -> Store:
    from studies.store import Store

    return Store.open(_store_url(out, store), create=False, read_only=True)


def _console() -> Console:
    from rich.console import Console

    return Console()


def _print_json(*values: Any) -> None:
    import json

    for value in values:
        typer.echo(json.dumps(value))


def _print_conclusion(record: Any, folder: Path) -> None:
    from reports.leaderboard import leaderboard as make_leaderboard
    from reports.summary import summary
    from reports.tables import print_table

    console = _console()
    print_table(make_leaderboard(record, top=10), console)
    for sentence in summary(record):
        console.print(sentence, highlight=False, markup=False)
    console.print(f"\nIn {folder}: leaderboard.csv, report.html, best.keras, best.json, diagnosis.npz", highlight=False)
    console.print(f"Browse the trials: toprung dashboard{_where_option(folder)}", highlight=False)


def _where_option(folder: Path) -> str:
    return "" if folder.parent == RUNS else f" --out {folder.parent}"


if __name__ == "__main__":
    main()
