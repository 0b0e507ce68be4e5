"""Losses by name against Keras's own, and what a single sigmoid unit gives; under every backend."""

import keras
import numpy as np
import pytest
from sklearn.metrics import f1_score

from search.losses import make_loss
from search.metrics import WeightedF1, probabilities
from search.models import build
from search.models.purpose import Purpose
from search.models.weights import initialise
from search.programs import build_program
from search.scalars import Scalars, is_scalar, make_optimizer

pytestmark = pytest.mark.backend

GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(0, 3, 12).astype(np.int32)
OUTPUTS = GENERATOR.dirichlet(np.ones(3), 12).astype(np.float32)
BINARY = {"units": 4, "loss": "binary_crossentropy", "learning_rate": 0.05}
X = GENERATOR.normal(size=(72, 5)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0.3).astype(np.int32)


def value(loss: object, labels: np.ndarray, outputs: np.ndarray) -> float:
    return float(np.asarray(keras.losses.get(loss)(labels, outputs)).mean())


def smoothed(amount: float) -> Scalars:
    return Scalars.plain({"label_smoothing": amount})


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("sparse_categorical_crossentropy", keras.losses.SparseCategoricalCrossentropy()),
        ("categorical_crossentropy", keras.losses.CategoricalCrossentropy()),
        ("mean_squared_error", keras.losses.MeanSquaredError()),
    ],
)
def test_a_loss_between_class_numbers_and_probabilities_is_keras_s_own(name, theirs):
    labels = LABELS if name.startswith("sparse") else np.eye(3, dtype=np.float32)[LABELS]
    for column in (LABELS, LABELS[:, None]):
        assert value(make_loss(name, 3), column, OUTPUTS) == pytest.approx(value(theirs, labels, OUTPUTS), rel=1e-6)


def test_binary_crossentropy_is_keras_s_own():
    labels, outputs = (LABELS > 0).astype(np.int32), OUTPUTS[:, :1]
    expected = value(keras.losses.BinaryCrossentropy(), labels[:, None].astype(np.float32), outputs)
    assert value(make_loss("binary_crossentropy", 2), labels, outputs) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.5])
def test_smoothed_labels_are_keras_s(amount):
    rows, unit = np.eye(3, dtype=np.float32)[LABELS], (LABELS > 0).astype(np.float32)
    expected = value(keras.losses.CategoricalCrossentropy(label_smoothing=amount), rows, OUTPUTS)
    for name in ("sparse_categorical_crossentropy", "categorical_crossentropy"):
        assert value(make_loss(name, 3, smoothed(amount)), LABELS, OUTPUTS) == pytest.approx(expected, rel=1e-5)
    expected = value(keras.losses.BinaryCrossentropy(label_smoothing=amount), unit[:, None], OUTPUTS[:, :1])
    loss = make_loss("binary_crossentropy", 2, smoothed(amount))
    assert value(loss, unit.astype(np.int32), OUTPUTS[:, :1]) == pytest.approx(expected, rel=1e-5)


def test_a_mean_squared_error_may_have_smoothed_labels():
    rows = np.eye(3, dtype=np.float32)[LABELS] * 0.9 + 0.1 / 3
    loss = make_loss("mean_squared_error", 3, smoothed(0.1))
    assert value(loss, LABELS, OUTPUTS) == pytest.approx(float(np.mean((rows - OUTPUTS) ** 2)), rel=1e-5)


def test_labels_are_class_numbers_in_half_precision_too():
    outputs = np.eye(600, dtype=np.float16)[[513, 514]]
    labels = np.array([513, 514], np.int32)
    assert value(make_loss("categorical_crossentropy", 600), labels, outputs) == pytest.approx(0.0, abs=1e-2)


def compiled(params: dict, scalars: Scalars) -> keras.Model:
    model = build("mlp", params, Purpose((5,), "float32", 2), scalars)
    model.compile(
        make_optimizer("adam", params, scalars),
        make_loss(params["loss"], 2, scalars),
        metrics=["accuracy", WeightedF1(2, name="f1")],
        jit_compile=False,
    )
    return model


def test_two_classes_may_share_one_sigmoid_unit():
    model = build("mlp", BINARY | {"units": 128}, Purpose((28, 28), "uint8", 2, 1 / 255), Scalars.plain({}))
    assert model.count_params() == 100_609
    assert model.output_shape == (None, 1)
    assert model.get_layer("probabilities").activation is keras.activations.sigmoid


def test_accuracy_and_f1_of_a_sigmoid_unit_are_those_of_two_columns():
    model = compiled(BINARY, Scalars.variable(BINARY))
    program = build_program(model, 16)
    data = program.to_device(X, Y)
    initialise(model, 0)
    program.train(data, np.arange(len(X), dtype=np.int32))
    found = program.validate(data)
    columns = probabilities(np.asarray(keras.ops.convert_to_numpy(model(X))))
    assert columns.shape == (72, 2)
    np.testing.assert_allclose(columns.sum(1), 1, rtol=1e-6)
    predicted = columns.argmax(1)
    assert 0 < predicted.mean() < 1
    assert found["accuracy"] == pytest.approx(np.mean(predicted == Y))
    assert found["f1"] == pytest.approx(f1_score(Y, predicted, average="weighted"), abs=1e-6)
    expected = keras.losses.BinaryCrossentropy()(Y[:, None].astype(np.float32), columns[:, 1:])
    assert found["loss"] == pytest.approx(float(np.asarray(expected)), rel=1e-5)


def test_a_column_a_class_stays_as_it_is():
    assert probabilities(OUTPUTS) is OUTPUTS


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "binary_crossentropy"])
def test_label_smoothing_changes_without_a_new_program(loss):
    params = BINARY | {"loss": loss, "label_smoothing": 0.0}
    scalars = Scalars.variable(params)
    model = compiled(params, scalars)
    program = build_program(model, 16)
    data = program.to_device(X, Y)
    assert [v.name for v in model.variables if is_scalar(v)] == ["scalar_label_smoothing"]
    for amount in (0.0, 0.3):
        initialise(model, 0)
        scalars.assign(params | {"label_smoothing": amount})
        outputs = np.asarray(keras.ops.convert_to_numpy(model(X)))
        expected = value(make_loss(loss, 2, smoothed(amount)), Y, outputs)
        assert program.validate(data)["loss"] == pytest.approx(expected, rel=1e-5)
