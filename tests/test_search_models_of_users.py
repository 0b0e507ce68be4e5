"""Models and hypermodels of users, in every form that they may have, train as their authors meant."""

import csv
import io

import numpy as np
import pytest
from trainers import COMPILED, PARAMS, assert_equal, job_events, make_blobs, make_trainer, train

from search.discovery import _answer
from search.errors import Unusable
from search.failures import failure
from search.messages import EvaluateJob, PredictJob, Task, TrainJob

pytestmark = pytest.mark.backend

OWN = {name: value for name, value in PARAMS.items() if name not in ("layers", "units", "dropout", "l1")}
OF_TUNER = {"batch_size": 16, "precision": "float32", "jit_compile": "auto"}


def measured(folder):
    """The blobs of tests with measurements in place of pixels."""
    blobs = make_blobs(folder)
    for name in ("train", "validation"):
        x = np.asarray(blobs.array(f"data/x_{name}.npy"))
        blobs.put_array(f"data/x_{name}.npy", x.astype(np.float32) / 255)
    return blobs


def of_tuner(folder, name, **changes):
    """A trainer of one of the hypermodels."""
    return make_trainer(make_blobs(folder), model=f"keras_tuner:models_of_users:{name}", **changes)


def test_a_sequential_model_of_one_s_own_trains_on_measurements(tmp_path):
    trainer = make_trainer(measured(tmp_path), model="models_of_users:sequential", scale=1.0)
    assert len(train(trainer, 2, OWN)) == 2


@pytest.mark.parametrize("name", ["compiled", "compiled_with_own_step"])
def test_a_model_of_one_s_own_that_is_compiled_trains_with_the_study_s_optimizer(tmp_path, name):
    trainer = make_trainer(measured(tmp_path), model=f"models_of_users:{name}", scale=1.0)
    plain = make_trainer(measured(tmp_path), model="models_of_users:sequential", scale=1.0)
    assert_equal(train(trainer, 2, OWN), train(plain, 2, OWN, trial=1))


@pytest.mark.parametrize(
    "name", ["keras_tuner:models_of_users:auc", "keras_tuner:models_of_users:CompilesInFit", "models_of_users:counting"]
)
def test_a_metric_without_a_name_is_called_the_same_in_every_worker(tmp_path, name):
    params = OWN if name.startswith("models") else OF_TUNER
    first, other = (make_trainer(make_blobs(tmp_path), model=name) for _ in range(2))
    train(first, 1, params)
    assert train(first, 1, params, trial=1)[0].keys() == train(other, 2, params, known=1)[0].keys()


def test_a_fit_of_its_own_drops_the_same_after_a_pause_in_whatever_worker(tmp_path):
    def rungs(folder, first, then):
        blobs = make_blobs(tmp_path / folder)
        trainers = [make_trainer(blobs, model="keras_tuner:models_of_users:Dropping") for _ in range(2)]
        return train(trainers[first], 2, OF_TUNER) + train(trainers[then], 4, OF_TUNER, known=2)

    assert_equal(rungs("one", 0, 0), rungs("two", 0, 1))


@pytest.mark.parametrize("name", ["subclassed", "SubclassedWithFit"])
def test_a_model_that_is_a_class_of_its_own_trains(tmp_path, name):
    epochs = train(of_tuner(tmp_path, name), 3, OF_TUNER)
    assert epochs[-1]["train_loss"] < epochs[0]["train_loss"]
    assert "val_accuracy" in epochs[-1]


@COMPILED
def test_steps_of_a_loss_that_compares_rows_are_recorded_by_the_right_class(tmp_path):
    blobs = make_blobs(tmp_path)
    task = Task(trial=0, folder="trials/00000", params=OF_TUNER, seed=5, record=1)
    events = []
    trainer = make_trainer(blobs, model="keras_tuner:models_of_users:subclassed")
    trainer.train(TrainJob(structure="s", tasks=[task], to_epoch=1), events.append, lambda: False)
    assert [event.metrics["val_accuracy"] for event in events]
    rows = list(csv.DictReader(blobs.get("trials/00000/steps.csv").decode().splitlines()))
    assert {float(row["train_accuracy"]) * 16 % 1 for row in rows[:-1]} == {0.0}


def test_all_weights_of_a_model_within_a_model_are_looked_at(tmp_path):
    blobs = make_blobs(tmp_path)
    trainer = make_trainer(blobs, model="keras_tuner:models_of_users:subclassed")
    train(trainer, 1, OF_TUNER)
    task = Task(trial=0, folder="trials/0", params=OF_TUNER, seed=5)
    job = PredictJob(structure="s", task=task, best_epoch=1, x="data/x_validation.npy", output="predicted.npz")
    trainer.predict(job)
    with np.load(io.BytesIO(blobs.get("predicted.npz"))) as found:
        assert [tuple(name)[1] for name in found["names"]] == ["kernel", "bias", "kernel", "bias"]
        assert [found[f"weight:{place}"].shape for place in range(4)] == [(16, 8), (8,), (8, 3), (3,)]


@pytest.mark.parametrize("name", ["renamed_loss", "one_hot", "listed_loss", "loss_by_output"])
def test_every_form_of_a_loss_trains_alike(tmp_path, name):
    plain = train(of_tuner(tmp_path, "sparse"), 2, OF_TUNER)
    assert_equal(train(of_tuner(tmp_path, name), 2, OF_TUNER, trial=1), plain)


def test_a_weight_of_the_loss_counts(tmp_path):
    weighted = train(of_tuner(tmp_path, "weighted_loss"), 1, OF_TUNER)
    assert weighted[0]["train_loss"] < 0.2 * train(of_tuner(tmp_path, "sparse"), 1, OF_TUNER, trial=1)[0]["train_loss"]


def test_a_weight_of_the_loss_counts_for_the_test_split_as_for_the_validation_split(tmp_path):
    trainer = of_tuner(tmp_path, "WeightedLossWithFit")
    (epoch,) = train(trainer, 1, OF_TUNER)
    task = Task(trial=0, folder="trials/0", params=OF_TUNER, seed=5)
    rows = {"x": "data/x_validation.npy", "y": "data/y_validation.npy"}
    found = trainer.evaluate(EvaluateJob(structure="s", task=task, best_epoch=1, **rows)).metrics
    assert found["loss"] == pytest.approx(epoch["val_loss"])


def test_a_step_of_its_own_takes_batches_of_the_study_s_size(tmp_path):
    plain = train(of_tuner(tmp_path, "own_step"), 1, OF_TUNER | {"batch_size": 72}, trial=1)
    assert train(of_tuner(tmp_path, "own_step"), 1, OF_TUNER)[0]["train_loss"] != plain[0]["train_loss"]


@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("two_inputs", "must have one input, for the rows of the data (2 came)"),
        ("no_model", "must return a keras.Model (came NoneType)"),
        ("two_classes", "must end in one probability a class (3); shape (None, 2) came"),
        ("not_compiled", "build must return a compiled model, as Keras Tuner wants it"),
    ],
)
def test_a_model_that_no_trial_could_train_ends_the_search_at_once(tmp_path, name, law):
    with pytest.raises(Unusable) as caught:
        job_events(of_tuner(tmp_path, name), 1, OF_TUNER)
    assert (law in str(caught.value), caught.value.exit_code) == (True, 2)


def test_a_hypermodel_of_several_inputs_is_refused_when_it_is_asked_for_its_space():
    told = _answer("keras_tuner:models_of_users:two_inputs")["error"]
    assert told.endswith("two_inputs must have one input, for the rows of the data (2 came)")


@pytest.mark.parametrize("first", ["Exception encountered when calling Dense.call().", "Graph execution error:"])
def test_a_trial_that_fails_in_a_layer_says_of_what(first):
    task = Task(trial=0, folder="trials/0", params=OWN, seed=5)
    cause = "\x1b[1mInput 0 is incompatible\x1b[0m"  # in bold, as Keras has it
    said = failure(task, ValueError(f"{first}\n\n  {cause}\n\nArguments received: x")).reason
    assert said == f"ValueError: {first} Input 0 is incompatible"
