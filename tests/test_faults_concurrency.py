"""Others that use the store, the study or the clock at the same time."""

import contextlib
import http.client
import json
import sqlite3
import threading
import time
from pathlib import Path

import optuna
import pytest
from killing import SOAKING, Launcher, repetitions, tried, wait_for
from running import at_epoch, make_study, options, outcome, run, stored

from reports.dashboard import open_dashboard
from search.errors import SearchError
from studies.errors import StudyError
from studies.store import Store, sqlite

SLOW = pytest.mark.slow
SLEEP = {"PYTHON_SLEEP_SECONDS": "0.02"}


@pytest.fixture
def launcher(tmp_path):
    with Launcher(tmp_path) as launcher:
        yield launcher


# The database, locked by another program


@contextlib.contextmanager
def locked(path, seconds):
    """Another program that holds the database for some seconds, once it is told to."""
    connections = []

    def hold():
        connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        connection.execute("BEGIN EXCLUSIVE")
        connections.append(connection)
        threading.Timer(seconds, let_go).start()

    def let_go():
        while connections:
            with contextlib.closing(connections.pop()) as connection:
                connection.execute("ROLLBACK")

    yield hold
    let_go()


@SLOW
@pytest.mark.parametrize("seconds", [2.0, pytest.param(20.0, marks=SOAKING)])
def test_a_run_waits_for_another_program_that_locks_the_database(undisturbed, tmp_path, seconds):
    path, out = make_study(tmp_path), tmp_path / "runs"
    with locked(out / "studies.db", seconds) as hold:
        record = run(path, out, observe=at_epoch(9, hold))
    assert outcome(record) == outcome(undisturbed)


@SLOW
def test_a_run_that_waits_too_long_for_the_database_ends_and_goes_on_later(undisturbed, tmp_path, monkeypatch):
    path, out = make_study(tmp_path), tmp_path / "runs"
    monkeypatch.setenv(*next(iter(SLEEP.items())))
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.5)
    with locked(out / "studies.db", 3600.0) as hold:
        with pytest.raises(StudyError, match="locked by another program") as caught:
            run(path, out, observe=at_epoch(9, hold))
        assert caught.value.exit_code == 3
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 60.0)
    assert outcome(run(path, out)) == outcome(undisturbed)


# Two runs


def test_a_second_run_is_refused_and_leaves_the_first_as_it_is(undisturbed, launcher, tmp_path):
    path, out = make_study(tmp_path), tmp_path / "runs"
    life = launcher.start(path, out, **SLEEP)
    wait_for(lambda: [*(out / "tiny").glob("trials/*/epoch-*")])
    for other in ((), ("data.seed=5",)):
        with pytest.raises(SearchError, match=f"is run by process {life.pid} on ") as caught:
            run(path, out, *other)
        assert caught.value.exit_code == 3
    assert life.wait() == 0
    assert outcome(stored(out)) == outcome(undisturbed)


@SLOW
@pytest.mark.parametrize("count", [4, pytest.param(8, marks=SOAKING)])
def test_of_simultaneous_first_starts_one_runs_and_the_others_are_told_so(undisturbed, launcher, tmp_path, count):
    rounds = repetitions(1, 10)
    for turn in range(rounds):
        path, out = make_study(tmp_path / str(turn)), tmp_path / str(turn) / "runs"
        codes = launcher.start(path, out, count=count, PYTHON_SLEEP_SECONDS=0.05).wait()
        assert sorted(codes) == [0] + [3] * (count - 1)
        assert outcome(stored(out)) == outcome(undisturbed)
    said = launcher.errors.read_text()  # all write to one file: lines may run into each other
    assert said.count('the study "tiny" is run by process') == said.count("error: ") == rounds * (count - 1)
    tried(rounds * count, "starts of a new study, several at once")


def test_locks_that_a_dead_process_left_are_no_obstacle(tmp_path):
    path, out = make_study(tmp_path), tmp_path / "runs"
    (out / "tiny").mkdir(parents=True)
    for left in (out / "tiny/.lock", out / "studies.db.lock", out / "studies.db.tiny.lock"):
        left.write_text("process 1 on this machine since 00:00:00")
    assert len(run(path, out, "budget.trials=1", "hyperband.max_resource=1").trials) == 1
    assert not [*tmp_path.rglob("*.lock")]


# The study, changed by another program


def delete(store):
    optuna.delete_study(study_name="tiny", storage=store.storage)


def rename(store):
    with contextlib.closing(sqlite3.connect(store.storage.engine.url.database)) as connection, connection:
        connection.execute("UPDATE studies SET study_name = 'other'")


def make_anew(store):
    delete(store)
    optuna.create_study(study_name="tiny", storage=store.storage, direction="maximize").enqueue_trial({"x": 1.0})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (make_anew, "was deleted while it was in use"),
        pytest.param(delete, "was deleted while it was in use", marks=SLOW),
        pytest.param(rename, 'was renamed to "other"', marks=SLOW),
    ],
)
def test_a_run_whose_study_was_changed_by_another_program_ends_and_writes_no_more(tmp_path, monkeypatch, change, said):
    monkeypatch.setenv(*next(iter(SLEEP.items())))
    path, out = make_study(tmp_path), tmp_path / "runs"
    left = []

    def act():
        with Store.open(options(out).store) as store:
            change(store)
            left.extend(summaries(out))

    with pytest.raises(StudyError, match=said) as caught:
        run(path, out, observe=at_epoch(9, act))
    assert caught.value.exit_code == 3
    assert summaries(out) == left


def summaries(out):
    """What the database holds: its studies, trials and how many values."""
    with contextlib.closing(sqlite3.connect(out / "studies.db")) as connection:
        tables = ("studies", "trials", "trial_values", "trial_intermediate_values", "study_user_attributes")
        return [sorted(connection.execute(f"SELECT * FROM {table}").fetchall()) for table in tables]


@pytest.mark.parametrize("harm", ["unlinked", pytest.param("emptied", marks=SLOW)])
def test_a_run_whose_database_is_lost_ends_and_makes_no_new_one(tmp_path, monkeypatch, harm):
    """An emptied file is noticed as such, or as damaged where a write was under way."""
    monkeypatch.setenv(*next(iter(SLEEP.items())))
    path, database = make_study(tmp_path), tmp_path / "runs" / "studies.db"
    act = database.unlink if harm == "unlinked" else lambda: database.write_bytes(b"")
    with pytest.raises(StudyError, match=str(database)) as caught:
        run(path, database.parent, observe=at_epoch(9, act))
    assert caught.value.exit_code == 3
    if harm == "unlinked":
        assert not database.exists()
    else:
        with pytest.raises(StudyError):
            stored(database.parent)


# Readers


@SLOW
def test_a_dashboard_that_is_asked_all_the_time_disturbs_no_run(tmp_path, monkeypatch):
    monkeypatch.setenv(*next(iter(SLEEP.items())))
    path, out, done, answers = make_study(tmp_path), tmp_path / "runs", threading.Event(), []

    def look():
        with open_dashboard(options(out).store, port=0) as dashboard:
            threading.Thread(target=dashboard.serve_forever, kwargs={"poll_interval": 0.01}).start()
            try:
                while not done.is_set():
                    answers.append(ask(dashboard.server_port, "/api/studies"))
                    answers.append(ask(dashboard.server_port, "/api/studies/1?after=0"))
            finally:
                dashboard.shutdown()

    looking = threading.Thread(target=look)
    try:
        record = run(path, out, "sampler.name=random", workers=2, observe=at_epoch(1, looking.start))
    finally:
        done.set()
        looking.join()
    assert all(trial.finished for trial in record.trials)
    assert [status for status, _ in answers] == [200] * len(answers)
    assert max(len(json.loads(body).get("trials", ())) for _, body in answers) > 1
    tried(len(answers), "questions to a dashboard during a run")


def ask(port, path):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


# The clock


@SLOW
def test_a_clock_that_jumps_by_hours_changes_nothing(undisturbed, tmp_path, monkeypatch):
    """There are no heartbeats that could go stale, and budgets are counted on a clock that doesn't jump."""
    path, out, true = make_study(tmp_path), tmp_path / "runs", time.time
    jumps = iter([3600.0, -3600.0, 7200.0] * 10_000)
    monkeypatch.setattr(time, "time", lambda: true() + next(jumps))

    def act():
        with contextlib.closing(sqlite3.connect(out / "studies.db", timeout=60)) as connection, connection:
            connection.execute("UPDATE trials SET datetime_start = '2001-01-01 00:00:00.000000'")

    record = run(path, out, "budget.minutes=30", observe=at_epoch(9, act))
    assert outcome(record)[0] == outcome(undisturbed)[0]
    assert Path(out / "tiny/report.html").exists()
