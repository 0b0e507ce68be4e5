"""Training as a worker does it, with real Keras; the tests run under TensorFlow and under JAX."""

import weakref

import keras
import numpy as np
import pytest

from search import machines, training
from search.blobs import FolderBlobs
from search.checkpoints import Checkpoints
from search.errors import SearchError
from search.messages import EvaluateJob, ExportJob, Task, TrainJob, TrialFailed, Workload
from search.models import initialise
from search.programs import InTurn
from search.programs.fit import FitProgram
from search.training import KerasTrainer
from studies.patience import EarlyStopping, Plateau

pytestmark = pytest.mark.backend

PARAMS = {
    "batch_size": 16,
    "loss": "sparse_categorical_crossentropy",
    "optimizer": "adam",
    "learning_rate": 0.01,
    "precision": "float32",
    "jit_compile": "auto",
    "layers": 1,
    "units": 8,
    "dropout": 0.3,
    "l1": 1e-4,
}
ROWS = 72  # four batches of 16 and a remainder of 8


@pytest.fixture
def blobs(tmp_path):
    return make_blobs(tmp_path)


def make_blobs(folder, validation=30):
    """Three classes of 4 x 4 images that a small network tells apart within some epochs."""
    rng, blobs = np.random.default_rng(0), FolderBlobs(folder)
    for name, rows in (("train", ROWS), ("validation", validation)):
        y = (np.arange(rows) % 3).astype(np.int32)
        x = rng.integers(0, 80, (rows, 4, 4)) + 80 * y[:, None, None]
        blobs.put_array(f"data/x_{name}.npy", x.astype(np.uint8))
        blobs.put_array(f"data/y_{name}.npy", y)
    return blobs


@pytest.fixture
def trainer(blobs):
    return make_trainer(blobs)


def make_trainer(blobs, **changes):
    told = {
        "blobs": blobs.address(),
        "model": "mlp",
        "monitor": "val_accuracy",
        "direction": "maximize",
        "classes": 3,
        "scale": 1 / 255,
        "offset": 0.0,
        "threads": 1,
        "resident_bytes": 10**9,
        "epochs": 5,
    }
    return KerasTrainer(Workload(**told | changes))


def train(trainer, to_epoch, params=PARAMS, *, trial=0, seed=5, known=0, structure="s", data="train", pause_at=99):
    """Train one trial that doesn't fail; its epochs' metrics."""
    events = job_events(trainer, to_epoch, params, trial, seed, known, structure, data, pause_at)
    for event in events:
        assert not isinstance(event, TrialFailed), event.details
    return [event.metrics for event in events]


def kept(trainer, params=PARAMS):
    """The checkpoint of trial 0."""
    task = Task(trial=0, folder="trials/0", params=params, seed=5)
    return Checkpoints(trainer._blobs, task.folder, task.identity).load()


def job_events(trainer, to_epoch, params, trial=0, seed=5, known=0, structure="s", data="train", pause_at=99):
    return cohort_events(trainer, to_epoch, {trial: params}, seed - trial, known, structure, data, pause_at)


def cohort_events(trainer, to_epoch, params, seed=5, known=0, structure="s", data="train", pause_at=99):
    """What is told of a job of several trials: params by number; a trial's seed is `seed` plus its number."""
    tasks = [
        Task(trial=trial, folder=f"trials/{trial}", params=own, seed=seed + trial, known_epochs=known)
        for trial, own in params.items()
    ]
    events = []
    job = TrainJob(structure=structure, tasks=tasks, to_epoch=to_epoch, data=data)
    trainer.train(job, events.append, lambda: len(events) >= pause_at)
    return events


def train_cohort(trainer, to_epoch, params, **options):
    """Train trials that don't fail together; each one's metrics, epoch by epoch."""
    epochs = {trial: [] for trial in params}
    for event in cohort_events(trainer, to_epoch, params, **options):
        assert not isinstance(event, TrialFailed), event.details
        epochs[event.trial].append(event.metrics)
    return epochs


def assert_equal(ours, theirs, tolerance=1e-5):
    assert [sorted(epoch) for epoch in ours] == [sorted(epoch) for epoch in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(other, abs=tolerance)


OPTIMIZERS = [
    {},
    {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.05},
    {"optimizer": "sgd"},
    {"optimizer": "rmsprop"},
    {"optimizer": "adamw", "weight_decay": 0.01},
    {"loss": "categorical_crossentropy"},
    {"loss": "mean_squared_error"},
    {"batch_norm": True, "bias": False},  # a bias has no gradient there but rounding, which adam makes steps of
    {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "learning_rate": 0.05},
    {"schedule": "step", "schedule_every": 1, "schedule_factor": 0.5},
    {"optimizer": "sgd", "schedule": "exponential", "schedule_every": 4, "schedule_unit": "step"},
    {"optimizer": "rmsprop", "schedule": "cosine"},
]


@pytest.mark.parametrize("changes", OPTIMIZERS, ids=lambda changes: "-".join(map(str, changes.values())) or "adam")
def test_a_program_trains_as_fit_does(blobs, tmp_path, changes, monkeypatch):
    params = PARAMS | changes
    ours = train(make_trainer(blobs), 3, params)
    monkeypatch.setattr(training, "build_program", lambda model, batch_size, **_: FitProgram(model, batch_size))
    theirs = train(make_trainer(blobs), 3, params, trial=1)
    assert ours[-1].keys() == {"train_loss", "train_accuracy", "val_loss", "val_accuracy"}
    assert_equal(ours, theirs, tolerance=1e-4 if "batch_norm" in changes else 1e-5)


def widths_trained(folder, changes, *widths):
    """The epochs of the last of some networks, each trained after the others, and the trainer."""
    trainer = make_trainer(make_blobs(folder))
    for trial, (first, second) in enumerate(widths):
        params = PARAMS | {"layers": 2, "units_0": first, "units_1": second} | changes
        epochs = train(trainer, 3, params, trial=trial, structure=f"{first}, {second}")
    return epochs, trainer


def graphs_of(trainer):
    """The graphs of training and of validation that a trainer's programs have."""
    programs = [machine.program for machine in trainer._machines.values()]
    return {one.graphs.training.graph for one in programs}, {one.graphs.validation.graph for one in programs}


def traces(graphs):
    """How often they were traced."""
    return sum(graph.experimental_get_tracing_count() for graph in graphs)


def filters_trained(folder, changes, *widths):
    """The same of convolutional networks."""
    trainer = make_trainer(make_blobs(folder), model="cnn")
    for trial, (first, second, units) in enumerate(widths):
        params = PARAMS | {"blocks": 2, "filters_0": first, "filters_1": second, "units": units} | changes
        epochs = train(trainer, 3, params, trial=trial, structure=f"{first}, {second}, {units}")
    return epochs, trainer


OF_TENSORFLOW = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX compiles for each width")
OF_TRAINING = [{"optimizer": "sgd"}, {"batch_size": 8}, {"class_weight": "balanced"}]  # but not of a validation
LAYERS = [{"activity_l1": 1e-3}, {"bias_1": False}, {"activation": "tanh"}, {"class_weight": "balanced"}]


@OF_TENSORFLOW
@pytest.mark.parametrize("changes", [*OPTIMIZERS, *LAYERS], ids=lambda changes: "-".join(map(str, changes.values())))
def test_a_network_trains_the_same_after_networks_of_other_widths(tmp_path, changes):
    alone, _ = widths_trained(tmp_path / "alone", changes, (8, 6))
    after, trainer = widths_trained(tmp_path / "after", changes, (3, 12), (7, 2), (8, 6))
    assert after == alone
    assert [traces(graphs) for graphs in graphs_of(trainer)] == [1, 1]


@OF_TENSORFLOW
@pytest.mark.parametrize(
    "changes",
    [
        {"batch_norm": True},
        {"bias": False, "optimizer": "sgd", "momentum": 0.9},
        {"padding": "valid", "kernel_size": 2, "pool": 1, "optimizer": "rmsprop", "activation": "tanh"},
        {"precision": "mixed_bfloat16"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_a_convolutional_network_trains_the_same_after_networks_of_other_widths(tmp_path, changes):
    alone, _ = filters_trained(tmp_path / "alone", changes, (8, 6, 5))
    after, trainer = filters_trained(tmp_path / "after", changes, (3, 12, 4), (7, 2, 9), (8, 6, 5))
    assert after == alone
    assert [traces(graphs) for graphs in graphs_of(trainer)] == [1, 1]


@OF_TENSORFLOW
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_a_network_goes_on_the_same_after_one_of_other_widths_that_uses_its_variables(tmp_path, optimizer):
    params, other = (PARAMS | {"optimizer": optimizer, "units": units} for units in (8, 13))
    alone = train(make_trainer(make_blobs(tmp_path / "alone")), 4, params)
    trainer = make_trainer(make_blobs(tmp_path / "together"))
    for known in (0, 2):
        ours = train(trainer, known + 2, params, known=known, structure="8")
        train(trainer, known + 2, other, trial=1, known=known, structure="13")
    assert ours == alone[2:]


@OF_TENSORFLOW
def test_networks_that_differ_in_more_than_widths_have_a_trace_each(tmp_path):
    trainer = make_trainer(make_blobs(tmp_path))
    others = [{}, {"layers": 2}, {"activation": "tanh"}, {"bias": False}, {"loss": "mean_squared_error"}, *OF_TRAINING]
    for trial, changes in enumerate(others):
        train(trainer, 1, PARAMS | changes, trial=trial, structure=str(trial))
    trainings, validations = graphs_of(trainer)
    assert len(trainings) == len(others)
    assert len(validations) == len(others) - len(OF_TRAINING)


@OF_TENSORFLOW
def test_a_network_is_validated_the_same_by_the_graph_of_one_with_another_optimizer(tmp_path):
    params = PARAMS | {"optimizer": "rmsprop", "units": 12}
    alone = train(make_trainer(make_blobs(tmp_path / "alone")), 3, params)
    trainer = make_trainer(make_blobs(tmp_path / "after"))
    for trial, changes in enumerate(OF_TRAINING):
        train(trainer, 2, PARAMS | changes, trial=trial + 1, structure=str(trial))
    assert train(trainer, 3, params) == alone
    assert [traces(graphs) for graphs in graphs_of(trainer)] == [len(OF_TRAINING) + 1, 1]


def test_a_network_with_batch_normalisation_is_judged_fairly_after_few_steps(trainer):
    epochs = train(trainer, 10, PARAMS | {"batch_norm": True, "units": 32, "dropout": 0.0})
    assert epochs[-1]["val_accuracy"] > 0.9  # by a momentum of 0.99, Keras's, a third after these fifty steps


def test_training_learns(trainer):
    epochs = train(trainer, 20)
    assert epochs[-1]["val_accuracy"] > 0.85 > epochs[0]["val_accuracy"]


def test_the_same_seed_gives_the_same_trial_and_another_seed_another(blobs):
    first, second = train(make_trainer(blobs), 2), train(make_trainer(blobs), 2, trial=1)
    assert_equal(first, second, tolerance=0)
    assert train(make_trainer(blobs), 2, trial=2, seed=6) != first


def test_a_trial_on_a_used_program_is_the_trial_on_a_new_one(blobs, trainer):
    other = PARAMS | {"dropout": 0.1, "learning_rate": 0.05, "l1": 0.01}
    train(trainer, 3, other, trial=1, seed=9)
    again = train(trainer, 3, trial=2)
    assert len(trainer._machines) == 1
    assert_equal(again, train(make_trainer(blobs), 3, trial=3), tolerance=1e-7)


def test_scalar_parameters_change_the_result_without_a_new_program(trainer):
    plain = train(trainer, 2)
    for trial, change in enumerate(({"dropout": 0.0}, {"learning_rate": 0.1}, {"l1": 0.1}), start=1):
        changed = train(trainer, 2, PARAMS | change, trial=trial)
        assert changed[0]["train_loss"] != pytest.approx(plain[0]["train_loss"], abs=1e-4)
    assert len(trainer._machines) == 1


def test_a_schedule_s_numbers_change_the_result_without_a_new_program(trainer):
    params = PARAMS | {"schedule": "step", "schedule_every": 1, "schedule_factor": 0.5}
    first = train(trainer, 3, params)
    for trial, change in enumerate(({"schedule_every": 2}, {"schedule_factor": 0.1}, {"learning_rate": 0.02}), start=1):
        changed = train(trainer, 3, params | change, trial=trial)
        assert changed[2]["train_loss"] != pytest.approx(first[2]["train_loss"], abs=1e-4)
    assert len(trainer._machines) == 1


def test_a_rate_that_falls_to_nothing_ends_learning(trainer):
    params = PARAMS | {"schedule": "step", "schedule_every": 2, "schedule_factor": 1e-9}
    _, second, third, fourth = (epoch["val_loss"] for epoch in train(trainer, 4, params))
    assert second == pytest.approx(third, abs=1e-6) == pytest.approx(fourth, abs=1e-6)


def test_a_schedule_by_epochs_acts_at_the_same_step_whatever_is_trained_on(blobs):
    """An epoch of training and validation data has 7 batches and one of the training split 5."""
    params = PARAMS | {"schedule": "step", "schedule_every": 1, "schedule_factor": 0.5, "schedule_unit": "epoch"}
    by_step = params | {"schedule_every": 5, "schedule_unit": "step"}
    both = {"data": "train+validation"}
    assert_equal(train(make_trainer(blobs), 3, params, **both), train(make_trainer(blobs), 3, by_step, trial=1, **both))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "sgd", "momentum": 0.9},
        {"batch_norm": True},
        {"schedule": "exponential", "schedule_every": 3, "schedule_factor": 0.3},
    ],
)
def test_a_trial_in_two_workers_is_the_trial_in_one(blobs, changes):
    params = PARAMS | changes
    whole = train(make_trainer(blobs), 5, params)
    parts = train(make_trainer(blobs), 2, params, trial=1)
    parts += train(make_trainer(blobs), 5, params, trial=1, known=2)
    assert_equal(parts, whole, tolerance=1e-7)


def test_epochs_that_the_supervisor_missed_are_told_again(blobs):
    whole = train(make_trainer(blobs), 3)
    assert_equal(train(make_trainer(blobs), 3, known=1), whole[1:], tolerance=0)


def test_a_paused_trial_stops_after_the_epoch_under_way(trainer):
    assert len(train(trainer, 9, pause_at=2)) == 2
    assert kept(trainer)[0].epoch == 2


def test_the_best_epoch_is_what_is_evaluated(trainer, blobs):
    epochs = train(trainer, 8, PARAMS | {"learning_rate": 0.3})
    accuracies = [epoch["val_accuracy"] for epoch in epochs]
    best = accuracies.index(max(accuracies)) + 1
    task = Task(trial=0, folder="trials/0", params=PARAMS | {"learning_rate": 0.3}, seed=5)
    arrays = {"x": "data/x_validation.npy", "y": "data/y_validation.npy"}
    done = trainer.evaluate(EvaluateJob(structure="s", task=task, best_epoch=best, **arrays))
    assert done.metrics["accuracy"] == pytest.approx(max(accuracies))
    assert done.metrics["loss"] == pytest.approx(epochs[best - 1]["val_loss"], abs=1e-5)


def test_the_exported_model_is_plain_keras_with_the_best_weights(trainer, blobs, tmp_path):
    epochs = train(trainer, 3)
    best = max(range(3), key=lambda index: epochs[index]["val_accuracy"]) + 1
    task = Task(trial=0, folder="trials/0", params=PARAMS, seed=5)
    trainer.export(ExportJob(structure="s", task=task, best_epoch=best, output="best.keras"))
    model = keras.models.load_model(tmp_path / "best.keras")
    x, y = blobs.array("data/x_validation.npy"), blobs.array("data/y_validation.npy")
    accuracy = np.mean(np.argmax(model.predict(np.asarray(x), verbose=0), axis=1) == y)
    assert accuracy == pytest.approx(epochs[best - 1]["val_accuracy"])
    assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}


def test_training_and_validation_data_together_have_no_validation(trainer):
    epochs = train(trainer, 2, data="train+validation")
    assert epochs[0].keys() == {"train_loss", "train_accuracy"}
    assert kept(trainer)[0].best_epoch == 2


def test_weights_are_counted_without_scalar_parameters(trainer):
    task = Task(trial=0, folder="trials/0", params=PARAMS, seed=5)
    done = trainer.train(TrainJob(structure="s", tasks=[task], to_epoch=1), lambda event: None, lambda: False)
    assert done.weights == 16 * 8 + 8 + 8 * 3 + 3


def test_weighted_f1_can_be_the_monitor(blobs):
    epochs = train(make_trainer(blobs, monitor="val_f1"), 2)
    assert {"val_f1", "train_f1"} <= epochs[0].keys()


def test_a_metric_that_is_no_number_ends_the_trial_with_its_name_and_epoch(trainer):
    *_, failure = job_events(trainer, 9, PARAMS | {"learning_rate": 1e30})
    assert isinstance(failure, TrialFailed)
    assert "nan at epoch" in failure.reason or "inf at epoch" in failure.reason


def test_a_metric_that_vanishes_fails_its_trial_alone(trainer, monkeypatch):
    epoch = trainer._epoch

    def vanishing(machine, cohort, members, *data):
        found = epoch(machine, cohort, members, *data)
        return [{"train_loss": 1.0} if members[0].epoch == 3 else one for one in found]

    monkeypatch.setattr(trainer, "_epoch", vanishing)
    *told, failure = job_events(trainer, 9, PARAMS)
    assert [event.epoch for event in told] == [1, 2]
    assert failure.reason == "train_accuracy is not reported at epoch 3"


def test_a_monitor_that_the_model_does_not_report_is_refused_after_one_epoch(blobs):
    with pytest.raises(SearchError, match=r"objective.monitor.*'val_auc'.*it reports .*val_accuracy"):
        train(make_trainer(blobs, monitor="val_auc"), 3)


COHORT = {
    1: {"dropout": 0.3, "l1": 1e-4, "learning_rate": 0.01},
    2: {"dropout": 0.0, "l1": 1e-2, "learning_rate": 0.03},
    3: {"dropout": 0.5, "l1": 1e-6, "learning_rate": 0.001},
    4: {"dropout": 0.1, "l1": 1e-3, "learning_rate": 0.1},
    5: {"dropout": 0.4, "l1": 1e-5, "learning_rate": 0.005},
}


def cohort_of(*trials, **changes):
    return {trial: PARAMS | COHORT[trial] | changes for trial in trials}


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


ON_ACCURACY = EarlyStopping(monitor="val_accuracy", patience=4)
WAITS = [
    {"early_stopping": EarlyStopping(patience=2, monitor="val_accuracy")},
    {"plateau": Plateau(monitor="val_accuracy", patience=1, factor=0.3, min_learning_rate=0.03)},
    {"early_stopping": ON_ACCURACY, "plateau": Plateau(monitor="val_accuracy", patience=2, factor=0.5)},
]


@pytest.mark.parametrize("waits", WAITS, ids=["stop", "reduce", "both"])
def test_waiting_is_that_of_keras_s_callbacks_in_fit(blobs, waits):
    """A rate so high that accuracy goes up and down; one batch an epoch, so that its order doesn't matter."""
    params = PARAMS | {"dropout": 0.0, "learning_rate": 0.3, "batch_size": ROWS}
    trainer = make_trainer(blobs, **waits)
    ours = train(trainer, 14, params)
    model = trainer._machines["s"].model
    initialise(model, 5)
    model.optimizer.learning_rate = params["learning_rate"]
    callbacks = []
    if stop := waits.get("early_stopping"):
        callbacks.append(keras.callbacks.EarlyStopping(stop.monitor, patience=stop.patience))
    if plateau := waits.get("plateau"):
        options = {"factor": plateau.factor, "patience": plateau.patience, "min_lr": plateau.min_learning_rate}
        callbacks.append(keras.callbacks.ReduceLROnPlateau(plateau.monitor, **options))
    train_split, held_out = (
        [np.asarray(blobs.array(f"data/{name}_{split}.npy")) for name in "xy"] for split in ("train", "validation")
    )
    options = {"batch_size": ROWS, "epochs": 14, "validation_data": held_out, "callbacks": callbacks, "verbose": 0}
    history = model.fit(*train_split, **options).history
    for metric in ("val_loss", "val_accuracy"):
        np.testing.assert_allclose([epoch[metric] for epoch in ours], history[metric], atol=1e-4)
    assert ("early_stopping" in waits) == (len(ours) < 14)
    if plateau:
        assert min(history["learning_rate"]) < 0.2


@pytest.mark.parametrize("cut", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_a_trial_that_waits_goes_on_after_a_kill_as_if_there_had_been_none(blobs, cut):
    waits = {"early_stopping": ON_ACCURACY, "plateau": Plateau(monitor="val_accuracy", patience=1, factor=0.5)}
    params = PARAMS | {"learning_rate": 0.2}
    whole = train(make_trainer(blobs, **waits), 14, params)
    assert cut < len(whole) < 14
    parts = train(make_trainer(blobs, **waits), cut, params, trial=1)
    parts += train(make_trainer(blobs, **waits), 14, params, trial=1, known=cut)
    assert_equal(parts, whole, tolerance=1e-7)
    assert train(make_trainer(blobs, **waits), 14, params, trial=1, known=len(whole)) == []


@pytest.mark.slow
def test_the_seeds_of_a_trial_wait_together(blobs):
    """Their mean decides when the trial ends and when its rate falls."""
    waits = {"early_stopping": ON_ACCURACY, "plateau": Plateau(monitor="val_accuracy", patience=1, factor=1e-9)}
    _, events = seeds_events(make_trainer(blobs, **waits), 40)
    history = {"val_accuracy": [event.metrics["val_accuracy"] for event in events]}
    assert ON_ACCURACY.stopped(history) == len(events) < 40
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


def test_without_validation_the_rate_falls_where_the_task_says(blobs):
    """Reductions come after the whole epochs that a task names; a rate of 1e-9 trains nothing."""
    trainer = make_trainer(blobs, plateau=Plateau(patience=1, factor=1e-9), early_stopping=EarlyStopping(patience=1))
    task = Task(trial=0, folder="trials/0", params=PARAMS | {"dropout": 0.0}, seed=5, reduced_after=[2])
    events = []
    job = TrainJob(structure="s", tasks=[task], to_epoch=4, data="train+validation")
    trainer.train(job, events.append, lambda: False)
    first, second, third, fourth = (event.metrics["train_loss"] for event in events)
    assert first > second > third == pytest.approx(fourth, abs=1e-6)


def test_many_rows_are_validated_as_fit_does(tmp_path, monkeypatch):
    large = make_blobs(tmp_path, validation=1100)  # two batches of 512 and a remainder
    ours = train(make_trainer(large), 1)
    monkeypatch.setattr(training, "build_program", lambda model, batch_size, **_: FitProgram(model, batch_size))
    assert_equal(ours, train(make_trainer(large), 1, trial=1))


def test_a_model_that_cannot_be_built_fails_its_trial_alone(trainer):
    (failure,) = job_events(trainer, 1, PARAMS | {"activation": "no_such"}, structure="other")
    assert isinstance(failure, TrialFailed)
    assert "no_such" in failure.reason + failure.details
    assert len(train(trainer, 1, trial=1)) == 1


def test_data_too_large_for_the_device_is_trained_by_fit(blobs):
    trainer = make_trainer(blobs, resident_bytes=10)
    assert_equal(train(trainer, 2), train(make_trainer(blobs), 2, trial=1))
    assert [type(machine.program) for machine in trainer._machines.values()] == [FitProgram]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX compiles always")
def test_xla_gives_the_same_trial(blobs):
    params = PARAMS | {"dropout": 0.0}  # XLA draws other random numbers from the same seed
    assert_equal(
        train(make_trainer(blobs), 2, params | {"jit_compile": True}), train(make_trainer(blobs), 2, params, trial=1)
    )


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_keeps_weights_in_full(trainer, precision):
    epochs = train(trainer, 2, PARAMS | {"precision": precision}, structure=precision)
    assert all(np.isfinite(value) for value in epochs[-1].values())
    _, state = kept(trainer, PARAMS | {"precision": precision})
    assert state[0].dtype == np.float32


def test_class_weights_are_those_of_fit(blobs, monkeypatch):
    rows = np.arange(ROWS)
    labels = np.where(rows % 6 == 0, 1, np.where(rows % 6 == 1, 2 * (rows % 4 == 1), 0))
    blobs.put_array("data/y_train.npy", labels.astype(np.int32))
    params = PARAMS | {"dropout": 0.0, "class_weight": "balanced"}
    program = train(make_trainer(blobs), 2, params)
    unweighted = train(make_trainer(blobs), 2, PARAMS | {"dropout": 0.0}, trial=1)
    fit = train(make_trainer(blobs, resident_bytes=0), 2, params, trial=2)
    for ours, keras_own, plain in zip(program, fit, unweighted, strict=True):
        assert ours == pytest.approx(keras_own, abs=1e-5)
        assert ours["train_loss"] != pytest.approx(plain["train_loss"], abs=1e-3)
