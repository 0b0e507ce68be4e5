"""What the dashboard shows of toprung's own studies, asked for as its page asks."""

import hashlib
import json
import shutil
import subprocess
from datetime import timedelta

import pytest
from optuna.distributions import IntDistribution
from records import study
from test_reports_dashboard import ask, running
from test_reports_page import winner

from reports.diagnosis import write
from reports.exhibit import exhibit
from reports.notes import study_note
from studies import history
from studies.records import TrialRecord
from studies.store import Store, sqlite_url
from studies.store.view import View

ABOUT = {
    "monitor": "val_accuracy",
    "plan": {
        "name": "digits",
        "data": {"source": "digits"},
        "hyperband": {"min_resource": 1, "max_resource": 9, "reduction_factor": 3},
        "sampler": {"name": "tpe", "seed": 0},
        "budget": {"trials": 4, "minutes": None},
    },
    "space": {"model": "mlp", "parameters": {"units": {"type": "int", "low": 16, "high": 64}}},
    "data": {"hash": "abc", "n_train": 80, "n_validation": 20, "classes": ["cat", "dog"]},
}
UNITS = {"units": IntDistribution(16, 64)}
EVIL = "<img src=x onerror=alert(1)> [a](javascript:alert(1)) | cell"


def begin(store):
    return store.begin("digits", "maximize", {"space": {}}, ABOUT)


def add(opened, state, values, reason=None):
    """A trial with one value an epoch."""
    (number,) = opened.commit([opened.creation({"units": 32}, UNITS, bracket=0)])
    best = max(values)
    record = TrialRecord(
        number,
        state,
        bracket=0,
        epochs=len(values),
        best_epoch=values.index(best) + 1,
        metrics={"val_accuracy": best, "train_accuracy": 0.9},
        history={"val_accuracy": tuple(values), "train_accuracy": (0.9,) * len(values)},
        rungs={rung: best for rung in (1, 3, 9) if rung <= len(values)},
        weights=100,
        seconds=1.5,
        reason=reason,
    )
    reported = dict(enumerate(values, 1))
    value = None if state in ("failed", "running") else best
    attributes = history.user_attributes(record), history.system_attributes(record)
    opened.commit([opened.writing(number, reported, *attributes, state, value)])
    return number


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder of runs: a finished study with a retrained winner."""
    folder = tmp_path_factory.mktemp("runs")
    with Store.open(sqlite_url(folder / "studies.db")) as store, begin(store) as opened:
        add(opened, "complete", [0.5, 0.7, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.9])
        add(opened, "pruned", [0.4], "outranked")
        add(opened, "failed", [0.1], EVIL)
        opened.set(history.test_attribute(0), {"metrics": {"test_accuracy": 0.85}, "gap": 0.05, "gap_se": 0.04})
        opened.set(
            "retrained", [{"trial": 0, "data": "train", "epochs": 9, "seed": 1, "metrics": {"test_accuracy": 0.86}}]
        )
        opened.set("n_test", 20)
        opened.set("state", "finished")
    (folder / "digits").mkdir()
    write(winner(), folder / "digits" / "diagnosis.npz")
    return folder


@pytest.fixture
def copy(runs, tmp_path):
    return shutil.copytree(runs, tmp_path / "runs")


def detail(dashboard, study=1):
    return json.loads(ask(dashboard, f"/api/studies/{study}?after=0")[1])


def attributes(trial):
    return {entry["key"]: entry["value"] for entry in trial["user_attrs"]}


def test_numbers_that_matter_are_sortable_columns_and_test_scores_stand_among_them(runs):
    with running(runs / "studies.db", runs=runs) as dashboard:
        found = detail(dashboard)
    sortable = {column["key"] for column in found["union_user_attrs"] if column["sortable"]}
    assert {"test_accuracy", "gap", "gap_se", "best_epoch", "weights", "seconds", "val_accuracy"} <= sortable
    assert attributes(found["trials"][0])["test_accuracy"] == "0.85"
    assert attributes(found["best_trials"][0])["gap"] == "0.05"
    assert "test_accuracy" not in attributes(found["trials"][1])


def test_a_note_tells_what_was_searched_how_it_ended_and_who_won(runs):
    with running(runs / "studies.db", runs=runs) as dashboard:
        found = detail(dashboard)
    note = found["note"]["body"]
    assert "Trial 0 won: 90.00% validation accuracy" in note
    assert "### The best trials\n" in note  # fewer than ten, maybe
    assert "| 1 | 0 | 9 |" in note
    assert "units 16 to 64" in note
    assert "from 1 to 9 epochs" in note
    assert "80 train, 20 validation and 20 test examples, hash abc" in note
    assert "85.00%" in found["trials"][0]["note"]["body"]
    assert found["trials"][2]["note"]["body"].startswith("- Failed: ")


def test_a_note_on_a_study_that_prunes_nothing_speaks_of_no_ladder():
    ladder = {"min_resource": 1, "max_resource": 9, "reduction_factor": 3, "mode": "none"}
    note = study_note(study([TrialRecord(0, "complete", value=0.9, epochs=9)], plan={"hyperband": ladder}))
    assert "No pruning: every trial trains for up to 9 epochs." in note
    assert "goes up" not in note


def test_nothing_from_a_study_is_taken_for_markup_in_a_note(runs):
    with running(runs / "studies.db", runs=runs) as dashboard:
        note = detail(dashboard)["trials"][2]["note"]["body"]
    assert "<img" not in note
    assert "](" not in note.replace(r"\](", "")


def test_figures_are_few_and_small(runs):
    with running(runs / "studies.db", runs=runs) as dashboard:
        figures = {one["id"]: json.loads(one["graph_object"]) for one in detail(dashboard)["plotly_graph_objects"]}
    assert set(figures) == {"rungs", "learning-curves", "gaps"}
    assert figures["rungs"]["data"][0]["y"] == [3, 1, 1]
    assert figures["learning-curves"]["data"][0]["y"][-1] == 0.9
    assert figures["gaps"]["data"][0]["y"] == [5.0]
    long = study([TrialRecord(0, "complete", value=0.9, epochs=5000, history={"val_accuracy": (0.123456789,) * 5000})])
    assert sum(map(len, exhibit(long, None).figures.values())) < 4000


def test_pictures_are_artifacts_of_the_study_and_of_its_trials(runs):
    with running(runs / "studies.db", runs=runs) as dashboard:
        found = detail(dashboard)
        of_trial = {one["filename"]: one["artifact_id"] for one in found["trials"][0]["artifacts"]}
        of_study = {one["filename"]: one["artifact_id"] for one in found["artifacts"]}
        assert set(of_trial) == {"learning-curve.png", "confusion-matrix.png"}
        assert set(of_study) == {"learning-curves.png", "confusion-matrix.png"}
        paths = [f"/artifacts/1/{picture}" for picture in of_study.values()]
        paths += [f"/artifacts/1/1/{picture}" for picture in of_trial.values()]
        for path in paths:
            status, body, headers = ask(dashboard, path)
            assert (status, body[1:4], headers["Content-Type"]) == (200, "PNG", "image/png")
            assert "Access-Control-Allow-Origin" not in headers
        assert ask(dashboard, "/artifacts/1/0123-abc")[0] == 404


def test_looking_writes_nothing(runs):
    before = hashlib.sha256((runs / "studies.db").read_bytes()).digest()
    with running(runs / "studies.db", runs=runs) as dashboard:
        for artifact in detail(dashboard)["artifacts"]:
            ask(dashboard, f"/artifacts/1/{artifact['artifact_id']}")
    assert hashlib.sha256((runs / "studies.db").read_bytes()).digest() == before


def test_the_list_of_studies_describes_none_and_leaves_out_what_only_machines_read(runs):
    described = []
    with Store.open(sqlite_url(runs / "studies.db"), create=False, read_only=True) as store:
        view = store.view(lambda record: described.append(record.name))
        (found,) = view.get_all_studies()
        assert found.system_attrs.get("preference:is_preferential", False) is False
        assert set(found.user_attrs) == {"uuid", "created", "monitor", "state", "n_test"}
        assert described == []


def test_a_running_study_is_described_anew_as_it_goes_on_and_its_writer_is_not_held_up(tmp_path, monkeypatch):
    monkeypatch.setattr("studies.store.view.FRESH_SECONDS", 0.0)
    monkeypatch.setattr("studies.store.view.MOST_LOAD", 1e9)
    monkeypatch.setattr("optuna_dashboard._storage.timedelta", lambda seconds: timedelta(0))
    path = tmp_path / "studies.db"
    with Store.open(sqlite_url(path)) as store, begin(store) as opened:
        add(opened, "complete", [0.4, 0.5, 0.6])
        add(opened, "running", [0.3])
        with running(path, runs=tmp_path) as dashboard:
            assert "1 trained to the end" in detail(dashboard)["note"]["body"]
            add(opened, "complete", [0.4, 0.5, 0.6])
            assert "2 trained to the end" in detail(dashboard)["note"]["body"]
            opened.set(history.test_attribute(0), {"metrics": {"test_accuracy": 0.55}, "gap": 0.05, "gap_se": 0.04})
            found = detail(dashboard)
            assert attributes(found["trials"][0])["test_accuracy"] == "0.55"
            assert {"key": "test_accuracy", "sortable": True} in found["union_user_attrs"]


def test_a_finished_study_is_described_once(runs, monkeypatch):
    monkeypatch.setattr("studies.store.view.FRESH_SECONDS", 0.0)
    monkeypatch.setattr("studies.store.view.MOST_LOAD", 1e9)
    described = []

    def describe(record):
        described.append(record.name)
        return exhibit(record, None)

    with Store.open(sqlite_url(runs / "studies.db"), create=False, read_only=True) as store:
        view = store.view(describe)
        for _ in range(3):
            view.get_all_trials(1)
            assert view.get_study_system_attrs(1)["dashboard:note_str:0"]
    assert described == ["digits"]


def test_a_note_that_a_person_wrote_takes_the_place_of_ours(copy):
    with running(copy / "studies.db", runs=copy, write=True) as dashboard:
        assert detail(dashboard)["note"]["version"] == 0
        assert ask(dashboard, "/api/studies/1/note", "PUT", {"version": 1, "body": "mine"})[0] == 204
        found = detail(dashboard)
        assert found["note"] == {"version": 1, "body": "mine"}
        assert "Place 1" in found["trials"][0]["note"]["body"]


def test_a_view_keeps_no_files():
    with pytest.raises(PermissionError):
        View.write(object(), "x", None)
    with pytest.raises(PermissionError):
        View.remove(object(), "x")


def browser():
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def rendered(url, folder):
    """The page as a browser shows it, as HTML."""
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", "--no-first-run"]
    command = [browser(), *flags, "--virtual-time-budget=20000", "--window-size=1400,3000", "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.slow
@pytest.mark.skipif(browser() is None, reason="there is no Chromium: apt-get install chromium")
def test_a_browser_shows_list_study_trial_note_and_table(runs, tmp_path):
    with running(runs / "studies.db", runs=runs) as dashboard:
        base = f"http://127.0.0.1:{dashboard.server_port}/dashboard"
        assert "digits" in rendered(base, tmp_path / "list")
        page = rendered(f"{base}/studies/1", tmp_path / "study")
        for told in ("Learning curves of the best trials", "Trials that reached each rung", "Validation minus test"):
            assert told in page
        assert 'src="/artifacts/1/' in page
        page = rendered(f"{base}/studies/1/trials?numbers=0", tmp_path / "trial")
        assert "On the test split 85.00%" in page
        assert "learning-curve.png" in page
        assert "Trial 0 won" in rendered(f"{base}/studies/1/note", tmp_path / "note")
        assert "UserAttribute test_accuracy" in rendered(f"{base}/studies/1/smartSelection", tmp_path / "table")
