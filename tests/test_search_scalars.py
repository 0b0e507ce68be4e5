"""Scalar parameters as numbers and as variables: both must train alike, under every backend."""

import keras
import numpy as np
import pytest
from trainers import COMPILED

from search.errors import SearchError
from search.models import build
from search.models.purpose import Purpose
from search.models.weights import initialise
from search.optimizers import OPTIMIZERS, VariableRMSprop, VariableSGD, keras_optimizer
from search.scalars import Scalars, VariableDropout, VariablePenalty, is_scalar, make_optimizer

pytestmark = pytest.mark.backend

PARAMS = {"units": 8, "dropout": 0.3, "l1": 1e-3, "l2": 1e-2, "learning_rate": 0.01, "momentum": 0.9}
OTHER = {"units": 8, "dropout": 0.6, "l1": 1e-2, "l2": 0.0, "learning_rate": 0.02, "momentum": 0.0}
X = np.random.default_rng(0).normal(size=(48, 5)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int32)


def numpy(tensor: object) -> np.ndarray:
    return np.asarray(tensor)


def compiled(params: dict, scalars: Scalars, optimizer: str = "sgd", loss: object = None) -> keras.Model:
    model = build("mlp", params, Purpose((5,), "float32", 2), scalars)
    model.compile(make_optimizer(optimizer, params, scalars), loss or "sparse_categorical_crossentropy")
    return model


def by_keras(name: str, params: dict) -> keras.optimizers.Optimizer:
    """Keras's own optimizer with its numbers written into it."""
    names = ["learning_rate", "weight_decay", *(["momentum"] if name in ("sgd", "rmsprop") else [])]
    return keras_optimizer(name)(**{key: params[key] for key in names if key in params})


def plain_model(params: dict, optimizer: str = "sgd") -> keras.Model:
    """Of ordinary Keras objects alone."""
    model = build("mlp", params, Purpose((5,), "float32", 2), Scalars.plain(params))
    model.compile(by_keras(optimizer, params), "sparse_categorical_crossentropy")
    return model


def trained(model: keras.Model, seed: int = 3) -> list[np.ndarray]:
    """The weights after two epochs of three batches."""
    initialise(model, seed)
    model.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    return [numpy(variable) for variable in model.trainable_variables]


def assert_equal(first: list[np.ndarray], second: list[np.ndarray], tolerance: float = 1e-6) -> None:
    assert max(abs(one - other).max() for one, other in zip(first, second, strict=True)) <= tolerance


DRAWS = pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch draws dropout its own way")


@DRAWS
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.75])
def test_variable_dropout_drops_what_keras_drops(rate):
    scalars = Scalars.variable({"dropout": rate})
    variable, plain = scalars.dropout("dropout", layer_name="a"), keras.layers.Dropout(rate, seed=7)
    variable.seed_generator.state.assign([7, 0])
    inputs = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
    for _ in range(2):
        kept, expected = numpy(variable(inputs, training=True)), numpy(plain(inputs, training=True))
        assert np.array_equal(kept == 0, expected == 0)
        np.testing.assert_allclose(kept, expected, rtol=1e-6)
    assert np.array_equal(numpy(variable(inputs, training=False)), inputs)


@DRAWS
@pytest.mark.parametrize(
    ("optimizer", "extra"), [("sgd", {}), ("adamw", {"weight_decay": 0.05, "activity_l1": 0.01, "activity_l2": 0.02})]
)
def test_plain_and_variable_models_train_alike(optimizer, extra):
    params = PARAMS | extra
    variable = compiled(params, Scalars.variable(params), optimizer)
    assert_equal(trained(plain_model(params, optimizer)), trained(variable))


@COMPILED
def test_assigned_numbers_take_effect_without_a_new_trace():
    traces = []

    def loss(y_true, y_pred):
        traces.append(1)
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)

    scalars = Scalars.variable(PARAMS)
    model = compiled(PARAMS, scalars, loss=loss)
    trained(model)
    before = len(traces)
    scalars.assign(OTHER)
    weights = trained(model)
    assert len(traces) == before
    assert_equal(weights, trained(plain_model(OTHER)))


def test_every_number_is_a_variable_of_the_model_or_its_optimizer():
    params = PARAMS | {"weight_decay": 0.1, "activity_l1": 1e-4}
    model = compiled(params, Scalars.variable(params))
    model.optimizer.build(model.trainable_variables)
    names = {variable.name for variable in model.variables if is_scalar(variable)}
    assert names == {"scalar_dropout", "scalar_l1", "scalar_l2", "scalar_activity_l1"}
    names = {variable.name for variable in model.optimizer.variables if is_scalar(variable)}
    assert names == {"scalar_momentum", "scalar_weight_decay"}
    assert not any(is_scalar(variable) for variable in model.trainable_variables)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="stateless calls are JAX's")
@pytest.mark.parametrize("name", ["dropout", "l1", "l2", "learning_rate", "momentum"])
def test_a_jitted_step_of_jax_takes_each_number_from_its_state(name):
    import jax

    scalars = Scalars.variable(PARAMS)
    model = compiled(PARAMS, scalars)
    initialise(model, 0)
    model._symbolic_build(data_batch=(X, Y))
    step = jax.jit(model.train_step)

    def weights() -> np.ndarray:
        groups = (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)
        state = (*([variable.value for variable in group] for group in groups), model.metrics_variables)
        for _ in range(2):
            _, state = step((*state[:3], [variable.value for variable in model.metrics_variables]), (X, Y))
        return np.asarray(state[0][0])

    before = weights()
    scalars.assign(PARAMS | {name: OTHER[name]})
    assert abs(weights() - before).max() > 1e-6
    assert step._cache_size() == 1


def stepped(optimizer: keras.optimizers.Optimizer, steps: int = 4) -> list[np.ndarray]:
    """Two variables after a few steps along gradients that change."""
    generator = np.random.default_rng(1)
    variables = [keras.Variable(generator.normal(size=shape)) for shape in ((3, 2), (2,))]
    for _ in range(steps):
        gradients = [keras.ops.convert_to_tensor(generator.normal(size=v.shape), "float32") for v in variables]
        optimizer.apply(gradients, variables)
    return [numpy(variable) for variable in variables]


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.99])
def test_variable_sgd_is_keras_s_sgd(momentum, nesterov):
    expected = keras.optimizers.SGD(0.1, momentum=momentum, nesterov=nesterov)
    assert_equal(stepped(VariableSGD(0.1, momentum, nesterov=nesterov)), stepped(expected))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_variable_rmsprop_is_keras_s_rmsprop(momentum):
    assert_equal(stepped(VariableRMSprop(0.01, momentum)), stepped(keras.optimizers.RMSprop(0.01, momentum=momentum)))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_steps_as_keras_s_own(name):
    params = {"learning_rate": 0.01, "momentum": 0.5, "weight_decay": 0.1}
    variable = make_optimizer(name, params, Scalars.variable(params))
    assert_equal(stepped(by_keras(name, params)), stepped(variable))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_follows_what_is_assigned_to_it(name):
    first = {"learning_rate": 0.01, "momentum": 0.5, "weight_decay": 0.1}
    second = {"learning_rate": 0.03, "momentum": 0.9, "weight_decay": 0.0}
    scalars = Scalars.variable(first)
    optimizer = make_optimizer(name, first, scalars)
    scalars.assign(second)
    assert_equal(stepped(optimizer), stepped(by_keras(name, second)))


def test_numbers_that_are_not_given_have_keras_s_defaults():
    for name in ("adam", "adamw", "sgd"):
        ours = make_optimizer(name, {}, Scalars.variable({}))
        assert_equal(stepped(ours), stepped(keras_optimizer(name)(0.001)))


def test_penalties_keep_small_factors_in_half_precision():
    weights = keras.ops.ones((1000,), "float16")
    scalars = Scalars.variable({"l1": 1e-6})
    layer = keras.layers.Dense(2, dtype="float16")
    scalars.penalise(layer, l1="l1")
    assert isinstance(layer.kernel_regularizer, VariablePenalty)
    assert layer.kernel_regularizer.l1.dtype == "float32"
    assert float(layer.kernel_regularizer(weights)) == pytest.approx(1e-3, rel=0.1)


def test_layers_that_share_a_parameter_share_its_variable():
    scalars = Scalars.variable({"dropout": 0.1, "dropout_0": 0.2})
    first, second, other = (scalars.dropout(name, layer_name="a") for name in ("dropout", "dropout", "dropout_0"))
    assert isinstance(first, VariableDropout)
    assert first.numbers is second.numbers
    assert first.numbers is not other.numbers


@pytest.mark.parametrize("make", [Scalars.plain, Scalars.variable])
@pytest.mark.parametrize("rate", [1.0, -0.1, float("nan"), "0.5", True])
def test_a_rate_of_dropout_must_be_at_least_0_and_below_1(make, rate):
    with pytest.raises(SearchError, match=r"params\.dropout: must be a number at least 0 and below 1"):
        make({"dropout": rate}).dropout("dropout", layer_name="a")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"learning_rate": 0.0}, "params.learning_rate: must be a number above 0 and finite"),
        ({"learning_rate": float("inf")}, "params.learning_rate: must be a number above 0 and finite"),
        ({"momentum": 1.0}, "params.momentum: must be a number at least 0 and below 1"),
        ({"weight_decay": -1.0}, "params.weight_decay: must be a number at least 0 and finite"),
    ],
)
def test_an_optimizer_s_numbers_have_laws(params, words):
    with pytest.raises(SearchError, match=words):
        make_optimizer("sgd", params, Scalars.variable(params))


def test_an_unknown_optimizer_is_refused_with_a_suggestion():
    with pytest.raises(SearchError, match='unknown "rmsprob"; did you mean "rmsprop"'):
        make_optimizer("rmsprob", {}, Scalars.variable({}))


def test_a_bad_value_changes_no_variable():
    scalars = Scalars.variable(PARAMS)
    optimizer = make_optimizer("sgd", PARAMS, scalars)
    with pytest.raises(SearchError, match="momentum"):
        scalars.assign({"learning_rate": 0.5, "momentum": 2.0})
    assert float(numpy(optimizer.learning_rate)) == pytest.approx(0.01)


def test_a_value_that_is_no_longer_there_is_missed():
    scalars = Scalars.variable(PARAMS)
    scalars.dropout("dropout", layer_name="a")
    with pytest.raises(SearchError, match=r"params\.dropout: is missing"):
        scalars.assign({})
