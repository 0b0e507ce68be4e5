import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from datetime import datetime
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from records import without_times
from running import times_open

from studies import history
from studies.errors import StudyError
from studies.locks import FileLock, Held
from studies.records import RetrainRecord, TestScore, TrialRecord
from studies.store import Store, sqlite_url
from studies.store.faults import meaning
from studies.store.sqlite import file_system
from studies.store.stores import _known_schemas

DISTRIBUTIONS = {
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "units": IntDistribution(32, 256, log=True),
    "optimizer": CategoricalDistribution(("adam", "sgd")),
}
PARAMS = {"learning_rate": 0.01, "units": 64, "optimizer": "sgd", "batch_norm": True}
FINGERPRINT = {"hyperband": {"max_resource": 27}, "space": {"model": "mlp"}}
ABOUT = {
    "monitor": "val_accuracy",
    "plan": {"name": "digits", "enqueue": [{"units": 64}] * 200},
    "space": {"model": "mlp"},
    "data": {"hash": "abc", "n_train": 10},
}


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("store") / "empty.db"
    Store.open(sqlite_url(path)).close()
    return path


@pytest.fixture
def path(tmp_path, empty_store) -> Path:
    return Path(shutil.copy(empty_store, tmp_path / "studies.db"))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, path) -> str:
    if request.param == "sqlite":
        return sqlite_url(path)
    server = request.getfixturevalue("postgres")
    with Store.open(server.url) as store:
        for name in store.names():
            store.remove(name)
    return server.url


@pytest.fixture
def store(url):
    with Store.open(url) as opened:
        yield opened


@pytest.fixture
def optunas(store, url):
    """Optuna's own connection to the store."""
    storage = optuna.storages.RDBStorage(url.replace("{", "{{").replace("}", "}}"))
    yield storage
    storage.remove_session()
    storage.engine.dispose()


@pytest.fixture
def file_store(path):
    with Store.open(sqlite_url(path)) as opened:
        yield opened


def begin(store: Store, name: str = "digits", **changes):
    return store.begin(**{"name": name, "direction": "maximize", "fingerprint": FINGERPRINT, "about": ABOUT, **changes})


def fingerprint_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refusal(action, *arguments, **keywords) -> StudyError:
    with pytest.raises(StudyError) as refused:
        action(*arguments, **keywords)
    return refused.value


def three_epochs(number: int, state: str = "paused") -> TrialRecord:
    curve = (0.4, 0.6, 0.55)
    return TrialRecord(
        number=number, state=state, params=PARAMS, bracket=1, epochs=3, value=0.6, best_epoch=2,
        metrics={"val_accuracy": 0.6, "train_accuracy": 0.7},
        history={"val_accuracy": curve, "train_accuracy": (0.5, 0.7, 0.8)},
        rungs={1: 0.4, 3: 0.6}, weights=101770, seconds=1.5,
    )  # fmt: skip


def create(study, *what, **more) -> int:
    (number,) = study.commit([study.creation(*what, **more)])
    return number


def change(study, *what, **more) -> None:
    study.commit([study.writing(*what, **more)])


def write(study, record: TrialRecord) -> None:
    change(
        study,
        record.number,
        values=dict(enumerate(record.history["val_accuracy"], 1)),
        user=history.user_attributes(record),
        system=history.system_attributes(record),
        state=record.state,
        value=record.value,
    )


# What is written reads back


@pytest.mark.parametrize("state", ["running", "paused", "complete", "pruned", "failed"])
def test_a_trial_reads_back_as_the_record_that_was_written(store, state):
    with begin(store) as study:
        record = three_epochs(create(study, PARAMS, DISTRIBUTIONS, bracket=1), state)
        write(study, record)
        assert [without_times(read) for read in study.records()] == [record]
        (read,) = store.load("digits").trials
    assert read.started is not None
    assert (read.ended is not None) == record.finished


def test_optuna_reads_what_was_written(store, optunas):
    """The contract with Optuna: its public functions see an ordinary study."""
    with begin(store) as study:
        for state in ("complete", "pruned", "failed", "paused"):
            write(study, three_epochs(create(study, PARAMS, DISTRIBUTIONS, bracket=1), state))
    loaded = optuna.load_study(study_name="digits", storage=optunas)
    trials = loaded.get_trials()
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING]
    assert [trial.state for trial in trials] == states
    assert [trial.values for trial in trials] == [[0.6], [0.6], None, None]
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    for trial in trials:
        assert trial.params == {name: PARAMS[name] for name in DISTRIBUTIONS}
        assert trial.distributions == DISTRIBUTIONS
        assert trial.intermediate_values == {1: 0.4, 2: 0.6, 3: 0.55}
        assert trial.user_attrs["weights"] == 101770
        assert trial.user_attrs["val_accuracy"] == 0.6
        assert abs((trial.datetime_start - datetime.now()).total_seconds()) < 60
        assert (trial.datetime_complete is not None) == trial.state.is_finished()
        trial._validate()
    assert loaded.best_trial.number == 0
    assert loaded.metric_names == ["val_accuracy"]
    assert loaded.direction == optuna.study.StudyDirection.MAXIMIZE
    assert optuna.get_all_study_names(storage=optunas) == ["digits"]
    summary = loaded.trials_dataframe(attrs=("number", "value", "params", "user_attrs", "state"))
    assert list(summary["params_units"]) == [64] * 4
    assert list(summary["user_attrs_bracket"]) == [1] * 4


def test_optuna_itself_can_go_on_with_a_trial_that_is_paused(store, optunas):
    with begin(store) as study:
        write(study, three_epochs(create(study, PARAMS, DISTRIBUTIONS)))
        loaded = optuna.load_study(study_name="digits", storage=optunas)
        loaded.get_trials()
        trial = optuna.trial.Trial(loaded, loaded.get_trials()[0]._trial_id)
        assert trial.suggest_int("units", 32, 256, log=True) == 64
        trial.report(0.9, 4)
        loaded.tell(0, 0.9)
        assert study.records()[0].state == "complete"


def test_optunas_samplers_and_importances_work_on_the_store(store):
    with begin(store) as study:
        for number in range(12):
            params = {**PARAMS, "units": 32 + number, "learning_rate": 0.001 * (number + 1)}
            create(study, params, DISTRIBUTIONS)
            change(study, number, state="complete", value=number / 12)
    loaded = store.optuna("digits")
    assert "units" in optuna.importance.get_param_importances(loaded)
    assert loaded.ask().suggest_int("units", 32, 256, log=True) >= 32


def test_a_trial_that_pauses_and_goes_on_is_one_trial(store):
    with begin(store) as study:
        number = create(study, PARAMS, DISTRIBUTIONS)
        change(study, number, {1: 0.4}, state="paused")
        assert study.records()[0].state == "paused"
        change(study, number, {2: 0.5}, state="running")
        assert study.records()[0].state == "running"
        change(study, number, {3: 0.6}, state="complete", value=0.6)
        (record,) = study.records()
    assert (record.state, record.history) == ("complete", {"val_accuracy": (0.4, 0.5, 0.6)})


def test_writing_the_same_again_changes_nothing(store):
    with begin(store) as study:
        record = three_epochs(create(study, PARAMS, DISTRIBUTIONS, bracket=1))
        write(study, record)
        write(study, record)
        assert [without_times(read) for read in study.records()] == [record]


def test_params_that_do_not_vary_are_kept_out_of_optunas_sight(store):
    with begin(store) as study:
        create(study, PARAMS, DISTRIBUTIONS)
        assert study.records()[0].params == PARAMS
    assert "batch_norm" not in store.optuna("digits").get_trials()[0].params


def test_numbers_are_given_in_order(store):
    with begin(store) as study:
        assert [create(study, PARAMS, DISTRIBUTIONS) for _ in range(3)] == [0, 1, 2]
    with begin(store) as study:
        assert create(study, PARAMS, DISTRIBUTIONS) == 3


def test_values_that_are_not_finite_come_back(store):
    with begin(store) as study:
        number = create(study, {}, {})
        change(study, number, {1: float("nan"), 2: float("inf"), 3: float("-inf")}, state="failed")
        curve = study.records()[0].history["val_accuracy"]
    assert str(curve) == "(nan, inf, -inf)"


def test_the_study_knows_its_plan_its_scores_and_its_retrained_models(store):
    score = TestScore({"test_accuracy": 0.9}, gap=0.01, gap_se=0.002)
    again = RetrainRecord(0, "train", 9, 0, {"test_accuracy": 0.91})
    with begin(store) as study:
        create(study, PARAMS, DISTRIBUTIONS)
        study.set(history.test_attribute(0), score)
        study.set(history.RETRAINED, [again])
        study.set("state", "finished")
    record = store.load("digits")
    assert (record.trials[0].test, record.retrained, record.state) == (score, (again,), "finished")
    assert (record.plan, record.space, record.data) == (ABOUT["plan"], ABOUT["space"], ABOUT["data"])
    assert (record.direction, record.monitor, record.uuid) == ("maximize", "val_accuracy", study.uuid)


def test_reads_are_never_stale(store, url):
    with begin(store) as study, Store.open(url, create=False) as other:
        assert other.load("digits").trials == ()
        number = create(study, PARAMS, DISTRIBUTIONS)
        assert other.load("digits").trials[0].state == "running"
        change(study, number, state="complete", value=0.5)
        assert other.load("digits").trials[0].state == "complete"


def test_a_complete_trial_needs_a_finite_value(store):
    with begin(store) as study:
        number = create(study, PARAMS, DISTRIBUTIONS)
        for value in (None, float("nan"), float("inf")):
            with pytest.raises(ValueError, match="a complete trial has a finite value"):
                change(study, number, state="complete", value=value)


def test_either_all_of_a_change_is_stored_or_nothing(store):
    with begin(store) as study:
        number = create(study, PARAMS, DISTRIBUTIONS)
        with pytest.raises(TypeError):
            change(study, number, {1: 0.5}, user={"epochs": 1, "bad": object()}, state="complete", value=0.5)
        (record,) = study.records()
    assert (record.state, record.epochs, record.history) == ("running", 0, {})


def test_changes_that_are_committed_together_are_made_in_their_order(store):
    with begin(store) as study:
        record = three_epochs(1)
        changes = [
            study.creation(PARAMS, DISTRIBUTIONS),
            study.creation(PARAMS, DISTRIBUTIONS, bracket=1),
            study.setting("now", {"elapsed": 1.0}),
            study.writing(1, {1: 0.4}, state="paused"),
            study.writing(1, {}, history.user_attributes(record), history.system_attributes(record), "complete", 0.6),
        ]
        assert study.commit(changes) == [0, 1, None, None, None]
        assert [trial.state for trial in study.records()] == ["running", "complete"]
        assert study.attribute("now") == {"elapsed": 1.0}


def test_of_changes_that_are_committed_together_all_are_stored_or_none(store):
    with begin(store) as study:
        changes = [study.creation(PARAMS, DISTRIBUTIONS), study.writing(7, {1: 0.5})]
        assert "has no trial 7" in str(refusal(study.commit, changes))
        assert study.records() == []
        assert create(study, PARAMS, DISTRIBUTIONS) == 0


def test_a_commit_that_is_tried_again_though_it_had_succeeded_changes_nothing(store):
    class Unheard:
        """A way to the store whose first answer is lost."""

        def __init__(self, access):
            self._access = access

        def write(self, change):
            self._access.write(lambda session, _: change(session, False))
            return self._access.write(lambda session, _: change(session, True))

    with begin(store) as study:
        access, study._access = study._access, Unheard(study._access)
        end = study.writing(0, {1: 0.5}, {"epochs": 1}, state="complete", value=0.5)
        creations = [study.creation(PARAMS, DISTRIBUTIONS) for _ in range(2)]
        assert study.commit([*creations, end]) == [0, 1, None]
        study._access = access
        assert [(trial.number, trial.state) for trial in study.records()] == [(0, "complete"), (1, "running")]


def test_optunas_tools_see_the_trials_that_optuna_itself_reads(store, optunas):
    with begin(store) as study:
        for state in ("complete", "paused", "failed"):
            write(study, three_epochs(create(study, PARAMS, DISTRIBUTIONS, bracket=1), state))
    other = optuna.create_study(storage=optunas, study_name="other", direction="minimize")
    for value in (float("nan"), float("inf"), 0.5):
        trial = other.ask(DISTRIBUTIONS)
        trial.report(value, 1)
    other.tell(trial, float("inf"))
    for study_id in map(optunas.get_study_id_from_name, ("digits", "other")):
        theirs, ours = optunas.get_all_trials(study_id), store.storage.get_all_trials(study_id)
        assert str(ours) == str(theirs)
        assert [trial.system_attrs for trial in ours] == [trial.system_attrs for trial in theirs]
        ended = store.storage.get_all_trials(study_id, states=(TrialState.COMPLETE,))
        assert [trial.number for trial in ended] == [t.number for t in theirs if t.state == TrialState.COMPLETE]
    with pytest.raises(KeyError):
        store.storage.get_all_trials(4711)


# One writer, many readers


def test_a_second_process_is_told_who_runs_the_study(store, url):
    with begin(store), Store.open(url) as other:
        error = refusal(begin, other)
    assert error.exit_code == 3
    assert f'"digits" is run by process {os.getpid()} on {socket.gethostname()}' in str(error)


def test_two_studies_of_a_store_can_run_at_once(store, url):
    with begin(store, "one") as one, Store.open(url) as other, begin(other, "two") as two:
        assert (create(one, {}, {}), create(two, {}, {})) == (0, 0)


def test_the_lock_goes_with_the_process_that_held_it(file_store, path):
    program = (
        "import sys, time; sys.path.append('tests')\n"
        "from test_studies_store import *\n"
        "study = begin(Store.open(sys.argv[1]))\n"
        "print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, sqlite_url(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        assert f"process {holder.pid} on" in str(refusal(begin, file_store))
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    begin(file_store).close()


def test_a_lock_file_left_by_a_dead_process_does_not_matter(file_store, path):
    path.with_name("studies.db.digits.lock").write_text("process 1 on elsewhere since 00:00:00")
    begin(file_store).close()
    assert list(path.parent.glob("*.lock")) == []


def test_many_threads_that_want_a_lock_get_it_one_after_the_other(tmp_path):
    holders, most = [], []

    def work():
        for _ in range(20):
            with FileLock(tmp_path / "a.lock").take(30.0):
                holders.append(1)
                most.append(len(holders))
                holders.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 120


def test_patience_for_a_lock_ends(tmp_path):
    with FileLock(tmp_path / "a.lock").take(), pytest.raises(Held, match=str(os.getpid())):
        FileLock(tmp_path / "a.lock").take(0.05)


def test_a_lock_whose_file_is_deleted_while_it_is_taken_is_taken_on_the_file_that_is_there(tmp_path, monkeypatch):
    """Its last holder let go between our open and our lock: else two would hold it, one of them on no file."""
    path, flock, deleted = tmp_path / "a.lock", fcntl.flock, []

    def delete_first(descriptor, how):
        if not deleted:
            path.unlink()
            deleted.append(path)
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", delete_first)
    with FileLock(path).take(), pytest.raises(Held):
        FileLock(path).take()


def test_a_lock_whose_file_was_deleted_leaves_the_next_holder_s_alone(tmp_path):
    path = tmp_path / "a.lock"
    first = FileLock(path).take()
    path.unlink()
    with FileLock(path).take():
        first.release()
        with pytest.raises(Held):
            FileLock(path).take()
    assert not path.exists()


@pytest.mark.slow
def test_of_eight_first_starts_at_once_one_runs_and_seven_are_told_so(tmp_path):
    program = (
        "import sys\n"
        "from studies.store import Store\n"
        "from studies.errors import StudyError\n"
        "store = Store.open(sys.argv[1])\n"
        "print(store.names(), flush=True)\n"
        "try:\n"
        "    study = store.begin('digits', 'maximize', {}, {'monitor': 'val_accuracy'})\n"
        "    print('runs', flush=True); sys.stdin.read()\n"
        "except StudyError as error:\n"
        "    print(error.exit_code, error, flush=True)"
    )
    url = sqlite_url(tmp_path / "new" / "studies.db")
    command = [sys.executable, "-c", program, url]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(8)]
    lines = [(process.stdout.readline(), process.stdout.readline()) for process in processes]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert errors == [""] * 8
    assert sorted(second.split()[0] for _, second in lines) == ["3"] * 7 + ["runs"]
    with Store.open(url) as store:
        assert store.names() == ("digits",)


@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_each_change_whole_or_out(path):
    program = (
        "import sys; sys.path.append('tests')\n"
        "from test_studies_store import *\n"
        "study = begin(Store.open(sys.argv[1]))\n"
        "while True:\n"
        "    record = three_epochs(create(study, PARAMS, DISTRIBUTIONS, 1), 'complete')\n"
        "    write(study, record)\n"
        "    print(record.number, flush=True)"
    )
    command = [sys.executable, "-c", program, sqlite_url(path)]
    acknowledged: list[int] = []
    for after_trials in (3, 20):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            acknowledged += [int(writer.stdout.readline()) for _ in range(after_trials)]
            writer.kill()
            acknowledged += [int(line) for line in writer.stdout]
    with Store.open(sqlite_url(path)) as store, begin(store) as study:
        records = {record.number: without_times(record) for record in study.records()}
    assert list(records) == list(range(len(records)))
    for number, record in records.items():
        whole, begun = three_epochs(number, "complete"), TrialRecord(number, "running", PARAMS, 1)
        assert record == whole if number in acknowledged else record in (whole, begun)


def test_reading_does_not_wait_for_a_writer(file_store, path):
    begin(file_store).close()
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert file_store.names() == ("digits",)
    assert file_store.load("digits").name == "digits"
    writer.close()


def test_a_writer_waits_for_another_program_that_writes(file_store, path):
    with begin(file_store) as study:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN EXCLUSIVE")
        timer = threading.Timer(0.4, other.close)
        timer.start()
        assert create(study, PARAMS, DISTRIBUTIONS) == 0
        timer.join()


def test_a_change_that_reads_then_writes_keeps_other_writers_out_from_its_beginning(file_store, path):
    """Else it might find in the middle that another one wrote, and fail."""
    kept_out = []

    def intrude(session, again):
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            kept_out.append(other)

    with begin(file_store) as study:
        study.commit([intrude, study.setting("note", "kept")])
        assert (len(kept_out), study.attribute("note")) == (1, "kept")


def test_a_store_opened_for_reading_only_lets_nobody_write(store, url):
    begin(store).close()
    with Store.open(url, read_only=True) as reader:
        assert reader.names() == ("digits",)
        with begin(reader) as study:
            assert refusal(create, study, PARAMS, DISTRIBUTIONS).exit_code == 3
        with pytest.raises(optuna.exceptions.StorageInternalError):
            reader.optuna("digits").set_user_attr("note", "changed")
    assert "note" not in store.optuna("digits").user_attrs


def test_the_store_says_nothing_on_the_terminal(store, capfd):
    with begin(store) as study:
        write(study, three_epochs(create(study, PARAMS, DISTRIBUTIONS), "complete"))
    store.optuna("digits").get_trials()
    store.remove("digits")
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_optunas_command_line_shows_the_store(file_store, path):
    with begin(file_store) as study:
        write(study, three_epochs(create(study, PARAMS, DISTRIBUTIONS), "complete"))
    optuna_command = Path(sys.executable).with_name("optuna")
    arguments = ["--storage", sqlite_url(path), "best-trial", "--study-name", "digits", "-f", "json"]
    shown = subprocess.run([optuna_command, *arguments], capture_output=True, check=True, text=True).stdout
    assert json.loads(shown)["params"]["units"] == 64


# Reopening


def test_a_study_is_resumed_with_its_uuid(store):
    with begin(store) as first:
        pass
    with begin(store) as again:
        assert again.uuid == first.uuid


def test_a_study_begun_otherwise_is_refused_with_all_differences(store):
    begin(store).close()
    other = {"hyperband": {"max_resource": 81}, "space": {"model": "mlp"}}
    error = refusal(begin, store, fingerprint=other, direction="minimize", about={**ABOUT, "monitor": "x"})
    assert error.exit_code == 2
    assert 'the study "digits" was begun otherwise' in str(error)
    assert str(error).splitlines()[1:] == [
        "  hyperband.max_resource: 27 in the store, 81 in the file",
        "  direction: maximize in the store, minimize in the file",
    ]
    assert store.load("digits").monitor == "val_accuracy"
    begin(store).close()  # the refused attempt let go of the lock


def test_a_refused_reopening_leaves_the_file_as_it_was(file_store, path):
    begin(file_store).close()
    before = fingerprint_of(path)
    refusal(begin, file_store, fingerprint={})
    assert fingerprint_of(path) == before


def test_a_resumed_study_tells_its_latest_plan(store):
    begin(store).close()
    begin(store, about={**ABOUT, "plan": {"budget": {"trials": 100}}}).close()
    assert store.load("digits").plan == {"budget": {"trials": 100}}


def test_a_study_of_another_program_can_be_read_but_not_run(store, optunas):
    foreign = optuna.create_study(study_name="foreign", storage=optunas, direction="minimize")
    foreign.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    record = store.load("foreign")
    assert [trial.state for trial in record.trials] == ["complete"] * 2
    error = refusal(begin, store, "foreign")
    assert (error.exit_code, "was not made by toprung" in str(error)) == (2, True)
    store.remove("foreign")


# A study that goes away while it is in use


def test_nothing_is_written_once_the_study_was_deleted(store, optunas):
    with begin(store) as study:
        create(study, PARAMS, DISTRIBUTIONS)
        optuna.delete_study(study_name="digits", storage=optunas)
        for action in (
            lambda: create(study, PARAMS, DISTRIBUTIONS),
            lambda: change(study, 0, {1: 0.5}),
            lambda: study.set("a", 1),
            study.records,
        ):
            error = refusal(action)
            assert (error.exit_code, "was deleted while" in str(error)) == (3, True)
    assert store.names() == ()


def test_nothing_is_written_into_a_later_study_of_the_same_name(store, optunas):
    with begin(store) as study:
        create(study, PARAMS, DISTRIBUTIONS)
        optuna.delete_study(study_name="digits", storage=optunas)
        new = optuna.create_study(study_name="digits", storage=optunas, direction="maximize")
        new.set_user_attr("uuid", "another")
        new.ask()
        assert refusal(change, study, 0, {1: 0.5}, state="complete", value=0.5).exit_code == 3
        assert refusal(create, study, PARAMS, DISTRIBUTIONS).exit_code == 3
    (trial,) = new.get_trials()
    assert (trial.state, trial.intermediate_values) == (TrialState.RUNNING, {})


def test_nothing_is_written_once_the_study_was_renamed(store):
    with begin(store) as study:
        with store.storage.engine.begin() as connection:
            connection.execute(sqlalchemy.text("UPDATE studies SET study_name = 'other'"))
        error = refusal(create, study, PARAMS, DISTRIBUTIONS)
    assert (error.exit_code, 'renamed to "other"' in str(error)) == (3, True)
    assert store.load("other").trials == ()


def test_a_trial_that_another_program_ended_is_left_alone(store):
    with begin(store) as study:
        number = create(study, PARAMS, DISTRIBUTIONS)
        store.optuna("digits").tell(number, 0.5)
        error = refusal(change, study, number, {1: 0.9}, state="complete", value=0.9)
        assert (error.exit_code, "trial 0 was ended by another program" in str(error)) == (3, True)
        assert study.records()[0].value == 0.5
        assert "has no trial 7" in str(refusal(change, study, 7, {1: 0.9}))


def test_a_removed_study_leaves_nothing_behind(store):
    begin(store, "kept").close()
    with begin(store) as study:
        write(study, three_epochs(create(study, PARAMS, DISTRIBUTIONS, 1), "complete"))
        assert refusal(store.remove, "digits").exit_code == 3
    store.remove("digits")
    assert store.names() == ("kept",)
    with store.storage.engine.connect() as connection:
        tables = sqlalchemy.inspect(connection).get_table_names()
        rows = {
            name: connection.scalar(sqlalchemy.text(f"SELECT count(*) FROM {name}"))
            for name in tables
            if name.startswith("trial")
        }
    assert set(rows.values()) == {0}


@pytest.mark.parametrize("ask", ["load", "optuna", "remove"])
def test_a_study_that_is_not_there_is_answered_with_those_that_are(store, ask):
    begin(store, "digits").close()
    error = refusal(getattr(store, ask), "digts")
    assert error.exit_code == 2
    assert 'no study "digts"; did you mean "digits"?' in str(error)


# Files


def test_the_file_and_its_folder_are_made_for_the_user_alone(tmp_path):
    path = tmp_path / "runs" / "studies.db"
    with Store.open(sqlite_url(path)) as store:
        assert store.names() == ()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["studies.db"]


@pytest.mark.parametrize("name", ["100%.db", "a {b}.db", "what?.db", "a#b.db", "a%20b.db", "ä 'b'.db", "a;b&c.db"])
def test_a_file_may_have_any_name(tmp_path, name):
    with Store.open(sqlite_url(tmp_path / name)) as store:
        begin(store).close()
    with Store.open(sqlite_url(tmp_path / name), create=False) as store:
        assert store.names() == ("digits",)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_missing_store_is_not_made_for_a_reader(tmp_path):
    path = tmp_path / "runs" / "studies.db"
    for options in ({"create": False}, {"read_only": True}):
        error = refusal(Store.open, sqlite_url(path), **options)
        assert (error.exit_code, str(path) in str(error)) == (2, True)
    assert not path.parent.exists()


def test_an_empty_file_is_refused_and_stays_empty(tmp_path):
    path = tmp_path / "studies.db"
    path.touch()
    error = refusal(Store.open, sqlite_url(path))
    assert (error.exit_code, "is empty (0 bytes)" in str(error)) == (3, True)
    assert path.stat().st_size == 0


@pytest.mark.parametrize("damage", ["header", "pages", "half", "text"])
def test_a_damaged_file_is_refused_and_left_as_it_is(file_store, path, damage):
    with begin(file_store) as study:
        for number in range(30):
            create(study, PARAMS, DISTRIBUTIONS)
            write(study, three_epochs(number))
    file_store.close()
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[:100] = b"x" * 100
    elif damage == "pages":
        for start in range(4096 * 4, len(content), 4096 * 3):
            content[start : start + 4096] = b"\xa5" * 4096
    elif damage == "half":
        del content[len(content) // 2 :]
    else:
        content = bytearray(b"trial,value\n" * 1000)
    path.write_bytes(content)
    before = fingerprint_of(path)
    error = refusal(Store.open, sqlite_url(path))
    assert error.exit_code == 3
    assert "damaged" in str(error)
    assert "\n" not in str(error)
    assert fingerprint_of(path) == before


def test_another_programs_sqlite_file_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "photos.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE photos (name TEXT)")
    connection.close()
    before = fingerprint_of(path)
    error = refusal(Store.open, sqlite_url(path))
    assert (error.exit_code, "another program's tables" in str(error)) == (2, True)
    assert fingerprint_of(path) == before


@pytest.mark.parametrize(("version", "law"), [("v3.0.0.a", "optuna storage upgrade"), ("v9.9", "newer Optuna")])
def test_a_store_of_another_schema_is_refused_with_the_command_and_never_upgraded(path, version, law):
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.commit()
    connection.close()
    before = fingerprint_of(path)
    error = refusal(Store.open, sqlite_url(path))
    assert error.exit_code == 3
    assert law in str(error)
    assert version in str(error)
    if version == "v3.0.0.a":
        assert f'--storage "{sqlite_url(path)}"' in str(error)
    assert fingerprint_of(path) == before


def test_the_schemas_that_are_known_are_those_of_optunas_migrations(file_store):
    optunas = file_store.storage
    assert _known_schemas()[0] == optunas.get_head_version() == optunas.get_current_version()
    assert _known_schemas() == optunas.get_all_versions()


def test_a_store_that_is_closed_holds_its_file_open_no_more(path):
    with Store.open(sqlite_url(path)) as opened:
        optunas = opened.storage
        assert optunas.get_all_studies() == []
        assert optunas.get_current_version() == optunas.get_head_version()
        assert times_open(path) > 0
    assert times_open(path) == 0


def test_opening_a_store_and_reading_a_study_takes_none_of_optunas_migrations(file_store, path):
    begin(file_store).close()
    program = (
        "import sys; from studies.store import Store\n"
        "with Store.open(sys.argv[1], create=False) as store: store.load('digits')\n"
        "print([name for name in sys.modules if name.startswith('alembic')])"
    )
    done = subprocess.run([sys.executable, "-c", program, sqlite_url(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_store_that_is_locked_too_long_is_an_error_of_one_line(file_store, path, monkeypatch):
    monkeypatch.setattr("studies.store.sqlite.BUSY_SECONDS", 0.2)
    with Store.open(sqlite_url(path)) as store, begin(store) as study:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        for action in (lambda: create(study, {}, {}), store.names, lambda: Store.open(sqlite_url(path))):
            error = refusal(action)
            assert error.exit_code == 3
            assert "locked by another program" in str(error)
            assert "\n" not in str(error)
        other.close()
        assert create(study, {}, {}) == 0


def test_a_full_disk_is_said_so_and_what_was_acknowledged_stays(file_store):
    with begin(file_store) as study:
        create(study, PARAMS, DISTRIBUTIONS)
        pages = file_store.storage.engine.connect()
        pages.exec_driver_sql(f"PRAGMA max_page_count={_pages(pages) + 1}")
        pages.close()  # back to the pool, which hands out this connection next
        error = refusal(change, study, 0, system={"big": "x" * 200_000})
        assert (error.exit_code, "the disk is full" in str(error)) == (3, True)
        assert study.records()[0].state == "running"
        change(study, 0, {1: 0.5})
        assert study.records()[0].epochs == 1


def _pages(connection) -> int:
    return connection.exec_driver_sql("PRAGMA page_count").scalar()


@pytest.mark.parametrize("harm", ["deleted", "replaced", "emptied"])
def test_a_file_that_goes_away_in_use_is_noticed_and_not_made_again(file_store, path, harm):
    with begin(file_store) as study:
        if harm == "deleted":
            path.unlink()
        elif harm == "replaced":
            copy = shutil.copy(path, path.with_name("copy.db"))
            path.unlink()
            Path(copy).rename(path)
        else:
            os.truncate(path, 0)
        before = path.read_bytes() if path.exists() else None
        for action in (lambda: create(study, {}, {}), lambda: study.set("a", 1), study.records, file_store.names):
            error = refusal(action)
            assert (error.exit_code, f"was {harm}" in str(error)) == (3, True)
        assert (path.read_bytes() if path.exists() else None) == before


def test_a_folder_that_cannot_be_written_is_bad_input(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    assert refusal(Store.open, sqlite_url(tmp_path / "new.db")).exit_code == 2


def test_a_path_through_a_file_or_to_a_folder_is_bad_input(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "studies.db"):
        error = refusal(Store.open, sqlite_url(path))
        assert (error.exit_code, str(path) in str(error)) == (2, True)


def test_a_half_made_file_of_a_killed_process_is_no_obstacle(tmp_path):
    (tmp_path / ".studies.db.draft").write_bytes(b"half")
    (tmp_path / "studies.db.lock").touch()
    with Store.open(sqlite_url(tmp_path / "studies.db")) as store:
        assert store.names() == ()
    assert [file.name for file in tmp_path.iterdir()] == ["studies.db"]


def test_network_file_systems_are_known_by_their_mounts(tmp_path):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 0:1 / / rw - ext4 /dev/a rw\n"
        "23 22 0:2 / /home rw shared:1 - nfs4 server:/home rw\n"
        "24 23 0:3 / /home/local rw - xfs /dev/b rw\n"
        "25 22 0:4 / /mnt/my\\040share rw - cifs //server/share rw\n"
        "26 22 0:5 / /data rw - ext4 /dev/c rw\n"
        "27 26 0:6 / /data rw - nfs4 server:/data rw\n"  # over the other, which it hides
    )
    kinds = {
        "/var/studies.db": "ext4",
        "/home/me/studies.db": "nfs4",
        "/home/local/studies.db": "xfs",
        "/homeless/studies.db": "ext4",
        "/mnt/my share/a.db": "cifs",
        "/data/studies.db": "nfs4",
    }
    assert {path: file_system(Path(path), mounts) for path in kinds} == kinds
    assert file_system(tmp_path, tmp_path / "missing") == ""


def test_the_rollback_journal_is_used_where_the_library_has_the_wal_bug(path):
    with closing(sqlite3.connect(path)) as connection:
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    assert mode == ("wal" if sqlite3.sqlite_version_info >= (3, 51, 3) else "delete")


def test_commits_wait_for_the_disk(file_store):
    with file_store.storage.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        connection.rollback()


# URLs


@pytest.mark.parametrize(
    ("url", "law"),
    [
        ("runs/studies.db", "is not the URL of a store; write sqlite:///PATH"),
        ("sqlite://", "a store in memory would be lost"),
        ("sqlite:///:memory:", "a store in memory would be lost"),
        ("sqlite:///a.db?mode=ro", "takes no options here"),
        ("sqlite:///file:a.db?uri=true", "takes no options here"),
        ("mysql://me@host/a", "mysql: no such kind of store"),
        ("redis://host", "redis: no such kind of store"),
    ],
)
def test_a_url_that_is_no_store_is_bad_input(tmp_path, monkeypatch, url, law):
    monkeypatch.chdir(tmp_path)
    error = refusal(Store.open, url)
    assert (error.exit_code, law in str(error)) == (2, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:s3cret@127.0.0.1:1/a",
        "postgresql+psycopg:/me:s3cret@127.0.0.1",
        "postgresql+psycopg:/127.0.0.1?password=s3cret",
        "postgresql+psycopg://me@127.0.0.1:1/a?password=s3cret",
        "postgresql+psycopg://me@127.0.0.1:1/a?sslpassword=s3cret",
        "mysql://me:s3cret@host/a",
        "postgresql+nodriver://me:s3cret@host/a",
    ],
)
def test_a_password_is_never_shown(url):
    error = refusal(Store.open, url)
    assert "s3cret" not in str(error)
    assert "\n" not in str(error)


def test_without_its_driver_postgresql_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    error = refusal(Store.open, "postgresql+psycopg://me@host/a")
    assert (error.exit_code, "toprung[postgres]" in str(error)) == (3, True)


def test_an_error_behind_optunas_own_is_what_is_told():
    locked = sqlite3.OperationalError("database is locked")
    locked.sqlite_errorname = "SQLITE_BUSY"
    wrapped = optuna.exceptions.StorageInternalError("exceeding max length")
    wrapped.__cause__ = sqlalchemy.exc.OperationalError("SELECT 1", {}, locked)
    assert meaning(wrapped).startswith("locked by another program")


def test_a_study_attribute_is_plain_json(store):
    with begin(store) as study:
        study.set("note", {"a": (1, 2)})
    with store.storage.engine.connect() as connection:
        query = sqlalchemy.text("SELECT value_json FROM study_user_attributes WHERE key = 'note'")
        assert json.loads(connection.scalar(query)) == {"a": [1, 2]}
        connection.rollback()
