"""Whatever process of a run dies, hangs or is told to stop: nothing is lost, and the result is the undisturbed one."""

import signal
import time

import pytest
from killing import SOAKING, Launcher, Storm, marked, repetitions, tried, wait_for
from running import make_study, outcome, run, stored

from search import errands, supervisor
from search.errors import SearchError

SLOW = pytest.mark.slow
SLEEP = {"PYTHON_SLEEP_SECONDS": repetitions("0.02", "0.1")}
FIELD = "trials/*/epoch-*"


@pytest.fixture(scope="module")
def launcher(tmp_path_factory):
    with Launcher(tmp_path_factory.mktemp("launcher")) as launcher:
        yield launcher


@pytest.fixture
def misbehave(tmp_path, monkeypatch):
    """A function that tells workers how to misbehave: once, unless "always"."""

    def tell(how):
        monkeypatch.setenv("PYTHON_MISBEHAVE", how)
        monkeypatch.setenv("PYTHON_MISBEHAVE_MARK", str(tmp_path / "mark"))

    return tell


@pytest.fixture
def epochs(tmp_path, monkeypatch):
    """A function that tells every epoch that a worker began."""
    path = tmp_path / "epochs.txt"
    monkeypatch.setenv("PYTHON_EPOCHS", str(path))
    return lambda: path.read_text().splitlines()


def found(where, record):
    """A place, with the number of a trial that came to the top."""
    complete = next(trial.number for trial in record.trials if trial.state == "complete")
    return where.replace("COMPLETE", str(complete))


def told_run(folder, *overrides):
    """A run of the study; its record and the deaths of workers that were told."""
    told = []
    record = run(
        make_study(folder), folder / "runs", *overrides, observe=lambda kind, **about: told.append((kind, about))
    )
    return record, [about["reason"] for kind, about in told if kind == "died"]


# SIGKILL at random times


VICTIMS = {
    "worker": ("worker",),
    "supervisor": ("supervisor",),
    "tree": ("tree",),
    "any": ("worker", "worker", "supervisor", "tree"),
}


def storms(folder, victims, kills, **more):
    """Storms until so many processes were killed, with the record that each left."""
    done = 0
    while done < kills:
        name = f"{'-'.join(victims)}-{done}"
        storm = Storm(folder / name, victims, name, **more)
        record = storm.blow()
        done += storm.kills
        yield storm, record


def weathers(undisturbed, folder, victims, kills):
    """See that a search ends as the undisturbed one whoever of its processes is killed, and when."""
    killed = lost = repeated = 0
    for storm, record in storms(folder, VICTIMS[victims], kills, **SLEEP):
        assert outcome(record) == outcome(undisturbed)
        assert storm.repeated <= storm.lost_workers
        killed, lost, repeated = killed + storm.kills, lost + storm.lost_workers, repeated + storm.repeated
    tried(killed, f"SIGKILLs ({victims}) at random times; {lost} workers died, {repeated} epochs were repeated")


def test_a_search_ends_as_the_undisturbed_one_whoever_is_killed(undisturbed, tmp_path):
    weathers(undisturbed, tmp_path, "any", 3)


@SLOW
@SOAKING
@pytest.mark.parametrize(("victims", "kills"), [("worker", 400), ("supervisor", 150), ("tree", 350), ("any", 100)])
def test_kills_at_random_times_change_nothing(undisturbed, tmp_path, victims, kills):
    weathers(undisturbed, tmp_path, victims, kills)


@SLOW
def test_with_three_workers_kills_lose_no_trial_and_change_no_result(tmp_path):
    random = "sampler.name=random"
    (tmp_path / "calm").mkdir()
    calm = run(make_study(tmp_path / "calm"), tmp_path / "calm/runs", random)
    kills = repetitions(4, 100)
    found = [*storms(tmp_path, ("worker", "worker", "tree"), kills, overrides=[random], workers=3, **SLEEP)]
    for storm, record in found:
        assert storm.repeated <= storm.lost_workers
        for ours, theirs in zip(record.trials, calm.trials, strict=True):
            both = min(ours.epochs, theirs.epochs)
            assert ours.finished
            assert ours.params == theirs.params
            assert ours.history["val_accuracy"][:both] == theirs.history["val_accuracy"][:both]
    tried(sum(storm.kills for storm, _ in found), "SIGKILLs with three workers")


# SIGKILL at the worst times


@SLOW
@pytest.mark.parametrize("where", ["COMPLETE:2 saved", pytest.param("0:1 saved", marks=SOAKING)])
def test_an_epoch_that_was_saved_and_not_told_is_not_trained_again(undisturbed, tmp_path, misbehave, epochs, where):
    misbehave(f"{found(where, undisturbed)}:kill")
    record, deaths = told_run(tmp_path)
    assert deaths == ["SIGKILL"]
    assert outcome(record) == outcome(undisturbed)
    assert len(epochs()) == len(set(epochs()))


@SLOW
@pytest.mark.parametrize("where", ["COMPLETE:2", pytest.param("4:1", marks=SOAKING)])
def test_a_checkpoint_that_was_half_written_gives_way_to_the_one_before(undisturbed, tmp_path, misbehave, where):
    misbehave(f"{found(where, undisturbed)}:half")
    record, deaths = told_run(tmp_path)
    assert deaths == ["SIGXFSZ"]
    assert outcome(record) == outcome(undisturbed)
    assert not list(tmp_path.rglob(".*.tmp-*"))


MOMENTS = [("trial", 1), ("epoch", 9), ("rung", 7), ("phase", 2), ("phase", 3), ("phase", 4)]


@SLOW
@pytest.mark.parametrize("moment", [m if m[0] == "phase" else pytest.param(m, marks=SOAKING) for m in MOMENTS], ids=str)
def test_a_run_that_is_killed_between_two_steps_goes_on(undisturbed, launcher, tmp_path, moment):
    """Better than "that one trial may go one rung further": verdicts follow from what is stored, so none is lost."""
    path, out = make_study(tmp_path), tmp_path / "runs"
    assert launcher.start(path, out, kill_at=moment).wait() == -signal.SIGKILL
    assert launcher.start(path, out).wait() == 0
    assert outcome(stored(out)) == outcome(undisturbed)
    assert {"best.keras", "best.json", "diagnosis.npz", "report.html"} <= {
        file.name for file in (out / "tiny").iterdir()
    }


@SLOW
@pytest.mark.parametrize("how", ["kill", "always-kill"])
def test_a_worker_that_is_killed_while_it_starts_is_started_again_twice(undisturbed, tmp_path, misbehave, how):
    misbehave(f"start:{how}")
    if how == "kill":
        record, deaths = told_run(tmp_path)
        assert deaths == ["SIGKILL"]
        assert outcome(record) == outcome(undisturbed)
    else:
        with pytest.raises(SearchError, match=r"a worker cannot start \(SIGKILL\)") as caught:
            told_run(tmp_path)
        assert caught.value.exit_code == 3


@SLOW
def test_a_retraining_whose_worker_is_killed_goes_on_from_its_checkpoint(undisturbed, tmp_path, misbehave):
    misbehave("retrained:3:kill")
    record, _ = told_run(tmp_path)
    assert (tmp_path / "mark").exists()
    assert outcome(record) == outcome(undisturbed)


# Told to stop


@SLOW
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_told_to_stop_ends_its_epoch_and_goes_on_later(undisturbed, launcher, tmp_path, sent, code):
    path, out = make_study(tmp_path), tmp_path / "runs"
    life = launcher.start(path, out, **SLEEP)
    wait_for(lambda: [*(out / "tiny").glob(FIELD)])
    life.kill(sent)
    assert life.wait() == code
    assert launcher.running() == []
    before = stored(out)
    assert sum(trial.epochs for trial in before.trials) > 0
    assert launcher.start(path, out).wait() == 0
    assert outcome(stored(out)) == outcome(undisturbed)


@SLOW
def test_a_run_that_is_told_twice_ends_at_once(undisturbed, launcher, tmp_path):
    path, out = make_study(tmp_path), tmp_path / "runs"
    life = launcher.start(path, out, PYTHON_SLEEP_SECONDS=3600, PYTHON_EPOCHS=tmp_path / "epochs.txt")
    wait_for((tmp_path / "epochs.txt").exists)
    begun = time.monotonic()
    while not life.ended(0.2):
        life.kill(signal.SIGINT)
    assert time.monotonic() - begun < supervisor._PAUSE_SECONDS
    assert life.code == 130
    wait_for(lambda: not launcher.running(), "the death of the worker")
    assert launcher.start(path, out, PYTHON_SLEEP_SECONDS=0).wait() == 0
    assert outcome(stored(out)) == outcome(undisturbed)


# Hanging


@pytest.fixture
def impatient(monkeypatch):
    """Workers are killed after three seconds without a sign of life."""
    monkeypatch.setattr(supervisor, "_PATIENCE_SECONDS", 3.0)
    monkeypatch.setattr(supervisor, "_STARTING_SECONDS", 3.0)
    monkeypatch.setattr(supervisor, "_FIRST_SECONDS", 3.0)
    monkeypatch.setattr(errands, "_SILENT_SECONDS", 3.0)


@SLOW
@pytest.mark.parametrize("where", ["start", "retrained:2"])
def test_a_worker_that_hangs_is_killed_and_its_trial_goes_on(undisturbed, tmp_path, misbehave, impatient, where):
    misbehave(f"{found(where, undisturbed)}:stop")
    record, _ = told_run(tmp_path)
    assert (tmp_path / "mark").exists()
    assert outcome(record) == outcome(undisturbed)


@SLOW
def test_what_a_hanging_worker_had_started_is_gone_with_it(undisturbed, tmp_path, misbehave, impatient, monkeypatch):
    monkeypatch.setenv("PYTHON_RUN_MARK", str(tmp_path))
    misbehave("1:1:load")
    record, deaths = told_run(tmp_path)
    assert deaths == ["no progress for 3 s"]
    assert outcome(record) == outcome(undisturbed)
    wait_for(lambda: not marked(f"PYTHON_RUN_MARK={tmp_path}"), "the death of the loader")


# Ending without a result


@SLOW
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("exit", "exit 0 without a result"),
        ("exit-3", "exit 3"),
        ("crash", "SIGSEGV"),
        ("error", "exit 1"),
    ],
)
def test_a_trial_whose_workers_end_without_a_result_fails_and_the_search_goes_on(tmp_path, misbehave, how, reason):
    misbehave(f"1:1:always-{how}")
    record, deaths = told_run(tmp_path, "budget.trials=3")
    assert deaths == [reason] * 3
    assert record.trials[1].reason == f"worker died 3 times ({reason})"
    assert [trial.number for trial in record.trials if trial.state == "failed"] == [1]
