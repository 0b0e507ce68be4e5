"""The command line: one function a verb."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli_options import (
    Backend,
    Debug,
    FreshWorkers,
    Hypermodel,
    Json,
    Minutes,
    Name,
    Out,
    Quiet,
    Seed,
    Set,
    SlotsPerGpu,
    StoreUrl,
    Study,
    Trials,
    Version,
    Workers,
    load_record,
    open_store,
    print_json,
)
from search.spaces_cli import spaces_app
from search.studies_cli import studies_app
from studies.files import FILES, REPORT, RUNS, TRIAL_LOG, is_name, store_url, trial_folder

if TYPE_CHECKING:
    from rich.console import Console

    from search.open_run import Options
    from studies.plan import LoadedStudy

_OBJECTS_TO_COLLECT = 100_000  # new ones, some 10 MB; Python's own is 700

app = typer.Typer(
    name="toprung",
    epilog="Begin with: toprung run digits",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(spaces_app, name="spaces")
app.add_typer(studies_app, name="studies")


@app.callback()
def toprung(debug: Debug = False, version: Version = False) -> None:
    """Hyperparameter search for Keras models that wastes no epoch."""


@app.command(epilog="Example: toprung run digits --trials 20")
def run(
    study: Study,
    out: Out = RUNS,
    store: StoreUrl = None,
    workers: Workers = None,
    slots_per_gpu: SlotsPerGpu = 1,
    fresh_workers: FreshWorkers = False,
    backend: Backend = None,
    trials: Trials = None,
    minutes: Minutes = None,
    seed: Seed = None,
    set_: Set = None,
    hypermodel: Hypermodel = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Search, retrain the best, open the test split, write leaderboard and report. Run again to resume."""
    from search.display import make_display
    from search.open_run import make_options
    from search.signals import stop_on_signals
    from search.study import run_study

    options = make_options(out, store, backend, workers, slots_per_gpu, fresh_workers)
    loaded = _load(study, set_, trials, minutes, seed, hypermodel, options.backend)
    display = make_display(_console(), quiet=quiet, as_json=json)
    with stop_on_signals() as stop, display.showing():
        record = run_study(loaded, options, stop, display)
    if not quiet and not json:
        _print_conclusion(record, options)


@app.command(epilog="Example: toprung plan digits --trials 200")
def plan(
    study: Study,
    workers: Workers = None,
    slots_per_gpu: SlotsPerGpu = 1,
    backend: Backend = None,
    trials: Trials = None,
    minutes: Minutes = None,
    seed: Seed = None,
    set_: Set = None,
    hypermodel: Hypermodel = None,
    probe: Annotated[bool, typer.Option(help="Train the default configuration briefly to measure time.")] = True,
    json: Json = False,
) -> None:
    """Show brackets, rungs and the cost in epochs and hours, before spending anything."""
    from search.forecast import forecast_study, forecast_text
    from search.open_run import make_options

    options = make_options(RUNS, None, backend, workers, slots_per_gpu)
    loaded = _load(study, set_, trials, minutes, seed, hypermodel, options.backend)
    forecast = forecast_study(loaded, options, probe=probe)
    print_json(forecast) if json else _console().print(forecast_text(forecast))


@app.command(epilog="Example: toprung status digits")
def status(
    name: Annotated[str | None, typer.Argument(help="A study in the store; all by default.", metavar="NAME")] = None,
    out: Out = RUNS,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Studies in the store: trials by state, best so far, epochs spent, what each worker does now."""
    from search.status import standings, standings_text

    with open_store(out, store) as opened:
        found = standings(opened, name)
    print_json(*found) if json else _console().print(standings_text(found))


@app.command(epilog="Example: toprung leaderboard digits --top 5 --csv best.csv")
def leaderboard(
    names: Annotated[
        list[str], typer.Argument(help="A study in the store; several on the same data are compared.", metavar="NAME")
    ],
    top: Annotated[int | None, typer.Option(min=1, help="Only the first so many configurations.")] = None,
    sort: Annotated[str | None, typer.Option(help="A column to sort by; -COLUMN turns it round.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the table to a CSV file.")] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Write the table to a Parquet file.")] = None,
    curves: Annotated[
        Path | None, typer.Option("--curves", help="Write all learning curves to a CSV file, or to a .parquet file.")
    ] = None,
    out: Out = RUNS,
    store: StoreUrl = None,
    json: Json = False,
    md: Annotated[bool, typer.Option("--md", help="A table in Markdown on standard output.")] = False,
) -> None:
    """The table of a study's configurations, ranked by validation."""
    from reports.exports import export
    from reports.leaderboard import joint_leaderboard
    from reports.leaderboard import leaderboard as make_leaderboard
    from reports.summary import compared, retrained_scores
    from reports.tables import print_table, to_json, to_markdown

    with open_store(out, store) as opened:
        studies = [opened.load(name) for name in names]
    table = joint_leaderboard(studies, top, sort) if len(studies) > 1 else make_leaderboard(studies[0], top, sort)
    written = export(table, studies, csv, parquet, curves)
    if json or md:
        typer.echo((to_json if json else to_markdown)(table), nl=False)
    elif written:
        typer.echo("\n".join(f"{what}: {path}" for what, path in written))
    else:
        console = _console()
        print_table(table, console)
        for study in studies:
            begin = f"{study.name}: " if len(studies) > 1 else ""
            for sentence in (compared(study), *retrained_scores(study)):
                console.print(begin + sentence, highlight=False, soft_wrap=not console.is_terminal)


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
    from search.open_run import make_options
    from search.signals import stop_on_signals
    from search.study import retrain_study

    changes = {key: value for key, value in (("seeds", seeds), ("data", data)) if value is not None}
    options = make_options(out, store, backend, workers, slots_per_gpu)
    display = make_display(_console(), quiet=quiet, as_json=json)
    with stop_on_signals() as stop, display.showing():
        record = retrain_study(name, options, top, changes, stop, display)
    if not quiet and not json:
        _print_conclusion(record, options)


@app.command(epilog="Example: toprung report digits --md --to digits.md")
def report(
    name: Name,
    to: Annotated[Path | None, typer.Option("--to", help="The file; by default OUT/NAME/report.html or .md.")] = None,
    md: Annotated[bool, typer.Option("--md", help="Markdown for a repository page, its pictures in a folder.")] = False,
    out: Out = RUNS,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Write one self-contained HTML file with the leaderboard and plots; or the same in Markdown."""
    from reports.page import write_report
    from reports.repository import write_repository_page
    from search.errors import SearchError

    record, folder = load_record(out, store, name), out / name
    if not is_name(name):
        again = f"toprung studies import NAME --from-optuna 'URL#{name}'"
        raise SearchError(f"{name}: there can be no folder of this name; give it another: {again}")
    if to is None:
        folder.mkdir(parents=True, exist_ok=True)  # of a study that was imported there is none
    path = to or folder / ("report.md" if md else REPORT)
    (write_repository_page if md else write_report)(record, folder, path)
    print_json({"report": str(path)}) if json else typer.echo(f"report: {path}")


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

    serve(store_url(out, store), out, host=host, port=port, write=write)


@app.command(epilog="Example: toprung explain digits 12")
def explain(
    name: Name,
    trial: Annotated[int, typer.Argument(help="The number of a trial.", min=0, metavar="TRIAL")],
    out: Out = RUNS,
    store: StoreUrl = None,
    json: Json = False,
) -> None:
    """Why a trial was stopped or promoted: bracket, rung, its value, the cut-off, the competitors."""
    from search.explain import explanation, explanation_text

    found = explanation(load_record(out, store, name), trial)
    print_json(found) if json else _console().print(explanation_text(found))
    if not json and (log := out / name / trial_folder(trial) / TRIAL_LOG).exists():
        _console().print(f"  its log: {log}", highlight=False, soft_wrap=True)


@app.command(epilog="Example: toprung doctor --backend jax")
def doctor(backend: Backend = None, json: Json = False) -> None:
    """Backend, devices, memory, versions, and whether the GPU is really used."""
    from search.devices import choose_backend
    from search.doctor import examine, findings_text

    findings = examine(choose_backend(backend))
    print_json(findings) if json else _console().print(findings_text(findings))


def main() -> None:
    """The program: run a verb, turn what goes wrong into one line a problem and an exit code."""
    from search.boundary import run_verb

    # Of what a command makes nearly all is modules, tables and pictures, which live as long as it does. Looking
    # through them for garbage, again and again and once more at the end, took up to a third of a command's time.
    gc.set_threshold(_OBJECTS_TO_COLLECT)
    exit_code = run_verb(app, sys.argv[1:])
    gc.freeze()
    sys.exit(exit_code)


def _load(
    study: str,
    changes: list[str] | None,
    trials: int | None,
    minutes: float | None,
    seed: int | None,
    hypermodel: str | None,
    backend: str,
) -> LoadedStudy:
    from search.discovery import with_space
    from spaces.space import HYPERMODEL
    from studies.overrides import of_options
    from studies.plan import load_study

    of_hypermodel = [f'space="{HYPERMODEL}{hypermodel}"', "enqueue=[]"] if hypermodel is not None else []
    overrides = [*(changes or []), *of_hypermodel, *of_options(trials, minutes, seed)]
    loaded, notes = with_space(load_study(study, overrides), backend)
    for note in notes:
        typer.echo(note, err=True)
    return loaded


def _console() -> Console:
    from search.output import Output

    return Output(markup=False)  # what is in brackets is a user's, or an extra of pip's


def _print_conclusion(record: Any, options: Options) -> None:
    from reports.leaderboard import leaderboard as make_leaderboard
    from reports.summary import summary
    from reports.tables import print_table

    console, folder = _console(), options.folder(record.name)
    print_table(make_leaderboard(record, top=10), console)
    for sentence in summary(record):
        console.print(sentence, highlight=False, soft_wrap=not console.is_terminal)
    console.print(f"\nIn {folder}: {', '.join(FILES)}", highlight=False, soft_wrap=True)
    console.print(f"Browse the trials: toprung dashboard{_where(options)}", highlight=False, soft_wrap=True)


def _where(options: Options) -> str:
    """The options by which other commands find a study."""
    from studies.store import has_password

    out = "" if options.out == RUNS else f" --out {options.out}"
    if options.store == store_url(options.out):
        return out
    return f"{out} --store {'URL' if has_password(options.store) else options.store}"
