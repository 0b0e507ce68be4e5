"""Training as a worker does it, with real Keras; the tests run under TensorFlow and under JAX."""

import gc
import random
import tempfile

import keras
import numpy as np
import pytest
from trainers import COMPILED, PARAMS, ROWS, assert_equal, job_events, kept, make_blobs, make_trainer, train

from search import machines, training
from search.blobs import FolderBlobs
from search.checkpoints import Checkpoints
from search.errors import SearchError
from search.messages import EvaluateJob, ExportJob, Task, TrainJob, TrialFailed
from search.models import keras_file
from search.models.weights import initialise
from search.programs.fit import FitProgram
from studies.patience import EarlyStopping, Plateau

pytestmark = pytest.mark.backend


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
def test_a_dense_network_trains_the_same_between_convolutional_ones(tmp_path):
    """Graphs of convolutions alone are rewritten by TensorFlow; in half precision a rewritten one rounds otherwise."""
    params = PARAMS | {"blocks": 0, "batch_norm": True, "precision": "mixed_bfloat16"}
    alone = train(make_trainer(make_blobs(tmp_path / "alone"), model="cnn"), 2, params)
    trainer = make_trainer(make_blobs(tmp_path / "between"), model="cnn")
    between = train(trainer, 1, params)
    train(trainer, 1, params | {"blocks": 1}, trial=1, structure="convolutional")
    between += train(trainer, 2, params, known=1)
    assert between == alone


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


def test_a_trial_goes_on_after_a_backend_that_counts_its_steps_in_integers_of_another_size(blobs):
    """TensorFlow counts in 64 bits and JAX in 32."""
    whole = train(make_trainer(blobs), 3)
    train(make_trainer(blobs), 1, trial=1)
    task = Task(trial=1, folder="trials/1", params=PARAMS, seed=5)
    checkpoints = Checkpoints(blobs, task.folder, task.identity)
    progress, state = checkpoints.load()
    other = {np.dtype("int32"): np.dtype("int64"), np.dtype("int64"): np.dtype("int32")}
    assert {tensor.dtype for tensor in state} & other.keys()
    checkpoints.save(progress, [tensor.astype(other.get(tensor.dtype, tensor.dtype)) for tensor in state], None)
    assert_equal(train(make_trainer(blobs), 3, trial=1, known=1), whole[1:], tolerance=1e-7)


def test_the_checkpoint_at_a_rung_alone_waits_for_the_disk(trainer, monkeypatch):
    put, durably = FolderBlobs.put, {}

    def note(blobs, key, *parts, durable=False):
        durably[key] = durable
        put(blobs, key, *parts, durable=durable)

    monkeypatch.setattr(FolderBlobs, "put", note)
    train(trainer, 3)
    states = [durable for key, durable in durably.items() if "/epoch-" in key]
    assert states == [False, False, True]


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


def test_a_model_that_cannot_be_written_down_is_the_environment_s_fault(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/no/such/folder")
    with pytest.raises(SearchError, match=r"temporary files cannot be written \(No such file.*TMPDIR") as caught:
        keras_file(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
    assert caught.value.exit_code == 3


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


def test_without_validation_the_rate_falls_where_the_task_says(blobs):
    """Reductions come after the whole epochs that a task names; a rate of 1e-9 trains nothing."""
    trainer = make_trainer(blobs, plateau=Plateau(patience=1, factor=1e-9), early_stopping=EarlyStopping(patience=1))
    task = Task(trial=0, folder="trials/0", params=PARAMS | {"dropout": 0.0}, seed=5, reduced_after=[2])
    events = []
    job = TrainJob(structure="s", tasks=[task], to_epoch=4, data="train+validation")
    trainer.train(job, events.append, lambda: False)
    first, second, third, fourth = (event.metrics["train_loss"] for event in events)
    assert first > second > third == pytest.approx(fourth, abs=1e-6)


def test_an_epoch_by_fit_seeds_whatever_draws_without_a_seed_of_its_own(trainer):
    train(trainer, 1)
    (machine,) = trainer._machines.values()
    program = FitProgram(machine.model, 16)
    data = program.to_device(np.zeros((16, 4, 4), np.uint8), np.zeros(16, np.int32))

    def drawn(order):
        program.train(data, np.asarray(order, np.int32))
        return random.random()

    assert drawn(range(16)) == drawn(range(16)) != drawn(range(15, -1, -1))


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


def test_data_that_is_gone_is_no_trials_fault(trainer, blobs):
    blobs.delete("data")
    with pytest.raises(SearchError, match=r"data/x_train\.npy: gone from the study's folder") as caught:
        train(trainer, 1)
    assert caught.value.exit_code == 3


@COMPILED
def test_data_too_large_for_the_device_is_trained_by_a_fit_that_is_compiled(blobs, monkeypatch):
    resident = train(make_trainer(blobs), 2, trial=1)
    steps, step = [], keras.Model.train_step
    monkeypatch.setattr(keras.Model, "train_step", lambda *given: steps.append(given) or step(*given))
    trainer = make_trainer(blobs, resident_bytes=10)
    assert_equal(train(trainer, 2), resident)
    assert [type(machine.program) for machine in trainer._machines.values()] == [FitProgram]
    assert len(steps) < 10  # of two epochs; a compiled one is called once for each size of batch


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX compiles always")
def test_xla_compiles_a_fit_if_asked(blobs):
    trainer = make_trainer(blobs, resident_bytes=10)
    for key in ("auto", True):
        train(trainer, 1, PARAMS | {"jit_compile": key}, trial=int(key is True), structure=str(key))
    assert [machine.model.jit_compile for machine in trainer._machines.values()] == [False, True]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX compiles always")
def test_xla_gives_the_same_trial(blobs):
    params = PARAMS | {"dropout": 0.0}  # XLA draws other random numbers from the same seed
    assert_equal(
        train(make_trainer(blobs), 2, params | {"jit_compile": True}), train(make_trainer(blobs), 2, params, trial=1)
    )


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX has no graphs")
def test_a_program_that_gave_way_to_others_leaves_no_graph_behind(trainer, monkeypatch):
    def graphs():
        gc.collect()
        return sum(type(one).__name__ == "FuncGraph" for one in gc.get_objects())

    monkeypatch.setattr(machines, "_KEPT", 1)
    kept = []
    for layers in (1, 2, 1, 2):
        params = PARAMS | {"layers": layers, "l2": 1e-4, "activation": "silu"}
        train(trainer, 1, params, trial=len(kept), structure=str(layers))
        kept.append(graphs())
    assert kept[2:] == kept[:2]


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
