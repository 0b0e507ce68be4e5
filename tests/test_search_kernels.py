"""TensorFlow's kernels against what Keras spells out."""

import keras
import numpy as np
import pytest

from search.losses import make_loss
from search.models import build
from search.models.purpose import Purpose
from search.programs import create_variables, read, write
from search.scalars import Scalars, make_optimizer

if keras.backend.backend() != "tensorflow":
    pytest.skip("kernels are TensorFlow's", allow_module_level=True)

import tensorflow as tf

from search.programs.kernels import use_for_updates, use_in_layers, use_in_metrics
from search.programs.widths import has_free_widths

RULES = [
    {"optimizer": "adam"},
    {"optimizer": "adamw", "weight_decay": 0.01},
    {"optimizer": "sgd"},
    {"optimizer": "sgd", "momentum": 0.9},
    {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
    {"optimizer": "rmsprop"},
    {"optimizer": "rmsprop", "momentum": 0.5},
]
ACCUMULATING = [{"optimizer": name, "gradient_accumulation_steps": 2} for name in ("adam", "rmsprop")]


def stepped(rule, kernels):
    """Weights and the optimizer's state after three steps with the same gradients."""
    params = {"learning_rate": 0.01, **rule}
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, kernel_initializer="ones")])
    model.compile(optimizer=make_optimizer(params["optimizer"], params, Scalars.variable(params)), loss="mse")
    model.optimizer.gradient_accumulation_steps = rule.get("gradient_accumulation_steps")
    model.optimizer.build(model.trainable_variables)
    if kernels:
        use_in_layers(model)
        use_for_updates(model.optimizer)
    draws = np.random.default_rng(0)
    for _ in range(3):
        gradients = [tf.constant(draws.normal(size=weight.shape), tf.float32) for weight in model.trainable_variables]
        tf.function(model.optimizer.apply)(gradients)
    return [variable.numpy() for variable in [*model.weights, *model.optimizer.variables]]


@pytest.mark.parametrize("rule", [*RULES, *ACCUMULATING], ids=str)
def test_a_kernel_updates_weights_as_the_rule_of_keras_does(rule):
    for ours, keras_own in zip(stepped(rule, True), stepped(rule, False), strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=2e-5, atol=1e-6)


def normalised(shape, kernels, training=True):
    """Outputs, gradients and moving statistics of batch normalisation."""
    model = keras.Sequential([keras.Input(shape[1:]), keras.layers.BatchNormalization(momentum=0.9)])
    model.compile(optimizer="sgd", loss="mse")
    model.optimizer.build(model.trainable_variables)
    if kernels:
        use_in_layers(model)
        use_for_updates(model.optimizer)
    x = tf.constant(np.random.default_rng(0).normal(3.0, 2.0, shape), tf.float32)
    weights = tf.constant(np.random.default_rng(1).normal(size=shape), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x, training=training)
        loss = tf.reduce_sum(y * weights)
    sources = [x, *[weight.value for weight in model.trainable_variables]]
    return [y, *tape.gradient(loss, sources), *[weight.value for weight in model.weights]]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(6, 5), (6, 4, 3, 2)], ids=str)
def test_the_kernel_of_batch_normalisation_does_what_keras_does(shape, training):
    for ours, keras_own in zip(normalised(shape, True, training), normalised(shape, False, training), strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-4, atol=1e-4)


def test_the_moving_variance_is_of_all_rows_and_not_of_one_less():
    *_, mean, variance = normalised((6, 5), True)
    x = np.random.default_rng(0).normal(3.0, 2.0, (6, 5)).astype(np.float32)
    np.testing.assert_allclose(mean, 0.1 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance, 0.9 + 0.1 * x.var(0), rtol=1e-5)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_dropout_in_a_kernel_drops_what_it_drops_without(rate):
    params = {"dropout": rate, "units": 8}
    models = [build("mlp", params, Purpose((6,), "float32", 2), Scalars.variable(params)) for _ in range(2)]
    for model in models:
        model.compile(optimizer="sgd", loss="mse")
        model.optimizer.build(model.trainable_variables)
        next(v for v in model.variables if v.name.endswith("seed_generator_state")).assign(np.array([7, 0], np.uint32))
    use_in_layers(models[1])
    x = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    plain, kernel = (model.get_layer("dropout_0")(x, training=True).numpy() for model in models)
    np.testing.assert_array_equal(plain, kernel)
    assert (kernel == 0).mean() == pytest.approx(rate, abs=0.1)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "mean_squared_error"])
def test_the_loss_and_the_accuracy_of_batches_are_keras_s(loss, weighted):
    params = {"l1": 1e-2, "activity_l2": 1e-2, "units": 8}
    models = [build("mlp", params, Purpose((6,), "float32", 3), Scalars.variable(params)) for _ in range(2)]
    draws = np.random.default_rng(0)
    x, y, weights = draws.normal(size=(50, 6)).astype(np.float32), draws.integers(3, size=50), draws.uniform(size=50)
    found = []
    for model in models:
        model.compile(optimizer="sgd", loss=make_loss(loss, 3), metrics=["accuracy"])
        create_variables(model)
        if model is models[1]:
            use_in_metrics(model)
        for rows in (slice(0, 30), slice(30, 50)):
            batch = [tf.constant(x[rows]), tf.constant(y[rows], tf.int32), tf.constant(weights[rows], tf.float32)]
            model.train_step(batch if weighted else batch[:2])
        found.append({name: float(value) for name, value in model.get_metrics_result().items()})
    assert found[1] == pytest.approx(found[0], rel=1e-6)
    assert found[1].keys() == {"loss", "accuracy"}


@pytest.mark.parametrize("activation", [None, "tanh", "silu"])
def test_a_dense_layer_in_a_kernel_is_keras_s(activation):
    models = [keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation)]) for _ in range(2)]
    for model in models:
        model.compile(optimizer="sgd", loss="mse")
        model.optimizer.build(model.trainable_variables)
        model.set_weights([np.arange(12.0).reshape(3, 4) / 10, np.arange(4.0)])
    use_in_layers(models[1])
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for ours, keras_own in zip(*(_outputs_and_gradients(model, x) for model in reversed(models)), strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-5)


def test_a_recurrent_layer_whose_cell_has_the_activation_trains():
    model = keras.Sequential([keras.Input((3, 2)), keras.layers.SimpleRNN(4, activation="silu")])
    use_in_layers(model)
    _, *gradients = _outputs_and_gradients(model, np.ones((5, 3, 2), np.float32))
    assert [tuple(gradient.shape) for gradient in gradients] == [(2, 4), (4, 4), (4,)]


@pytest.mark.parametrize(
    "options",
    [{}, {"padding": "same", "strides": 2}, {"use_bias": False, "activation": "tanh"}, {"dilation_rate": 2}],
    ids=lambda options: "-".join(options) or "plain",
)
def test_a_convolution_in_a_kernel_is_keras_s(options):
    models = [keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Conv2D(3, 2, **options)]) for _ in range(2)]
    draws = np.random.default_rng(0)
    weights = [draws.normal(size=weight.shape) for weight in models[0].weights]
    for model in models:
        model.compile(optimizer="sgd", loss="mse")
        model.optimizer.build(model.trainable_variables)
        model.set_weights(weights)
    use_in_layers(models[1])
    x = draws.normal(size=(5, 6, 6, 2)).astype(np.float32)
    for ours, keras_own in zip(*(_outputs_and_gradients(model, x) for model in reversed(models)), strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-4, atol=1e-5)


def test_convolutions_in_groups_stay_keras_s():
    model = keras.Sequential([keras.Input((6, 6, 4)), keras.layers.Conv2D(4, 2, groups=2)])
    model.compile(optimizer="sgd", loss="mse")
    model.optimizer.build(model.trainable_variables)
    use_in_layers(model)
    use_for_updates(model.optimizer)
    assert "call" not in model.layers[0].__dict__
    assert not has_free_widths(model)


@pytest.mark.parametrize("penalty", [{"l1": 0.01}, {"l2": 0.02}, {"l1": 0.01, "l2": 0.02}], ids=str)
def test_a_penalty_in_a_kernel_is_keras_s(penalty):
    def found(kernels):
        scalars, layer = Scalars.variable(penalty), keras.layers.Dense(4, kernel_initializer=start)
        scalars.penalise(layer, **{name: name for name in penalty})
        model = keras.Sequential([keras.Input((3,)), layer])
        model.compile(optimizer="sgd", loss="mse")
        model.optimizer.build(model.trainable_variables)
        if kernels:
            use_in_layers(model)
            use_for_updates(model.optimizer)
        with tf.GradientTape() as tape:
            (loss,) = model.losses
        return [loss, tape.gradient(loss, layer.kernel.value)]

    draws = np.random.default_rng(0).normal(size=(3, 4))
    draws[0, 0] = 0  # where the slope of the absolute value is none

    def start(shape, dtype=None):
        return keras.ops.convert_to_tensor(draws, dtype)

    for ours, keras_own in zip(found(True), found(False), strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-6)


def test_gradients_pass_what_dropout_lets_pass():
    params = {"dropout": 0.5, "units": 8}
    model = build("mlp", params, Purpose((6,), "float32", 2), Scalars.variable(params))
    model.compile(optimizer="sgd", loss="mse")
    model.optimizer.build(model.trainable_variables)
    use_in_layers(model)
    use_for_updates(model.optimizer)
    x = tf.ones((50, 6))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model.get_layer("dropout_0")(x, training=True)
    np.testing.assert_array_equal(tape.gradient(y, x), y)  # both are 0 or the factor


def _outputs_and_gradients(model, x):
    with tf.GradientTape() as tape:
        y = model(x, training=True)
        loss = tf.reduce_sum(y * y)
    return [y, *tape.gradient(loss, [weight.value for weight in model.trainable_variables])]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(map(str, rule.values())))
def test_values_that_are_written_and_read_stay_as_they_are_while_the_network_trains(rule):
    """TensorFlow may take an array's memory for a variable's; its kernels must not write there."""
    params = {"learning_rate": 0.01, **rule}
    model = keras.Sequential([keras.Input((256,)), keras.layers.Dense(256)])
    model.compile(optimizer=make_optimizer(rule["optimizer"], params, Scalars.variable(params)), loss="mse")
    model.optimizer.build(model.trainable_variables)
    use_for_updates(model.optimizer)
    step = tf.function(lambda gradients: model.optimizer.apply(gradients, model.trainable_variables))
    gradients = [tf.ones(variable.shape) for variable in model.trainable_variables]
    for _ in range(5):  # whether memory is shared depends on where it lies
        written = [np.ones(variable.shape, np.float32) for variable in model.weights]
        write(model.weights, written)
        before = read(model.weights)
        step(gradients)
        assert all((own == 1).all() for own in [*written, *before])
        assert all((own != 1).all() for own in read(model.weights))


def test_a_value_of_another_shape_is_not_written():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    with pytest.raises(ValueError, match=r"kernel: has the shape \(3, 4\) \(came \(4, 3\)\)"):
        write(model.weights[:1], [np.zeros((4, 3), np.float32)])
