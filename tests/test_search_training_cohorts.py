"""Trials that train together, and those of several seeds; the tests run under TensorFlow and under JAX."""

import weakref

import keras
import numpy as np
import pytest
from trainers import PARAMS, assert_equal, cohort_events, make_trainer, make_workload, train, train_cohort

from search import machines, training
from search.messages import EvaluateJob, Task, TrainJob, TrialFailed
from search.programs import InTurn
from search.programs.fit import FitProgram
from search.worker import _keras_trainer
from studies.patience import EarlyStopping, Plateau

pytestmark = pytest.mark.backend


COHORT = {
    1: {"dropout": 0.3, "l1": 1e-4, "learning_rate": 0.01},
    2: {"dropout": 0.0, "l1": 1e-2, "learning_rate": 0.03},
    3: {"dropout": 0.5, "l1": 1e-6, "learning_rate": 0.001},
    4: {"dropout": 0.1, "l1": 1e-3, "learning_rate": 0.1},
    5: {"dropout": 0.4, "l1": 1e-5, "learning_rate": 0.005},
}


def cohort_of(*trials, **changes):
    return {trial: PARAMS | COHORT[trial] | changes for trial in trials}


def test_a_worker_says_how_many_trials_it_trains_together(blobs, monkeypatch):
    monkeypatch.setattr("search.programs.limit_threads", lambda threads: None)  # of this process they are set already
    ready = [_keras_trainer(make_workload(blobs))[1]]
    monkeypatch.setattr(training, "faster_together", lambda: 16)
    ready += [_keras_trainer(make_workload(blobs, resident_bytes=size))[1] for size in (10**9, 0)]
    assert [one.cohort for one in ready] == [1, 16, 1]  # on cores, on a GPU, and with data that it has no room for


@pytest.mark.parametrize(
    "changes", [{}, {"optimizer": "sgd", "momentum": 0.9}, {"batch_norm": True}, {"schedule": "cosine"}]
)
def test_a_cohort_trains_as_each_of_its_trials_does_alone(blobs, changes):
    trials = cohort_of(1, 2, 3, **changes)
    if "momentum" in changes:
        trials[2]["momentum"] = 0.5
    together = train_cohort(make_trainer(blobs), 3, trials)
    alone = make_trainer(blobs)
    for trial, params in trials.items():
        ours = train(alone, 3, params, trial=10 + trial, seed=5 + trial)
        assert_equal(together[trial], ours, tolerance=1e-3 if "batch_norm" in changes else 1e-5)


def test_a_cohort_that_is_too_large_for_the_memory_is_trained_in_smaller_ones_and_no_larger_one_is_tried_again(
    blobs, monkeypatch
):
    trials = cohort_of(1, 2, 3, 4, 5)
    alone = {trial: train(make_trainer(blobs), 2, params, seed=5 + trial) for trial, params in trials.items()}
    trainer, tried, failed = make_trainer(blobs), [], []
    epoch = trainer._epoch

    def short_of_memory(machine, cohort, members, data):
        tried.append(len(members))
        assert [cohort() for cohort in failed] == [None] * len(failed)  # what it had on the device is free again
        if len(members) > 2:
            failed.append(weakref.ref(cohort))
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 GiB.")
        return epoch(machine, cohort, members, data)

    monkeypatch.setattr(trainer, "_epoch", short_of_memory)
    for first in (10, 20):
        together = train_cohort(trainer, 2, {first + trial: own for trial, own in trials.items()}, seed=5 - first)
        for trial in trials:
            assert_equal(together[first + trial], alone[trial])
    assert [members for members in tried if members > 2] == ([5] if keras.backend.backend() == "jax" else [])


def test_seeds_that_are_too_many_for_the_memory_take_turns(blobs, monkeypatch):
    monkeypatch.setattr(training, "faster_together", lambda: 16)
    monkeypatch.setattr(machines, "faster_together", lambda: 16)
    _, expected = seeds_events(make_trainer(blobs), 2)
    trainer = make_trainer(blobs)
    epoch = trainer._epoch

    def short_of_memory(machine, cohort, *rest):
        if not isinstance(cohort, InTurn):
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 GiB.")
        return epoch(machine, cohort, *rest)

    monkeypatch.setattr(trainer, "_epoch", short_of_memory)
    _, events = seeds_events(trainer, 2, trial=21)
    assert_equal([event.metrics for event in events], [event.metrics for event in expected])
    assert [type(event) for event in seeds_events(trainer, 2, trial=22, seeds=1)[1]] == [TrialFailed]


def test_a_large_cohort_trains_as_fit_does(blobs, monkeypatch):
    together = train_cohort(make_trainer(blobs), 2, cohort_of(1, 2, 3, 4, 5))
    monkeypatch.setattr(training, "build_program", lambda model, batch_size, **_: FitProgram(model, batch_size))
    by_fit = make_trainer(blobs)
    for trial, params in cohort_of(1, 5).items():
        assert_equal(together[trial], train(by_fit, 2, params, trial=10 + trial, seed=5 + trial))


def test_trials_go_on_from_their_checkpoints_beside_any_others(blobs):
    trials = cohort_of(1, 2, 3, optimizer="sgd", momentum=0.9)
    whole = train_cohort(make_trainer(blobs), 4, trials)
    parts = make_trainer(blobs)
    begun = train_cohort(parts, 1, {11: trials[1], 12: trials[2]}, seed=-5)
    begun |= train_cohort(parts, 2, {13: trials[3]}, seed=-5)
    ended = train_cohort(make_trainer(blobs), 4, {12: trials[2], 13: trials[3], 11: trials[1]}, seed=-5, known=2)
    for trial in (1, 2, 3):
        assert_equal((begun[10 + trial] + ended[10 + trial])[-4:], whole[trial][-4:])


def test_a_trial_that_diverges_fails_and_leaves_its_cohort_as_it_is(blobs):
    trials = cohort_of(1, 2, 3)
    whole = train_cohort(make_trainer(blobs), 3, trials)
    trials[2]["learning_rate"] = 1e30
    events = cohort_events(make_trainer(blobs), 3, {trial + 10: own for trial, own in trials.items()}, seed=-5)
    (failure,) = [event for event in events if isinstance(event, TrialFailed)]
    assert failure.trial == 12
    assert "epoch" in failure.reason
    for trial in (1, 3):
        assert_equal([e.metrics for e in events if e.trial == 10 + trial], whole[trial])


def test_when_a_cohort_runs_into_an_error_no_epoch_is_told_twice_and_what_has_diverged_is_not_tried_again(
    blobs, monkeypatch
):
    trials, trainer = cohort_of(1, 2, 3), make_trainer(blobs)
    trials[2]["learning_rate"] = 1e30
    epoch = trainer._epoch

    def broken(machine, cohort, members, data):
        if len(members) > 1 and members[1].failed:
            raise RuntimeError("the device is lost")
        return epoch(machine, cohort, members, data)

    monkeypatch.setattr(trainer, "_epoch", broken)
    events = cohort_events(trainer, 3, trials)
    assert [event.trial for event in events if isinstance(event, TrialFailed)] == [2]
    told = sorted((event.trial, event.epoch) for event in events if event.trial != 2)
    assert told == [(trial, epoch) for trial in (1, 3) for epoch in (1, 2, 3)]


def test_a_trial_that_cannot_begin_fails_and_its_cohort_trains_without_it(trainer):
    trials = cohort_of(1, 2, 3)
    trials[2]["dropout"] = 1.5
    events = cohort_events(trainer, 2, trials)
    (failure,) = [event for event in events if isinstance(event, TrialFailed)]
    assert (failure.trial, "params.dropout" in failure.reason) == (2, True)
    assert {(event.trial, event.epoch) for event in events if event is not failure} == {(1, 1), (1, 2), (3, 1), (3, 2)}


def test_a_paused_cohort_ends_the_epoch_of_each_trial_that_has_begun_it(trainer):
    events = cohort_events(trainer, 9, cohort_of(1, 2, 3), pause_at=4)
    epochs = {trial: [event.epoch for event in events if event.trial == trial] for trial in (1, 2, 3)}
    together = trainer._machines["s"].program.capacity >= 3
    assert epochs == ({1: [1, 2], 2: [1, 2], 3: [1, 2]} if together else {1: [1, 2, 3, 4], 2: [], 3: []})


def seeds_events(trainer, to_epoch, params=PARAMS, *, known=0, seeds=3, trial=20):
    """What is told of a trial that is trained with several seeds, the first of which is 5."""
    events, folder = [], f"trials/{trial}"
    task = Task(trial=trial, folder=folder, params=params, seed=5, seeds=seeds, known_epochs=known)
    trainer.train(TrainJob(structure="s", tasks=[task], to_epoch=to_epoch), events.append, lambda: False)
    return task, events


@pytest.mark.parametrize("together", [False, True])
def test_a_trial_of_several_seeds_is_the_mean_of_trials_with_these_seeds(blobs, monkeypatch, together):
    if together and keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow trains one at a time")
    monkeypatch.setattr(training, "faster_together", lambda: 16 if together else 1)
    trainer = make_trainer(blobs)
    task, events = seeds_events(trainer, 3)
    each = [train(trainer, 3, trial=place, seed=seed) for place, seed in enumerate(task.each_seed)]
    assert task.each_seed[0] == 5
    for epoch, event in enumerate(events):
        values = [own[epoch]["val_accuracy"] for own in each]
        assert event.metrics["val_accuracy"] == pytest.approx(np.mean(values), abs=1e-5)
        assert event.metrics["val_accuracy_spread"] == pytest.approx(np.std(values, ddof=1), abs=1e-5)
        assert event.metrics["train_loss"] == pytest.approx(np.mean([own[epoch]["train_loss"] for own in each]), 1e-4)


def test_a_trial_of_several_seeds_goes_on_from_its_checkpoint(blobs):
    _, whole = seeds_events(make_trainer(blobs), 3)
    _, begun = seeds_events(make_trainer(blobs), 1, trial=21)
    _, ended = seeds_events(make_trainer(blobs), 3, trial=21, known=1)
    assert_equal([event.metrics for event in begun + ended], [event.metrics for event in whole], tolerance=1e-6)


def test_the_best_weights_of_every_seed_are_scored_and_averaged(trainer):
    task, events = seeds_events(trainer, 4, PARAMS | {"learning_rate": 0.3})
    accuracies = [event.metrics["val_accuracy"] for event in events]
    best = accuracies.index(max(accuracies)) + 1
    arrays = {"x": "data/x_validation.npy", "y": "data/y_validation.npy"}
    done = trainer.evaluate(EvaluateJob(structure="s", task=task, best_epoch=best, **arrays))
    assert done.metrics["accuracy"] == pytest.approx(max(accuracies))


def test_a_trial_fails_where_one_of_its_seeds_does(trainer):
    _, (failure,) = seeds_events(trainer, 3, PARAMS | {"learning_rate": 1e30})
    assert isinstance(failure, TrialFailed)
    assert "epoch" in failure.reason


@pytest.mark.slow
def test_the_seeds_of_a_trial_wait_together(blobs):
    """Their mean decides when the trial ends and when its rate falls."""
    on_accuracy = EarlyStopping(monitor="val_accuracy", patience=4)
    waits = {"early_stopping": on_accuracy, "plateau": Plateau(monitor="val_accuracy", patience=1, factor=1e-9)}
    _, events = seeds_events(make_trainer(blobs, **waits), 40)
    history = {"val_accuracy": [event.metrics["val_accuracy"] for event in events]}
    assert on_accuracy.stopped(history) == len(events) < 40
    after = waits["plateau"].reductions(history)[0]
    last = [event.metrics["val_loss"] for event in events[after - 1 :]]
    assert last == pytest.approx([last[0]] * len(last), abs=1e-6)


def test_a_cohort_waits_as_each_of_its_trials_does_alone(blobs):
    waits = {"early_stopping": EarlyStopping(patience=2), "plateau": Plateau(patience=1, factor=0.1)}
    trials = {trial: PARAMS | {"learning_rate": rate} for trial, rate in ((1, 0.3), (2, 0.001), (3, 0.1))}
    together = train_cohort(make_trainer(blobs, **waits), 9, trials)
    alone = make_trainer(blobs, **waits)
    for trial, params in trials.items():
        assert_equal(together[trial], train(alone, 9, params, trial=10 + trial, seed=5 + trial))
    assert len({len(epochs) for epochs in together.values()}) > 1
