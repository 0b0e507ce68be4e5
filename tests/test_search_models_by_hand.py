"""A convolution and a step of backpropagation against their formulas, worked out by hand; under every backend."""

import keras
import numpy as np
import pytest

from reports.diagnosis.pictures import convolved as convolved_as_reported
from search.models import build
from search.models.purpose import Purpose
from search.models.weights import initialise
from search.programs import build_program
from search.scalars import Scalars, make_optimizer

pytestmark = pytest.mark.backend


def convolved(images: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """A batch of images, shape (rows, height, width, channels), by kernels (height, width, channels, maps)."""
    height, width = kernels.shape[:2]
    rows, columns = images.shape[1] - height + 1, images.shape[2] - width + 1
    maps = np.zeros((len(images), rows, columns, kernels.shape[-1]))
    for row in range(rows):
        for column in range(columns):
            window = images[:, row : row + height, column : column + width]
            maps[:, row, column] = np.tensordot(window, kernels, 3)
    return maps


def test_a_convolution_is_the_sum_over_every_window():
    images = np.random.default_rng(0).normal(size=(5, 9, 7, 3)).astype(np.float32)
    params = {"filters_0": 8, "padding": "valid", "activation": "linear", "pool": 1, "bias": False, "units": 0}
    model = build("cnn", params, Purpose((9, 7, 3), "float32", 10), Scalars.plain(params))
    initialise(model, 3)
    layer = model.get_layer("conv_0")
    expected = convolved(images, np.asarray(layer.kernel))
    assert expected.shape == (5, 7, 5, 8)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(images)), expected, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_feature_maps_of_the_report_are_the_layer_s(channels):
    image = np.random.default_rng(1).normal(size=(9, 7, channels)).astype(np.float32)
    layer = keras.layers.Conv2D(4, (3, 2), use_bias=False)
    expected = keras.ops.convert_to_numpy(layer(image[None]))[0]
    kernels = np.moveaxis(np.asarray(layer.kernel), -1, 0)
    grey = (image[..., 0], kernels[..., 0]) if channels == 1 else (image, kernels)
    np.testing.assert_allclose(np.moveaxis(convolved_as_reported(*grey), 0, -1), expected, atol=1e-5)


class HalfSquare(keras.losses.Loss):
    """(y - output)^2 / 2."""

    def call(self, y_true: object, y_pred: object) -> object:
        labels = keras.ops.cast(keras.ops.reshape(y_true, (-1, 1)), y_pred.dtype)
        return keras.ops.sum((labels - y_pred) ** 2, -1) / 2


def stepped(x: tuple, weights: list, rate: float) -> tuple[float, list[np.ndarray]]:
    """A network of 2 inputs, 3 sigmoid units and a sigmoid output: its output, and its weights after a step to 1."""
    params = {"units": 3, "activation": "sigmoid", "loss": "binary_crossentropy", "learning_rate": rate}
    scalars = Scalars.variable(params)
    model = build("mlp", params, Purpose((2,), "float32", 2), scalars)
    model.compile(make_optimizer("sgd", params, scalars), HalfSquare(), metrics=["accuracy"], jit_compile=False)
    program = build_program(model, 1)
    for variable, value in zip(model.trainable_variables, weights, strict=True):
        variable.assign(np.array(value, np.float32))
    rows = np.array([x], np.float32)
    output = float(keras.ops.convert_to_numpy(model(rows))[0, 0])
    program.train(program.to_device(rows, np.array([1], np.int32)), np.array([0], np.int32))
    return output, [np.asarray(variable) for variable in model.trainable_variables]


ONES = [np.ones((2, 3)), np.ones(3), np.ones((3, 1)), np.ones(1)]


def test_a_step_where_the_units_are_saturated_is_the_one_worked_by_hand():
    output, (_, _, out_kernel, _) = stepped((6, 1), ONES, rate=0.1)
    assert output == pytest.approx(0.98199, abs=1e-5)
    np.testing.assert_allclose(out_kernel - 1, 3.18e-5, rtol=0.01)


def test_the_small_movement_of_the_first_weights_is_the_one_worked_by_hand():
    # beside 1 float32 has no room for 5.7e-8, so the step is ten thousand times as long
    _, (kernel, bias, _, _) = stepped((6, 1), ONES, rate=1000.0)
    unit = 1 / (1 + np.exp(-8.0))
    out = 1 / (1 + np.exp(-3 * unit - 1))
    slope = (1 - out) * out * (1 - out) * unit * (1 - unit)
    np.testing.assert_allclose((kernel[0] - 1) / 1e4, 0.1 * slope * 6, rtol=0.01)
    np.testing.assert_allclose((kernel[0] - 1) / 1e4, 5.7e-8, rtol=0.15)  # its factors were rounded to 3 digits
    np.testing.assert_allclose((bias - 1) / 1e4, 0.1 * slope, rtol=0.01)


def test_a_step_with_different_weights_is_the_one_worked_by_hand():
    weights = [[[0.5] * 3, [-0.5] * 3], [0.1] * 3, [[1.0], [-1.0], [0.0]], [0.1]]
    hidden = 1 / (1 + np.exp(-(0.5 * 0 - 0.5 * 6 + 0.1)))
    assert hidden == pytest.approx(0.0522, abs=5e-5)
    output, (kernel, bias, out_kernel, out_bias) = stepped((0, 6), weights, rate=0.1)
    assert output == pytest.approx(0.52498, abs=5e-6)
    np.testing.assert_allclose(kernel[0], 0.5)
    np.testing.assert_allclose(kernel[1], [-0.4965, -0.5035, -0.5], atol=5e-5)
    np.testing.assert_allclose(bias, [0.1006, 0.0994, 0.1], atol=5e-5)
    np.testing.assert_allclose(out_kernel[:, 0], [1.00062, -0.9994, 6.18e-4], atol=3e-5)
    np.testing.assert_allclose(out_bias, [0.1118], atol=5e-5)
