"""Single training steps, recorded while a trial trains; under TensorFlow and under JAX."""

import csv

import keras
import numpy as np
import pytest
from trainers import COMPILED, PARAMS, ROWS, assert_equal, make_trainer

from search.errors import Unusable
from search.messages import Task, TrainJob, TrialFailed
from search.models.weights import initialise
from search.programs import fit, read

pytestmark = [pytest.mark.backend, COMPILED]


def train(trainer, to_epoch, params=PARAMS, *, trial=0, known=0, record=2, **changes):
    """Train one trial; its epochs' metrics."""
    folder, events = f"trials/{trial:05d}", []
    task = Task(trial=trial, folder=folder, params=params, seed=5, known_epochs=known, record=record, **changes)
    trainer.train(TrainJob(structure="s", tasks=[task], to_epoch=to_epoch), events.append, lambda: False)
    assert not [event.details for event in events if isinstance(event, TrialFailed)]
    return [event.metrics for event in events]


def steps(blobs, trial=0):
    """The rows of a trial's file, as numbers."""
    lines = blobs.get(f"trials/{trial:05d}/steps.csv").decode().splitlines()
    return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(lines)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"batch_norm": True}, marks=pytest.mark.slow),
        {"optimizer": "sgd", "momentum": 0.9, "schedule": "step", "schedule_every": 3, "schedule_unit": "step"},
        {"jit_compile": True},
    ],
    ids=["dropout", "batch_norm", "schedule", "jit_compile"],
)
def test_a_recorded_trial_is_the_trial_that_nobody_looks_at(blobs, changes):
    params = PARAMS | changes
    recorded = train(make_trainer(blobs), 3, params)
    plain = train(make_trainer(blobs), 3, params, trial=1, record=0)
    assert_equal(recorded, plain, tolerance=1e-5)
    assert [row["step"] for row in steps(blobs)] == [0, 2, 4, 6, 8, 10, 12, 14]  # five batches an epoch
    assert [row["epoch"] for row in steps(blobs)] == [1, 1, 1, 2, 2, 3, 3, 3]
    with pytest.raises(KeyError):
        blobs.get("trials/00001/steps.csv")


@pytest.mark.parametrize("jit_compile", ["auto", True])
def test_a_look_tells_loss_accuracy_and_gradient_of_the_step_that_comes(blobs, jit_compile):
    """One step of plain descent moves the first kernel by the rate times the gradient."""
    params = PARAMS | {"optimizer": "sgd", "learning_rate": 1.0, "batch_size": ROWS, "jit_compile": jit_compile}
    trainer = make_trainer(blobs)
    (first,) = train(trainer, 1, params, record=1)
    model = trainer._machines["s"].model
    (moved,) = read([model.trainable_variables[0]])
    initialise(model, 5)
    (start,) = read([model.trainable_variables[0]])
    (row,) = steps(blobs)
    assert row["train_loss"] == pytest.approx(first["train_loss"], rel=1e-5)
    assert row["train_accuracy"] == pytest.approx(first["train_accuracy"], abs=1e-6)
    assert row["gradient_norm"] == pytest.approx(np.linalg.norm(moved - start), rel=1e-4)
    x, y = (np.asarray(blobs.array(f"data/{name}_validation.npy")) for name in "xy")
    chosen = np.argmax(keras.ops.convert_to_numpy(model(x)), axis=-1)
    assert row["val_accuracy"] == pytest.approx(np.mean(chosen == y), abs=1e-6)


def test_validation_accuracy_between_epochs_is_that_of_the_epoch_before(blobs):
    epochs = train(make_trainer(blobs), 3, record=5)
    found = [row["val_accuracy"] for row in steps(blobs)]
    assert found[1:] == pytest.approx([epoch["val_accuracy"] for epoch in epochs[:2]], abs=1e-6)


def test_a_recorded_trial_goes_on_after_a_kill_without_a_gap_or_a_double(blobs):
    train(make_trainer(blobs), 4)
    whole = steps(blobs)
    train(make_trainer(blobs), 2, trial=1)
    key = next(key for key in blobs.keys("trials/00001") if "epoch-000002" in key)
    blobs.delete(key)  # killed between the rows of epoch 2 and its checkpoint
    train(make_trainer(blobs), 4, trial=1, known=1)
    again = steps(blobs, 1)
    assert [row["step"] for row in again] == [row["step"] for row in whole]
    for mine, other in zip(again, whole, strict=True):
        assert mine == pytest.approx(other, rel=1e-4, abs=1e-6)


@pytest.mark.slow
def test_data_too_large_for_the_device_is_recorded_too(blobs):
    params = PARAMS | {"class_weight": "balanced"}
    streamed = train(make_trainer(blobs, resident_bytes=0), 2, params)
    resident = train(make_trainer(blobs), 2, params, trial=1)
    assert_equal(streamed, resident)
    for mine, other in zip(steps(blobs), steps(blobs, 1), strict=True):
        assert mine == pytest.approx(other, rel=1e-3, abs=1e-5)


@pytest.mark.slow
def test_of_several_seeds_the_first_is_recorded(blobs):
    train(make_trainer(blobs), 2, seeds=2)
    train(make_trainer(blobs), 2, trial=1)
    assert steps(blobs) == [pytest.approx(row, rel=1e-5) for row in steps(blobs, 1)]


def test_one_sigmoid_unit_is_recorded_by_its_own_accuracy(blobs):
    for split in ("train", "validation"):
        y = np.asarray(blobs.array(f"data/y_{split}.npy"))
        blobs.put_array(f"data/y_{split}.npy", (y == 2).astype(np.int32))
    params = PARAMS | {"loss": "binary_crossentropy", "batch_size": ROWS}
    (first,) = train(make_trainer(blobs, classes=2), 1, params, record=1)
    assert steps(blobs)[0]["train_accuracy"] == pytest.approx(first["train_accuracy"], abs=1e-6)


def test_steps_are_refused_in_a_line_where_no_program_takes_gradients():
    with pytest.raises(Unusable, match="record: steps are recorded under TensorFlow and JAX, not"):
        fit.make_probe(None, None, jit_compile=False)
