"""A real PostgreSQL server that goes away, comes back, and has a password that nothing may show.

What a store does on a server that stays is tested with the same tests as a file, in test_studies_store.py.
"""

import contextlib
import dataclasses
import json
import threading
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from postgres import PASSWORD
from running import make_study, options, outcome, run
from test_studies_store import DISTRIBUTIONS, PARAMS, begin, change, create, refusal

from reports.dashboard import open_dashboard
from search.boundary import run_verb
from search.cli import app
from search.signals import StopRequest
from search.study import run_study
from studies.errors import StudyError
from studies.plan import load_study
from studies.store import Store
from studies.store.faults import disconnected


@pytest.fixture
def server(postgres):
    with Store.open(postgres.url) as store:
        for name in store.names():
            store.remove(name)
    return postgres


def restart(server, away_seconds=0.0):
    server.stop("immediate")
    time.sleep(away_seconds)
    server.start()


def test_a_change_and_a_question_wait_for_a_server_that_comes_back(server):
    with Store.open(server.url) as store, begin(store) as study:
        assert create(study, PARAMS, DISTRIBUTIONS) == 0
        server.stop("immediate")
        timer = threading.Timer(0.3, server.start)
        timer.start()
        change(study, 0, {1: 0.5})
        timer.join()
        server.stop("immediate")
        timer = threading.Timer(0.3, server.start)
        timer.start()
        assert study.records()[0].history == {"val_accuracy": (0.5,)}
        timer.join()
        assert store.names() == ("digits",)


def test_a_study_is_still_locked_after_its_server_was_started_again(server):
    """The server forgets its locks; a change that finds a new connection at once must take its own again."""
    with Store.open(server.url) as store, begin(store) as study:
        restart(server)
        create(study, PARAMS, DISTRIBUTIONS)
        with Store.open(server.url) as other:
            error = refusal(begin, other)
        assert (error.exit_code, '"digits" is run by process' in str(error)) == (3, True)


def test_who_lost_the_lock_to_another_while_the_server_was_away_writes_nothing_more(server, monkeypatch):
    monkeypatch.setattr("studies.store.servers._NOTICED_SECONDS", 0.0)
    with Store.open(server.url) as store, begin(store) as study:
        restart(server)
        with Store.open(server.url) as other, begin(other) as theirs:
            error = refusal(create, study, PARAMS, DISTRIBUTIONS)
            assert (error.exit_code, 'took over the study "digits"' in str(error)) == (3, True)
            assert theirs.records() == []


def test_patience_with_a_server_that_stays_away_ends(server, monkeypatch):
    monkeypatch.setattr("studies.store.servers.ServerDatabase.patience_seconds", 0.2)
    with Store.open(server.url) as store, begin(store) as study:
        server.stop("immediate")
        try:
            for action in (lambda: create(study, {}, {}), study.records, store.names, lambda: Store.open(server.url)):
                error = refusal(action)
                assert error.exit_code == 3
                assert "refused or cannot be reached" in str(error)
                assert PASSWORD not in str(error)
                assert "\n" not in str(error)
        finally:
            server.start()


def test_a_wrong_password_is_one_line_that_shows_neither(server):
    error = refusal(Store.open, server.url_with("wr0ng"))
    assert error.exit_code == 3
    assert "password authentication failed" in str(error)
    assert "wr0ng" not in str(error)


def test_only_what_a_server_did_not_answer_or_could_not_yet_is_asked_again():
    from psycopg import errors
    from sqlalchemy.exc import DBAPIError

    def raised(kind):
        return DBAPIError.instance("SELECT 1", {}, kind("no"), errors.Error)

    away = (errors.OperationalError, errors.InterfaceError, errors.ConnectionTimeout, errors.AdminShutdown)
    assert all(disconnected(raised(kind)) for kind in (*away, errors.CrashShutdown, errors.CannotConnectNow))
    refused = (errors.DiskFull, errors.OutOfMemory, errors.UndefinedTable, errors.UniqueViolation)
    assert not any(disconnected(raised(kind)) for kind in (*refused, errors.InsufficientPrivilege))


class Restarter:
    """Restarts the server once, in the middle of a run; what a reader had seen before is kept for comparison."""

    def __init__(self, server, away_seconds):
        self.server, self.away_seconds = server, away_seconds
        self.ended, self.before, self.times = 0, [], 0

    def __call__(self, kind, **fields):
        self.ended += kind == "rung"
        if self.ended == 6 and not self.times:
            self.times = 1
            deadline = time.monotonic() + 20
            while not self.before and time.monotonic() < deadline:  # changes are written by another thread
                with Store.open(self.server.url, create=False) as store:
                    self.before = [trial for trial in store.load("tiny").trials if trial.epochs]
            restart(self.server, self.away_seconds)


@pytest.mark.parametrize("away_seconds", [0.0, pytest.param(10.0, marks=pytest.mark.slow)])
def test_a_run_outlives_its_server_and_loses_no_acknowledged_trial(server, tmp_path, away_seconds):
    path, restarter = make_study(tmp_path), Restarter(server, away_seconds)
    undisturbed = run(path, tmp_path / "files")
    where = dataclasses.replace(options(tmp_path / "server"), store=server.url)
    record = run_study(load_study(str(path), ()), where, StopRequest(), restarter)
    assert restarter.times == 1
    assert restarter.before
    kept = {trial.number: trial for trial in record.trials}
    for seen in restarter.before:
        assert kept[seen.number].params == seen.params
        assert kept[seen.number].history["val_accuracy"][: seen.epochs] == seen.history["val_accuracy"]
    assert outcome(record) == outcome(undisturbed)


def test_a_password_is_nowhere(server, tmp_path, monkeypatch, capfd):
    """Not in what is said, nor in any file of the run, the database, a report, or the arguments of a process."""
    path, seen = make_study(tmp_path), []

    def observe(kind, **fields):
        seen.append(json.dumps({"kind": kind, **fields}, default=str))
        if kind == "rung":
            seen.extend(processes())

    where = dataclasses.replace(options(tmp_path / "runs"), store=server.url)
    run_study(load_study(str(path), ()), where, StopRequest(), observe)
    assert [line for line in seen if "sleeping_worker.py" in line]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOPRUNG_STORE", server.url)
    for words in (*VERBS, *(f"{verb} --debug" for verb in VERBS)):
        assert run_verb(app, words.split()) == 0, words
    for words in ("leaderboard nosuch", "leaderboard tiny --sort nosuch", "run study.toml --seed 7", "explain tiny 99"):
        assert run_verb(app, words.split()) == 2, words
    monkeypatch.setenv("TOPRUNG_STORE", server.url_with(PASSWORD + "x"))
    assert run_verb(app, ["status"]) == 3
    with pytest.raises(StudyError) as raised:
        run_verb(app, ["status", "--debug"])
    traceback.print_exception(raised.value)
    said = capfd.readouterr()
    assert "password authentication failed" in said.err
    files = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    kept = [*files, server.dump(), said.out.encode(), said.err.encode(), *(line.encode() for line in seen)]
    secrets = [PASSWORD.encode(), urllib.parse.quote(PASSWORD, safe="").encode()]
    assert any(b"val_accuracy" in content for content in files)
    assert b"val_accuracy" in server.dump()
    assert not [content for content in kept for secret in secrets if secret in content]


VERBS = (
    "status",
    "status tiny --json",
    "leaderboard tiny --csv best.csv",
    "report tiny",
    "explain tiny 0",
    "studies list",
)


def processes():
    """Arguments and environments of all workers, and the arguments of everything else."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (folder / "cmdline").read_bytes().decode(errors="replace")
            yield arguments
            if "worker" in arguments:
                yield arguments + (folder / "environ").read_bytes().decode(errors="replace")


def test_a_dashboard_whose_server_is_away_tells_no_password(server, capfd):
    with Store.open(server.url) as store:
        begin(store).close()
    with open_dashboard(server.url, port=0) as dashboard:
        thread = threading.Thread(target=dashboard.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.stop("immediate")
        try:
            with pytest.raises(urllib.error.HTTPError) as answer:
                urllib.request.urlopen(f"http://127.0.0.1:{dashboard.server_port}/api/studies", timeout=30)
            told = answer.value.read().decode() + str(answer.value.headers)
        finally:
            server.start()
            dashboard.shutdown()
            thread.join()
    said = capfd.readouterr()
    assert PASSWORD not in told + said.out + said.err
