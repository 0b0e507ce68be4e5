"""The program as its user runs it, with real Keras; in real processes where these matter."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pandas as pd
import pytest
from inline import use_inline_workers
from killing import wait_for
from running import stored
from typer.main import get_command

from reports.diagnosis import read
from search.boundary import run_verb
from search.cli import app
from studies.store import Store, sqlite_url

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
SMALL = ["--trials", "5", "--workers", "1", "--set", "hyperband.max_resource=3", "--set", "retrain.seeds=2"]

QUICK = ["--set", "hyperband.max_resource=1", "--set", "retrain.seeds=1"]


def command(*words):
    return [sys.executable, "-m", "search", *map(str, words)]


def environment(**changes):
    return os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120", **changes}


def toprung(*words, cwd, **changes):
    done = subprocess.run(
        command(*words), cwd=cwd, capture_output=True, text=True, check=False, env=environment(**changes)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def in_this_process(monkeypatch, capsys):
    """A function that runs the program in a folder without a process for it or for a worker; what it says."""

    def call(*words, cwd, exit_code=0):
        use_inline_workers(monkeypatch)
        monkeypatch.chdir(cwd)
        capsys.readouterr()
        code = run_verb(app, [*map(str, words)])
        said = capsys.readouterr()
        assert code == exit_code, said.err
        return said

    return call


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder with a finished small run of the study `digits`, and what it printed."""
    folder = tmp_path_factory.mktemp("digits")
    return folder, toprung("run", "digits", *SMALL, cwd=folder)


def test_a_run_prints_the_leaderboard_what_it_means_and_where_its_files_are(digits):
    _, printed = digits
    assert "retrained" in printed
    assert "5 configurations were compared" in printed
    assert "Retrained 2 times on training and validation data" in printed
    assert "In runs/digits: leaderboard.csv, report.html, best.keras, best.json" in printed


def test_the_leaderboard_reads_back_in_pandas(digits):
    table = pd.read_csv(digits[0] / "runs" / "digits" / "leaderboard.csv")
    assert len(table) == 6
    assert table["val_accuracy"].dropna().between(0, 1).all()
    assert list(table["state"])[-1] == "retrained"
    complete = table[table["state"] == "complete"]
    assert (complete["gap"] - (complete["val_accuracy"] - complete["test_accuracy"])).abs().max() < 1e-6


def test_the_best_model_is_the_one_that_best_json_tells_of(digits):
    """That a Keras without toprung loads such a file: see tests/test_search_models.py."""
    import keras

    best = digits[0] / "runs" / "digits"
    about = json.loads((best / "best.json").read_text())
    assert keras.models.load_model(best / "best.keras").count_params() == about["model"]["weights"]
    assert about["model"]["metrics"].keys() == {"train_accuracy", "train_loss", "test_accuracy", "test_loss"}


def test_the_close_look_at_the_winner_is_of_the_model_that_is_kept(digits):
    folder = digits[0] / "runs" / "digits"
    diagnosis, about = read(folder / "diagnosis.npz"), json.loads((folder / "best.json").read_text())
    assert diagnosis.accuracy == pytest.approx(about["model"]["metrics"]["test_accuracy"], abs=1e-6)
    assert sum(layer.count for layer in diagnosis.layers) == about["model"]["weights"]
    assert "Confusion matrix" in (folder / "report.html").read_text()


def test_any_optuna_tool_reads_the_store(digits):
    storage = optuna.storages.RDBStorage(sqlite_url(digits[0] / "runs" / "studies.db"))
    study = optuna.load_study(study_name="digits", storage=storage)
    assert len(study.trials) == 5
    for trial in study.trials:
        assert list(trial.intermediate_values) == list(range(1, len(trial.intermediate_values) + 1))
        assert {"bracket", "epochs", "best_epoch", "val_accuracy", "train_accuracy", "weights", "seconds"} <= set(
            trial.user_attrs
        )
    assert study.best_value == max(t.value for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE)
    assert "params_learning_rate" in study.trials_dataframe().columns
    storage.remove_session()
    storage.engine.dispose()


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A folder with such a run that was interrupted and then told to go on, and what it said both times.

    SIGTERM: see tests/test_faults_processes.py.
    """
    folder, pipes = tmp_path_factory.mktemp("interrupted"), {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    words = ["run", "digits", *SMALL, "--json"]
    process = subprocess.Popen(command(*words), cwd=folder, env=environment(), text=True, **pipes)
    wait_for(lambda: [*folder.glob("runs/digits/trials/*/epoch-*")])
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert toprung("status", cwd=folder).count("interrupted") == 1
    return folder, said, [json.loads(line) for line in toprung(*words, cwd=folder).splitlines()]


def test_an_interrupted_run_says_so_and_goes_on_with_the_same_command_as_if_nothing_had_been(digits, interrupted):
    """To the last digit: so a search that is run again gives the same leaderboard."""
    folder, said, _ = interrupted
    assert "goes on from here" in said
    calm, resumed = (stored(place / "runs", "digits").trials for place in (digits[0], folder))
    assert len(calm) == 5
    for ours, theirs in zip(calm, resumed, strict=True):
        for name in ("params", "state", "rungs", "history", "test"):
            assert getattr(ours, name) == getattr(theirs, name)


def test_json_lines_tell_a_script_everything(interrupted):
    _, _, events = interrupted
    assert events[0]["event"] == "study"
    assert events[-1]["event"] == "done"
    assert {"worker", "trial", "epoch", "rung", "phase"} <= {event["event"] for event in events}


def test_under_jax_a_study_learns_and_later_runs_take_compiled_programs_unless_they_are_damaged(tmp_path, monkeypatch):
    pytest.importorskip("jax")
    few = ["run", "xor", "--backend", "jax", "--trials", "1", "--workers", "1", "--set", "retrain.seeds=1"]
    folders = (tmp_path / name for name in ("first", "again", "damaged"))

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)

    def values_and_programs():
        out = next(folders)
        toprung(*few, "--out", out, cwd=tmp_path)
        values = [trial.value for trial in stored(out, "xor").trials]
        return values, {path: path.read_bytes() for path in tmp_path.glob("cache/toprung/jax/*/*-cache")}

    values, programs = values_and_programs()
    assert min(values) > 0.9
    assert any("jit_run" in path.name for path in programs)
    assert values_and_programs() == (values, programs)
    for path in programs:
        path.write_bytes(path.read_bytes()[:100])  # as a worker leaves it that is killed while it writes
    assert values_and_programs()[0] == values


def test_retraining_on_the_split_of_the_search_is_another_training_of_the_same_network(in_this_process, digits):
    folder, _ = digits
    in_this_process("retrain", "digits", "--data", "train", "--seeds", "1", cwd=folder)
    record = stored(folder / "runs", "digits")
    (again,) = [row for row in record.retrained if row.data == "train"]
    searched = record.trials[again.trial]
    assert again.metrics["val_accuracy"] == pytest.approx(searched.value, abs=0.05)
    assert again.metrics["val_loss"] != pytest.approx(searched.metrics["val_loss"], abs=1e-5)


def test_doctor_finds_this_machine_ready(tmp_path):
    found = json.loads(toprung("doctor", "--json", cwd=tmp_path))
    assert found["problems"] == []
    assert found["packages"]["keras"]


def example(verb):
    """The words at the end of a command's help."""
    command = get_command(app).commands[verb]
    return shlex.split(command.epilog.removeprefix("Example: toprung "))


def test_the_examples_of_commands_that_train_run(in_this_process, digits, tmp_path):
    assert "retrained" in in_this_process(*example("retrain"), cwd=digits[0]).out
    assert "retrained" in in_this_process(*example("run"), *QUICK, cwd=tmp_path).out
    assert len(stored(tmp_path / "runs", "digits").trials) == 20


def test_the_example_of_the_doctor_runs(tmp_path):
    pytest.importorskip("jax")
    assert "jax" in toprung(*example("doctor"), cwd=tmp_path)


def test_the_example_of_the_dashboard_runs_until_it_is_interrupted(digits):
    words = ["0" if word.isdecimal() else word for word in example("dashboard")]  # a port that is free
    pipes = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command(*words), cwd=digits[0], env=environment(), preexec_fn=_heed_interrupts, **pipes)
    try:
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, "read-only" in line) == (130, True)


def _heed_interrupts():
    """What a shell starts in the background ignores SIGINT, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_plan_probes_the_time_of_an_epoch(tmp_path):
    found = json.loads(toprung("plan", "digits", "--json", cwd=tmp_path))
    assert 0 < found["epoch_seconds"] < 10
    assert list(tmp_path.iterdir()) == []


OWN_MODEL = """
import keras

def build_model(params, input_shape, classes):
    inputs = keras.Input(input_shape)
    x = keras.layers.Dense(params["width"], activation="relu")(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x))
"""

OWN_SPACE = """
model = "{model}"
[parameters]
width = {{ type = "int", low = 8, high = 32, log = true, step = 2 }}
learning_rate = {{ type = "float", low = 1e-3, high = 1e-1, log = true }}
"""


def own_study(folder, model, code=OWN_MODEL):
    module = model.partition(":")[0]
    (folder / f"{module}.py").write_text(code)
    (folder / "space.toml").write_text(OWN_SPACE.format(model=model))
    path = folder / "study.toml"
    path.write_text('name = "own"\nspace = "space.toml"\n[data]\nsource = "digits"\n[hyperband]\nmax_resource = 3\n')
    return path


def test_a_model_of_the_users_own_is_searched_and_exported(tmp_path):
    path = own_study(tmp_path, "mine:build_model")
    (tmp_path / "elsewhere").mkdir()
    toprung("run", path, "--trials", "2", "--workers", "1", "--set", "retrain.seeds=1", cwd=tmp_path / "elsewhere")
    record = stored(tmp_path / "elsewhere" / "runs", "own")
    assert {trial.state for trial in record.trials} <= {"complete", "pruned"}
    assert (tmp_path / "elsewhere" / "runs" / "own" / "best.keras").exists()


@pytest.mark.parametrize("notes", [False, True])
def test_a_study_that_no_worker_can_train_is_forgotten_so_that_it_can_be_mended(in_this_process, tmp_path, notes):
    """But for a folder that was there before: what is in it may be the user's own."""
    own_study(tmp_path, "wide:build_model", OWN_MODEL.replace("Dense(classes", "Dense(classes + 1"))
    if notes:
        (tmp_path / "runs" / "own").mkdir(parents=True)
        (tmp_path / "runs" / "own" / "notes.txt").touch()
    said = in_this_process("run", "study.toml", "--trials", "2", cwd=tmp_path, exit_code=2)
    assert said.err.count("\n") == 1
    assert (tmp_path / "runs" / "own" / "notes.txt").exists() == (tmp_path / "runs" / "own").exists() == notes
    with Store.open(sqlite_url(tmp_path / "runs" / "studies.db")) as store:
        assert store.names() == (("own",) if notes else ())


def test_a_model_that_cannot_be_imported_is_refused_and_leaves_nothing(tmp_path):
    path = own_study(tmp_path, "nosuch.module:build")
    words = command("run", path, "--workers", "1")
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 2
    assert done.stderr.startswith("error: model: cannot import nosuch.module")
    assert not (tmp_path / "runs").exists()
