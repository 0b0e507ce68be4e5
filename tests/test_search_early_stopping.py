"""Trials that end by themselves, and the search around them."""

import pytest
from running import STUDY, at_epoch, make_study, outcome, run, stored

from search.errors import Interrupted
from search.explain import explanation
from search.retrain import epochs_for
from search.signals import StopRequest
from studies.plan import Retrain
from studies.records import TrialRecord

EARLY = (
    STUDY.replace("max_resource = 9", "min_resource = 9\nmax_resource = 81")
    + """
[early_stopping]
monitor = "val_accuracy"
patience = 1
"""
)


def early_study(folder):
    return make_study(folder, study=EARLY)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("early")
    return run(early_study(folder), folder / "runs")


def stopped(trial):
    """The epoch at which the accuracy first failed to rise."""
    curve = trial.history["val_accuracy"]
    return next((e for e in range(2, len(curve) + 1) if curve[e - 1] <= max(curve[: e - 1])), None)


def test_a_trial_that_stops_early_arrives_at_its_rungs_with_the_epochs_it_has(undisturbed):
    early = [trial for trial in undisturbed.trials if stopped(trial)]
    assert len(early) >= 3
    for trial in early:
        assert trial.epochs == stopped(trial) == len(trial.history["val_accuracy"])
        assert trial.value == max(trial.history["val_accuracy"])
        assert trial.rungs[max(trial.rungs)] == trial.value


def test_a_trial_that_stops_early_is_complete_where_its_value_takes_it_to_the_top(undisturbed):
    complete = [trial for trial in undisturbed.trials if trial.state == "complete" and stopped(trial)]
    assert complete
    for trial in complete:
        assert 81 in trial.rungs
        assert trial.epochs < 81
        assert trial.reason == f"early stopping at epoch {trial.epochs}"
        assert explanation(undisturbed, trial.number)["rungs"][-1]["verdict"] == "complete"


def test_every_other_trial_ends_as_ever(undisturbed):
    assert {trial.state for trial in undisturbed.trials} == {"complete", "pruned"}
    for trial in undisturbed.trials:
        if not stopped(trial):
            assert trial.epochs == max(trial.rungs)
        elif trial.state == "pruned":
            assert trial.reason == f"early stopping after {trial.epochs} epochs, outranked at its rung"


@pytest.mark.parametrize("epochs", [20, pytest.param(150, marks=pytest.mark.slow)])
def test_an_interrupted_search_ends_as_the_undisturbed_one(undisturbed, tmp_path, epochs):
    path, stop = early_study(tmp_path), StopRequest()
    with pytest.raises(Interrupted):
        run(path, tmp_path / "runs", observe=at_epoch(epochs, stop.set), stop=stop)
    assert outcome(run(path, tmp_path / "runs")) == outcome(undisturbed)


def test_a_trial_that_another_device_trains_anew_is_told_as_that_trained_it(tmp_path, monkeypatch):
    """Its checkpoint is lost; what the store has of it belongs to weights that are gone."""
    overrides, stop = ("hyperband.mode=none", "budget.trials=3", "early_stopping.patience=2"), StopRequest()

    def interrupt(kind, **fields):
        if kind == "epoch" and (fields["trial"], fields["epoch"]) == (1, 10):
            stop.set()

    path, out = early_study(tmp_path), tmp_path / "runs"
    monkeypatch.setenv("PYTHON_SLEEP_SECONDS", "0.01")  # else the trial may be through before the stop is heard
    with pytest.raises(Interrupted):
        run(path, out, *overrides, observe=interrupt, stop=stop)
    before = stored(out).trials[1].history["val_accuracy"]
    for checkpoint in (out / "tiny/trials").glob("00001/epoch-*"):
        checkpoint.unlink()
    monkeypatch.setenv("PYTHON_DEVICE", "1")
    told = []
    record = run(path, out, *overrides, observe=lambda kind, **fields: told.append(fields.get("text")))
    lost = "trial 1: its checkpoint is missing or damaged, so known epochs are trained again"
    assert [text for text in told if text] == [lost]
    assert not set(before) & set(record.trials[1].history["val_accuracy"])
    assert all(trial.reason == f"early stopping at epoch {trial.epochs}" for trial in record.trials)
    assert all(trial.test.gap == pytest.approx(0.01, abs=1e-6) for trial in record.trials)


@pytest.mark.parametrize("mode", ["none", pytest.param("stop", marks=pytest.mark.slow)])
def test_without_promotion_a_trial_that_stops_early_is_judged_and_completed_too(tmp_path, mode):
    record = run(early_study(tmp_path), tmp_path / "runs", f"hyperband.mode={mode}", "budget.trials=6")
    early = [trial for trial in record.trials if stopped(trial)]
    assert early
    assert all(trial.epochs == stopped(trial) for trial in early)
    complete = {trial.reason for trial in early if trial.state == "complete"}
    assert complete == {f"early stopping at epoch {trial.epochs}" for trial in early if trial.state == "complete"}
    if mode == "none":
        assert {trial.state for trial in record.trials} == {"complete"}


def test_retraining_with_another_seed_may_take_as_long_as_the_search_allowed():
    trial = TrialRecord(number=0, state="complete", epochs=12, best_epoch=7, rungs={9: 0.8, 27: 0.8, 81: 0.8})
    assert epochs_for(trial, Retrain(data="train"), (80, 20)) == 81
    assert epochs_for(trial, Retrain(), (80, 20)) == 6
