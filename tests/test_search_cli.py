"""The command line as its user meets it: its output, its exit code, what it leaves behind."""

import io
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import optuna
import pandas as pd
import pytest
import typer
from running import make_study, run
from typer.main import get_command

from search.boundary import run_verb
from search.cli import app
from search.cli_options import print_json, two_columns
from search.models import FAMILIES
from search.models.laws import law_of
from search.studies_cli import studies_list
from studies.store import sqlite_url

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def program(*words, cwd, **environment):
    """Run the program in a folder, as a process; its end."""
    command = [sys.executable, "-m", "search", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=_environment(environment))


@pytest.fixture
def toprung(monkeypatch, capsys):
    """A function that runs the program's verbs in a folder, in this process, which has all modules already."""
    monkeypatch.setenv("COLUMNS", "120")

    def call(*words, cwd, exit_code=0):
        monkeypatch.chdir(cwd)
        capsys.readouterr()
        code = run_verb(app, [*map(str, words)])
        said = capsys.readouterr()
        assert code == exit_code, said.err
        assert "Traceback" not in said.err
        return said

    return call


def _environment(changes):
    return os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"} | changes


@pytest.fixture(scope="module")
def finished(undisturbed_run, tmp_path_factory):
    """A folder with a finished study in `runs`, and its space."""
    return shutil.copytree(undisturbed_run[2].parent, tmp_path_factory.mktemp("finished") / "folder")


def verbs():
    """Every command with its group, as (words, command)."""
    group = get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from ((f"{name} {below}", c) for below, c in command.commands.items())
        else:
            yield name, command


def test_help_imports_no_heavy_library(tmp_path):
    code = "import sys, search.cli as c; c.main.__name__; sys.argv=['toprung','--help']\n"
    code += "try: c.main()\nexcept SystemExit: pass\n"
    code += "print(sorted({'keras','tensorflow','optuna','pandas','matplotlib','sklearn','jax'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_study_of_another_program_is_imported_and_shown_by_every_command(toprung, tmp_path):
    storage = optuna.storages.RDBStorage(sqlite_url(tmp_path / "optuna.db"))
    study = optuna.create_study(storage=storage, study_name="old", direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    storage.remove_session()
    storage.engine.dispose()
    done = toprung("studies", "import", "mine", "--from-optuna", "sqlite:///optuna.db", cwd=tmp_path)
    assert (done.out, done.err) == ("imported mine: 3 trials; toprung leaderboard mine\n", "")
    status = json.loads(toprung("status", "--json", cwd=tmp_path).out)
    assert (status["state"], status["budget"], status["trials"]["complete"]) == ("imported", None, 3)
    said = [line.strip() for line in toprung("status", cwd=tmp_path).out.splitlines()]
    assert said[0] == "mine  imported, 3 trials: 3 complete"
    assert said[1].startswith("best value 0.")
    assert toprung("leaderboard", "mine", cwd=tmp_path).out.count("complete") == 3
    for words, file in (("report mine", "report.html"), ("report mine --md", "report.md")):
        toprung(*words.split(), cwd=tmp_path)
        assert "mine" in (tmp_path / "runs" / "mine" / file).read_text(encoding="utf-8")
    for words in ("explain mine 0", "retrain mine"):
        assert "was not made by toprung" in toprung(*words.split(), cwd=tmp_path, exit_code=2).err


def test_a_name_that_another_program_gave_leads_out_of_the_folder_of_runs_nowhere(tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").mkdir()
    storage = optuna.storages.RDBStorage(sqlite_url(tmp_path / "runs" / "studies.db"))
    study = optuna.create_study(storage=storage, study_name="../keep", direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    storage.remove_session()
    storage.engine.dispose()
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "thesis.tex").touch()
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()  # what Optuna said
    assert run_verb(app, ["report", "../keep"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith("error: ../keep: there can be no folder of this name")
    assert run_verb(app, ["studies", "import", "../x", "--from-optuna", "sqlite:///runs/studies.db"]) == 2
    assert "name: must be 1 to 64 letters" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run_verb(app, ["studies", "remove", "../keep"]) == 2
    assert capsys.readouterr() == ("", "error: there is no terminal to ask at whether to delete it; --yes deletes it\n")
    assert run_verb(app, ["studies", "remove", "../keep", "--yes"]) == 0
    assert (capsys.readouterr().out, run_verb(app, ["studies", "list"])) == ("removed ../keep\n", 0)
    assert "none yet" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "keep").iterdir()] == ["thesis.tex"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keep", "runs"]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("mine", "--from-optuna sqlite:///none.db"),
        ("mine", "--from-keras-tuner none"),
        ("../x", "--from-optuna sqlite:///good.db"),
    ],
)
def test_an_import_that_is_refused_makes_no_store(tmp_path, monkeypatch, capsys, name, source):
    monkeypatch.chdir(tmp_path)
    storage = optuna.storages.RDBStorage(sqlite_url(tmp_path / "good.db"))
    optuna.create_study(storage=storage)
    storage.engine.dispose()
    assert run_verb(app, ["studies", "import", name, *source.split()]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["good.db"]


def test_the_version_is_that_of_the_installed_package(tmp_path):
    assert program("--version", cwd=tmp_path).stdout == f"toprung {version('toprung')}\n"


READING = ["status", "leaderboard tiny", "explain tiny 0", "report tiny --to tiny.html", "studies list", "spaces list"]


@pytest.mark.parametrize("words", READING)
def test_commands_that_only_read_import_neither_keras_nor_scikit_learn(finished, words):
    code = f"import sys, search.cli as c; sys.argv=['toprung',*{words.split()!r}]\n"
    code += "try: c.main()\nexcept SystemExit as e: assert not e.code, e.code\n"
    code += "print([m for m in ('keras', 'tensorflow', 'jax', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=finished, check=True,
                          env=_environment({}))  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("words", [words for words, _ in verbs()])
def test_each_command_has_help_that_ends_in_an_example(words):
    command = dict(verbs())[words]
    assert command.help
    assert command.epilog.startswith(f"Example: toprung {words}")


@pytest.mark.parametrize("words", [words for words, _ in verbs()])
def test_each_command_and_option_is_in_the_readme(words):
    assert f"toprung {words}" in README
    for parameter in dict(verbs())[words].params:
        long = [option for option in parameter.opts if option.startswith("--")]
        assert all(f"`{option}" in README for option in long if option != "--help"), (words, parameter.opts)


def file_keys():
    """Every key of a study file and of a space file, as section.key."""
    from spaces.parameters import Categorical, Fixed, Float, Int, Ordinal
    from studies.plan import StudyPlan

    for name, field in StudyPlan.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))  # of a section, or of one that may be missing
        inner = next((kind.model_fields for kind in kinds if hasattr(kind, "model_fields")), None)
        yield from [f"{name}.{key}" for key in inner] if inner else [name]
    for kind in (Int, Float, Categorical, Ordinal, Fixed):
        yield from (f"parameters.{key}" for key in kind.model_fields)


def test_each_file_key_is_in_the_readme():
    told = set(re.findall(r"`([a-z_0-9]+)`", README)) | set(re.findall(r"`?\[\[?([a-z]+)\]", README))
    assert {key.split(".")[-1] for key in file_keys()} - told == set()


def test_each_word_that_a_parameter_of_a_family_may_be_is_in_the_readme():
    laws = [law_of(name, base) for name, family in FAMILIES.items() for base in family.repeated | family.single]
    assert {word for law in laws if law for word in law.words if f"`{word}`" not in README} == set()


def test_every_study_and_space_in_the_readme_is_read_without_an_error(tmp_path):
    from spaces import load_space
    from studies.plan import load_study

    blocks = re.findall(r"`(\w+\.toml)`:\n\n```toml\n(.*?)```", README, flags=re.DOTALL)
    assert [name for name, _ in blocks] == ["my_study.toml", "my_space.toml"]
    for name, text in blocks:
        (tmp_path / name).write_text(text)
    assert load_study(str(tmp_path / "my_study.toml")).space == load_space(str(tmp_path / "my_space.toml"))


def test_every_command_but_the_dashboard_answers_scripts():
    without = [words for words, command in verbs() if "--json" not in [o for p in command.params for o in p.opts]]
    assert without == ["dashboard"]


def test_what_scripts_get_is_json_whatever_it_holds(capsys):
    print_json({"value": math.nan, "rungs": ({"value": math.inf, "rank": 1},), "name": "digits"})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "value": None,
        "rungs": [{"value": None, "rank": 1}],
        "name": "digits",
    }


def test_files_of_the_catalogs_are_shown_as_they_are_or_as_json(tmp_path, capsys):
    for room, name in (("spaces", "cnn"), ("studies", "xor")):
        text = (ROOT / room / "catalog" / f"{name}.toml").read_text(encoding="utf-8")
        assert run_verb(app, [room, "show", name]) == 0
        assert capsys.readouterr().out == text
        assert run_verb(app, [room, "show", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == tomllib.loads(text)
    (tmp_path / "bad.toml").write_text("a = = 1")
    assert run_verb(app, ["spaces", "show", str(tmp_path / "bad.toml"), "--json"]) == 2


def test_what_is_told_of_names_fits_the_terminal_and_has_a_line_each_elsewhere(monkeypatch):
    told = {"short": "one word " * 20, "a_longer_name": "more"}
    assert len(two_columns(told).splitlines()) == 2
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    for columns, longest in (("80", 80), ("5", 33)):  # of which the names take 15
        monkeypatch.setenv("COLUMNS", columns)
        *lines, last = two_columns(told).splitlines()
        assert max(map(len, lines)) <= longest
        assert {line[:15].strip() for line in lines[1:]} == {""}
        assert last == "a_longer_name  more"


def test_the_catalog_says_in_a_line_what_each_study_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    studies_list()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("digits               Handwritten digits of 8 x 8 pixels (they come with toprung)")
    assert len({re.match(r"\S+ +", line).end() for line in lines[1:-1]}) == 1
    assert lines[-1] == "In the store: none yet"
    studies_list(json=True)
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(one["description"] for one in found)
    assert {one["in"] for one in found} == {"catalog"}


@pytest.mark.parametrize("folder", [".", "tests", "tests/benchmarks", "studies/catalog"])
def test_links_between_pages_lead_to_a_page_and_a_heading_of_it(folder):
    path = ROOT / folder / "README.md"
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", path.read_text(encoding="utf-8")):
        file, _, anchor = link.partition("#")
        target = path if not file else (path.parent / file).resolve()
        assert target.is_file(), link
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        assert not anchor or anchor in [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings], link


def examples():
    """The examples at the end of each help that need no training, with what they need in the folder."""
    return [c.epilog.removeprefix("Example: toprung ") for w, c in verbs() if w not in SLOW_EXAMPLES]


SLOW_EXAMPLES = ("run", "retrain", "dashboard", "doctor")  # test_search_whole.py runs them


@pytest.mark.parametrize("example", examples())
def test_each_example_runs(toprung, finished, tmp_path, example):
    shutil.copytree(finished / "runs", tmp_path / "runs")
    shutil.copy(finished / "runs" / "studies.db", tmp_path / "optuna.db")
    (tmp_path / "my_space.toml").write_text((finished / "space.toml").read_text())
    words = ["tiny" if w == "digits" and "show" not in example else w for w in shlex.split(example)]
    if words[0] == "plan":
        words = [*["digits" if w == "tiny" else w for w in words], "--no-probe"]
    words = ["3" if w == "12" else w for w in words]
    assert toprung(*words, cwd=tmp_path).out


def test_the_leaderboard_comes_as_csv_json_and_text(toprung, finished, tmp_path):
    toprung("leaderboard", "tiny", "--csv", tmp_path / "best.csv", "--top", 3, cwd=finished)
    table = pd.read_csv(tmp_path / "best.csv")
    assert list(table["rank"][:3]) == [1, 2, 3]
    assert list(table.columns[:5]) == ["rank", "trial", "state", "epochs", "best_epoch"]
    lines = toprung("leaderboard", "tiny", "--json", cwd=finished).out.splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["trial"] for row in rows[:3]] == list(table["trial"][:3])
    said = toprung("leaderboard", "tiny", "--sort", "-seconds", cwd=finished).out
    assert "retrained" in said
    assert said.splitlines()[-2].startswith("12 configurations were compared: ")
    assert said.splitlines()[-1].startswith("Retrained")


def test_the_leaderboard_goes_into_files_and_pages(toprung, finished, tmp_path):
    words = ("--csv", tmp_path / "board.csv", "--curves", tmp_path / "curves.csv")
    said = toprung("leaderboard", "tiny", *words, cwd=finished).out
    assert said.splitlines() == [
        f"leaderboard: {tmp_path / 'board.csv'}",
        f"learning curves: {tmp_path / 'curves.csv'}",
    ]
    curves = pd.read_csv(tmp_path / "curves.csv")
    assert list(curves.columns) == ["study", "trial", "epoch", "metric", "value"]
    assert set(curves["trial"]) == set(range(12))
    assert toprung("leaderboard", "tiny", "--md", "--top", 1, cwd=finished).out.count("\n") == 4
    assert "named twice" in toprung("leaderboard", "tiny", "tiny", cwd=finished, exit_code=2).err


def test_a_report_for_a_repository_shows_its_pictures(toprung, finished, tmp_path):
    toprung("report", "tiny", "--md", "--to", tmp_path / "tiny.md", cwd=finished)
    shown = re.findall(r"\]\((.*\.svg)\)", (tmp_path / "tiny.md").read_text())
    assert shown
    assert all((tmp_path / path).is_file() for path in shown)


def test_status_counts_trials_by_state(toprung, finished):
    one = json.loads(toprung("status", "--json", cwd=finished).out)
    assert (one["name"], one["state"]) == ("tiny", "finished")
    assert sum(one["trials"].values()) == 12
    assert "12 of 12" in toprung("status", "tiny", cwd=finished).out
    first = json.loads(toprung("leaderboard", "tiny", "--json", cwd=finished).out.splitlines()[0])
    assert (one["best_trial"], one["best"]) == (first["trial"], first["val_accuracy"])


def test_doctor_tells_of_a_gpu_that_the_backend_does_not_see_and_what_to_install(tmp_path):
    said = program("doctor", cwd=tmp_path, CUDA_VISIBLE_DEVICES="99", COLUMNS="200").stdout
    assert re.search(r"GPUs of the system +GPU 99\b", said)
    assert "there is a GPU, but tensorflow doesn't see it; pip install 'toprung[gpu]'" in said


def test_explain_tells_the_rank_and_the_cutoff(toprung, finished):
    found = json.loads(toprung("explain", "tiny", 0, "--json", cwd=finished).out)
    assert found["rungs"][0]["epochs"] == 1
    assert found["rungs"][0]["rank"] <= len(found["rungs"][0]["competitors"])
    assert "bracket" in toprung("explain", "tiny", 0, cwd=finished).out


def test_explain_tells_why_the_first_trial_went_on_where_there_was_somewhere_to_go(toprung, finished, tmp_path):
    rule = "the first trial of a study goes on to its third rung"
    assert rule in toprung("explain", "tiny", 0, cwd=finished).out
    assert rule not in toprung("explain", "tiny", 1, cwd=finished).out
    run(make_study(tmp_path), tmp_path / "runs", "budget.trials=1", "hyperband.mode=none")
    assert rule not in toprung("explain", "tiny", 0, cwd=tmp_path).out


def test_plan_shows_brackets_and_costs_without_running_anything(toprung, tmp_path):
    done = toprung("plan", "digits", "--no-probe", "--json", cwd=tmp_path)
    found = json.loads(done.out)
    assert [bracket["trials"] for bracket in found["brackets"]] == [38, 12, 6, 4]
    assert found["expected_epochs"] < found["worst_epochs"]
    assert list(tmp_path.iterdir()) == []


def test_a_removed_study_is_gone_from_store_and_disk(toprung, tmp_path):
    run(make_study(tmp_path), tmp_path / "runs", "budget.trials=1")
    toprung("studies", "remove", "tiny", "--yes", cwd=tmp_path)
    assert not (tmp_path / "runs" / "tiny").exists()
    assert "none yet" in toprung("studies", "list", cwd=tmp_path).out


def test_bad_input_gets_one_error_its_exit_code_and_leaves_nothing(tmp_path):
    """Of many kinds, word by word but in this process, in `test_faults_input.py`."""
    done = program("run", "digts", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: digts: no study of this name; the catalog has ")
    assert done.stderr.endswith('; did you mean "digits"?\n')
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_study_or_trial_or_column_is_named(toprung, finished):
    assert "nosuch" in toprung("leaderboard", "nosuch", cwd=finished, exit_code=2).err
    assert "trial 99" in toprung("explain", "tiny", 99, cwd=finished, exit_code=2).err
    assert "val_accuracy" in toprung("leaderboard", "tiny", "--sort", "val_acuracy", cwd=finished, exit_code=2).err


def test_debug_shows_where_an_error_came_from(tmp_path):
    assert "Traceback" in program("run", "nosuch", "--debug", cwd=tmp_path).stderr


def test_the_version_of_typer_still_raises_what_the_boundary_catches():
    strange = typer.Typer()

    @strange.command()
    def one(number: int) -> None:
        """Take a number."""

    assert run_verb(strange, ["x"]) == 2
