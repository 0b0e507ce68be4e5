"""Families of models, their initial weights and what they become as files; and the F1 of a split."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from search.errors import SearchError
from search.metrics import WeightedF1
from search.models import FAMILIES, TRAINING, build, check, check_space, export
from search.models.drawing import draw
from search.models.laws import law_of
from search.models.purpose import Purpose
from search.models.weights import initialise
from search.scalars import Scalars, is_scalar, make_optimizer
from spaces import Space
from studies.plan import Training

pytestmark = pytest.mark.backend

DIGITS = Purpose((8, 8), "uint8", 10, 1 / 16)


def made(name: str, params: dict, shape=(8, 8), dtype="float32", classes=10, scale=1.0, offset=0.0) -> keras.Model:
    return build(name, params, Purpose(shape, dtype, classes, scale, offset), Scalars.plain(params))


def layers(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


def numbers(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in model.variables if not is_scalar(variable)]


def assert_equal(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


FASHION_B = {
    **{"filters_0": 32, "filters_1": 64, "filters_2": 128, "units": 128, "dense_dropout": 0.5},
    **{"dropout_0": 0.25, "dropout_1": 0.25, "dropout_2": 0.4},
}


@pytest.mark.parametrize(
    ("name", "params", "shape", "weights"),
    [
        ("mlp", {"units_0": 512, "units_1": 256, "units_2": 128}, (32, 32, 3), 1_738_890),
        ("mlp", {"units": 128}, (28, 28), 101_770),
        ("mlp", {"units_0": 32, "units_1": 64, "bias_1": False}, (32, 32, 3), 3072 * 32 + 32 + 2048 + 650),
        ("cnn", {"filters_0": 32, "padding": "valid", "units": 128}, (28, 28), 693_962),
        ("cnn", FASHION_B, (28, 28), 241_546),
        ("cnn", FASHION_B | {"filters_3": 256}, (28, 28, 1), 422_026),
        ("cnn", FASHION_B | {"batch_norm": True}, (28, 28), 242_954),
        ("cnn", {"filters_0": 16, "filters_1": 8, "kernel_size_1": 5, "units": 0}, (32, 32, 3), 448 + 3208 + 5130),
    ],
)
def test_published_architectures_have_the_published_number_of_weights(name, params, shape, weights):
    assert made(name, params, shape).count_params() == weights


def test_a_dense_layer_is_followed_by_normalisation_activation_and_dropout():
    params = {"units": 4, "batch_norm": True, "dropout": 0.5, "layers": 1}
    order = ["InputLayer", "Rescaling", "Flatten", "Dense", "BatchNormalization", "Activation", "Dropout", "Dense"]
    assert layers(build("mlp", params, DIGITS, Scalars.plain(params))) == order


def test_a_block_is_convolution_normalisation_activation_pooling_and_dropout():
    params = {"blocks": 1, "batch_norm": True, "dropout": 0.5, "units": 0}
    block = ["Conv2D", "BatchNormalization", "Activation", "MaxPooling2D", "Dropout"]
    assert layers(made("cnn", params)) == ["InputLayer", "Reshape", *block, "Flatten", "Dense"]


def test_a_value_of_one_layer_goes_before_the_value_of_all():
    model = made("mlp", {"layers": 3, "units": 4, "units_1": 6, "activation": "tanh", "activation_2": "sigmoid"})
    dense = [model.get_layer(f"dense_{index}").units for index in range(3)]
    names = [model.get_layer(f"activation_{index}").activation.__name__ for index in range(3)]
    assert (dense, names) == ([4, 6, 4], ["tanh", "tanh", "sigmoid"])


def test_pooling_stops_where_the_image_is_smaller_than_the_window():
    assert layers(made("cnn", {"blocks": 5, "filters": 2}, (4, 4))).count("MaxPooling2D") == 2


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_model_takes_the_arrays_as_they_are_and_rescales_them(dtype):
    model = made("mlp", {"layers": 0}, (3,), dtype, 2, [1.0, 0.5, 0.0], [0.0, -1.0, 0.0])
    assert model.input.dtype == dtype
    kernel = np.zeros((3, 2))
    kernel[1, 0] = 1
    model.get_layer("probabilities").set_weights([kernel, np.zeros(2)])
    x = np.array([[9, 2, 9], [9, 4, 9]], dtype)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x))[:, 0], [0.5, 1 / (1 + np.exp(-1))], rtol=1e-5)


def test_rows_that_need_no_rescaling_get_none():
    assert layers(made("mlp", {}, (2,))) == ["InputLayer", "Dense", "Activation", "Dense"]


def test_rows_are_rescaled_in_float32_whatever_the_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = made("mlp", {"layers": 0}, (1,), classes=2, scale=[0.5], offset=[-5000.0])
    x = np.array([[9998.0], [10000.0], [10002.0]])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model.get_layer("rescaling")(x)), [[-1], [0], [1]])


def test_probabilities_are_float32_in_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = made("mlp", {"units": 4}, (2,))
    finally:
        keras.config.set_dtype_policy(before)
    assert (model.get_layer("dense_0").compute_dtype, model.output.dtype) == ("bfloat16", "float32")
    params = {"units": 4}
    plain = export("mlp", params, Purpose((2,), "float32", 10), model)
    assert plain.get_layer("dense_0").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == before.name


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("mlp", {"units": 0}, "params.units: must be a whole number of at least 1 (came 0)"),
        ("mlp", {"units": 2.0}, "params.units: must be a whole number of at least 1 (came 2.0)"),
        ("mlp", {"layers": True}, "params.layers: must be a whole number of at least 0 (came true)"),
        ("mlp", {"batch_norm": 1}, "params.batch_norm: must be true or false (came 1)"),
        ("mlp", {"units": 2, "activation_0": "rleu"}, 'params.activation_0: must be "relu"'),
        ("mlp", {"kernel_initializer": "he"}, "params.kernel_initializer: must be"),
        (
            "mlp",
            {"kernel_initializer": "random_normal", "kernel_stddev": 0.0},
            "params.kernel_stddev: must be a number above 0 and finite (came 0.0)",
        ),
        ("mlp", {"loss": "binary_crossentropy"}, "training.loss: binary_crossentropy is for two classes (10 came)"),
        ("mlp", {"dropout": 1.5}, "params.dropout: must be a number at least 0 and below 1 (came 1.5)"),
        ("cnn", {"padding": "full"}, 'params.padding: must be "same" or "valid" (came "full")'),
        ("cnn", {"padding": "valid", "kernel_size": 9}, "block 0: the image must be at least as large"),
    ],
)
def test_values_that_a_family_cannot_use_are_refused(name, params, words):
    with pytest.raises(SearchError) as caught:
        made(name, params)
    assert words in str(caught.value)


def test_convolutions_need_images():
    with pytest.raises(SearchError, match=r"cnn needs images.*\(shape \(5,\) came\)"):
        made("cnn", {}, (5,))


def test_a_space_with_values_that_no_model_of_its_family_can_have_is_refused():
    """Both ends of a range count; 0 units are for cnn, which then has no such layer."""
    parameters = {
        "units": {"type": "int", "low": 0, "high": 8},
        "activation": {"type": "categorical", "choices": ["relu", "rleu"]},
        "dropout": {"type": "float", "low": 0.0, "high": 1.0},
        "unitz": {"type": "fixed", "value": 1},
    }
    with pytest.raises(SearchError) as caught:
        check_space(Space(model="mlp", parameters=parameters), "space.toml")
    first, unknown, units, activation, dropout = str(caught.value).splitlines()
    assert (first, unknown.split(":")[0]) == ("space.toml: 4 problems", "  parameters.unitz")
    assert units == "  parameters.units: must be a whole number of at least 1 (came 0)"
    assert activation.endswith('(came "rleu"); did you mean "relu"?')
    assert dropout == "  parameters.dropout: must be a number at least 0 and below 1 (came 1.0)"
    check_space(Space(model="cnn", parameters={"units": parameters["units"]}), "space.toml")


def test_each_parameter_of_a_family_has_a_law_but_for_weights_which_may_be_any_file():
    for name, family in FAMILIES.items():
        bases = family.repeated | family.single
        assert {base for base in bases if law_of(name, base) is None} == bases & {"weights"}


def test_parameters_that_a_family_would_not_read_are_refused_all_at_once():
    with pytest.raises(SearchError) as caught:
        check("mlp", ["units", "unitz", "filters", "dropout_0", "learning_rate", "layers_0"])
    first, *rest = str(caught.value).splitlines()
    assert first == "3 problems"
    assert 'parameters.unitz: the family mlp has none of that name; did you mean "units"?' in rest[0]
    assert [line.strip().split(":")[0] for line in rest] == [
        "parameters.unitz",
        "parameters.filters",
        "parameters.layers_0",
    ]


def test_an_unknown_family_is_refused_with_a_suggestion():
    with pytest.raises(SearchError, match='unknown family "mpl"; did you mean "mlp"'):
        check("mpl", [])


def test_every_training_key_may_be_a_parameter_of_any_space():
    assert set(Training.model_fields) <= TRAINING
    for family in FAMILIES:
        check(family, Training.model_fields)


def test_a_model_of_one_s_own_may_have_any_parameter():
    assert check("package.module:build", ["anything"]) is None


def test_checking_does_not_import_keras():
    code = "import sys, search.models as m; m.check('cnn', ['filters']); assert 'keras' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


PARAMS = {"layers": 2, "units": 16, "dropout": 0.3, "batch_norm": True, "l1": 1e-4, "learning_rate": 0.05}


def compiled(scalars: Scalars) -> keras.Model:
    model = build("mlp", PARAMS, DIGITS, scalars)
    model.compile(make_optimizer("adam", PARAMS, scalars), "sparse_categorical_crossentropy")
    return model


def some_digits(rows: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.integers(0, 17, (rows, 8, 8), np.uint8), generator.integers(0, 10, rows).astype(np.int32)


def test_initial_weights_follow_from_the_seed_alone():
    first, second = (build("cnn", PARAMS, DIGITS, make(PARAMS)) for make in (Scalars.plain, Scalars.variable))
    initialise(first, 1)
    before = numbers(first)
    initialise(first, 2)
    assert not np.array_equal(numbers(first)[0], before[0])
    initialise(first, 1)
    initialise(second, 1)
    assert_equal(numbers(first), before)
    assert_equal(numbers(second), before)


def test_weights_of_equal_shape_are_drawn_differently():
    model = made("mlp", {"layers": 2, "units": 64})
    initialise(model, 0)
    first, second = (np.asarray(model.get_layer(f"dense_{index}").kernel) for index in (0, 1))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("shape", [(120, 90), (3, 3, 20, 40)])
@pytest.mark.parametrize(
    "initializer",
    [
        *("glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal"),
        *("random_normal", "random_uniform", "truncated_normal", "zeros", "ones"),
        keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
    ],
)
def test_weights_are_drawn_from_the_distribution_of_keras_s_initializer(initializer, shape):
    initializer = keras.initializers.get(initializer)
    initializer.seed = 1
    drawn, expected = draw(initializer, shape, (1, 2)), np.asarray(initializer(shape))
    assert (drawn.shape, drawn.dtype) == (shape, np.float32)
    for quantile in (0.05, 0.25, 0.5, 0.9):
        assert abs(np.quantile(drawn, quantile) - np.quantile(expected, quantile)) <= expected.std() / 8
    assert abs(drawn).max() < 1.5 * abs(expected).max() + 1e-9


def test_an_initializer_that_numpy_does_not_know_is_keras_s_own_with_a_seed():
    initializer = keras.initializers.Orthogonal()
    first, again, other = (draw(initializer, (6, 6), (seed,)) for seed in (1, 1, 2))
    np.testing.assert_allclose(first @ first.T, np.eye(6), atol=1e-5)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("initializer", ["random_normal", "truncated_normal"])
def test_normal_weights_may_have_a_deviation_of_their_own(initializer):
    params = {"units": 300, "kernel_initializer": initializer, "kernel_stddev": 0.1}
    first, second = made("mlp", params, (200,)), made("mlp", params | {"kernel_stddev": 0.2}, (200,))
    kernels = [np.asarray(model.get_layer("dense_0").kernel) for model in (first, second)]
    whole = initializer == "random_normal"
    assert kernels[0].std() == pytest.approx(0.1 if whole else 0.088, abs=0.003)
    np.testing.assert_allclose(kernels[1], 2 * kernels[0], rtol=1e-6)
    other = made("mlp", params | {"kernel_initializer": "he_normal"}, (200,)).get_layer("dense_0")
    assert isinstance(other.kernel_initializer, keras.initializers.HeNormal)


def test_initial_weights_are_equal_under_every_backend():
    model = made("mlp", {"units": 4, "kernel_initializer": "he_normal"}, (2,))
    initialise(model, 7)
    first = np.asarray(model.get_layer("dense_0").kernel)
    np.testing.assert_allclose(first[0], [2.1328642, -0.6134522, 0.8878090, -0.2067233], rtol=1e-6)


def test_a_new_model_has_the_weights_of_seed_0():
    model = made("mlp", {"units": 4}, (2,))
    before = numbers(model)
    initialise(model, 0)
    assert_equal(numbers(model), before)
    assert before[0].any()


def test_a_trained_model_starts_afresh_with_its_optimizer_and_keeps_its_numbers():
    scalars = Scalars.variable(PARAMS)
    model = compiled(scalars)
    initialise(model, 5)
    before, rate = numbers(model), float(np.asarray(model.optimizer.learning_rate))
    model.fit(*some_digits(40), verbose=0)
    assert not np.array_equal(numbers(model)[2], before[2])
    initialise(model, 5)
    assert_equal(numbers(model), before)
    assert float(np.asarray(model.optimizer.learning_rate)) == rate == pytest.approx(0.05)
    slots = [np.asarray(variable) for variable in model.optimizer.variables if variable.name != "learning_rate"]
    assert not any(slot.any() for slot in slots)


def test_a_loss_scale_starts_afresh():
    model = made("mlp", {"units": 2}, (2,))
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5, momentum=0.9), initial_scale=8.0)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    initialise(model, 0)
    optimizer.build(model.trainable_variables)
    optimizer.dynamic_scale.assign(2.0)
    initialise(model, 0)
    assert float(np.asarray(optimizer.dynamic_scale)) == 8.0
    assert float(np.asarray(optimizer.learning_rate)) == 0.5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, when it saves
def test_an_exported_model_is_loaded_by_a_keras_without_toprung(tmp_path):
    scalars = Scalars.variable(PARAMS)
    model = compiled(scalars)
    initialise(model, 0)
    x, y = some_digits(40)
    model.fit(x, y, verbose=0)
    plain = export("mlp", PARAMS, DIGITS, model)
    plain.save(tmp_path / "best.keras")
    np.save(tmp_path / "x.npy", x)
    code = (
        "import sys, keras, numpy as np\n"
        "model = keras.saving.load_model('best.keras')\n"
        "np.save('y.npy', keras.ops.convert_to_numpy(model(np.load('x.npy'))))\n"
        "assert 'search' not in sys.modules"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, cwd=tmp_path, capture_output=True)
    expected = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, atol=1e-6)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(plain(x)), expected, atol=1e-6)


OWN = """
import keras

def build_model(params, input_shape, classes):
    layers = [keras.layers.Flatten(), keras.layers.Dense(params["units"])]
    frozen = keras.layers.Dense(3, trainable=False, name="frozen")
    model = keras.Sequential([keras.Input(input_shape), *layers, frozen, keras.layers.Dense(classes)])
    frozen.set_weights([keras.ops.ones((params["units"], 3)), keras.ops.zeros((3,))])
    return model

def two_classes(params, input_shape, classes):
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(2)])

def one_unit(params, input_shape, classes):
    unit = keras.layers.Dense(1, activation="sigmoid")
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), unit])

class Stepping(keras.Model):
    def train_step(self, *arguments):
        return super().train_step(*arguments)

def own_step(params, input_shape, classes):
    inputs = keras.Input(input_shape, dtype="uint8")
    x = keras.layers.Rescaling(2.0)(inputs)
    return Stepping(inputs, keras.layers.Dense(classes)(keras.layers.Flatten()(x)))

def text(params, input_shape, classes):
    return "model"

number = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_models.py").write_text(OWN)
    (tmp_path / "own_broken.py").write_text("import no_such_package_anywhere")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("own_models", "own_broken"):
        sys.modules.pop(name, None)


def test_a_model_of_one_s_own_gets_rescaled_rows(own):
    model = build("own_models:build_model", {"units": 4}, DIGITS, Scalars.plain({}))
    assert layers(model) == ["InputLayer", "Rescaling", "Sequential"]
    assert (model.input.dtype, model.output.shape) == ("uint8", (None, 10))


def test_a_model_of_one_s_own_is_initialised_as_its_function_does(own):
    model = build("own_models:build_model", {"units": 4}, DIGITS, Scalars.plain({}))
    initialise(model, 1)
    first = numbers(model)
    initialise(model, 2)
    second = numbers(model)
    initialise(model, 1)
    assert_equal(numbers(model), first)
    assert not np.array_equal(first[0], second[0])
    frozen = [np.asarray(variable) for variable in model.non_trainable_variables]
    assert frozen[0].min() == frozen[0].max() == 1


def test_a_model_of_one_s_own_is_exported_with_its_weights(own):
    args = ("own_models:build_model", {"units": 4}, DIGITS)
    model = build(*args, Scalars.plain({}))
    x, _ = some_digits(5)
    copy = export(*args, model)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(copy(x)), keras.ops.convert_to_numpy(model(x)), rtol=1e-6)


def test_a_model_with_its_own_training_step_is_taken_as_it_is(own):
    model = build("own_models:own_step", {}, DIGITS, Scalars.plain({}))
    assert type(model).__name__ == "Stepping"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own_models:build_modle", 'own_models has no function "build_modle"; did you mean "build_model"?'),
        ("own_models:kera", 'own_models has no function "kera"; there are "build_model", "'),
        ("own_models:number", 'own_models has no function "number"'),
        ("own_models:text", "must return a keras.Model (came str)"),
        ("own_models:two_classes", "must end in one probability a class (10); shape (None, 2) came"),
        ("own_broken:build", "cannot import own_broken (ModuleNotFoundError: No module named 'no_such_package"),
        ("no.such.module:build", "(ModuleNotFoundError: No module named 'no'); no.such.module:build"),
    ],
)
def test_a_function_that_gives_no_model_is_refused(own, name, words):
    with pytest.raises(SearchError) as caught:
        build(name, {}, DIGITS, Scalars.plain({}))
    assert words in str(caught.value)


def test_a_model_of_one_s_own_ends_in_one_unit_for_binary_crossentropy(own):
    purpose = Purpose((8, 8), "uint8", 2, 1 / 16)
    params = {"units": 1, "loss": "binary_crossentropy"}
    with pytest.raises(SearchError) as caught:
        build("own_models:two_classes", params, purpose, Scalars.plain({}))
    assert "must end in one sigmoid unit for binary_crossentropy (1); shape (None, 2) came" in str(caught.value)
    assert build("own_models:one_unit", params, purpose, Scalars.plain({})).output.shape == (None, 1)


def f1_of(labels: np.ndarray, scores: np.ndarray, classes: int, **weights: np.ndarray) -> float:
    metric = WeightedF1(classes)
    for start in range(0, len(labels), 16):
        batch = slice(start, start + 16)
        metric.update_state(labels[batch], scores[batch], **{name: value[batch] for name, value in weights.items()})
    return float(np.asarray(metric.result()))


def test_weighted_f1_is_scikit_learn_s_on_the_whole_split():
    from sklearn.metrics import f1_score

    generator = np.random.default_rng(0)
    labels = generator.choice([0, 1, 1, 1, 3], 100).astype(np.int32)
    scores = generator.random((100, 5)) + np.eye(5)[labels] * 0.3
    scores[:, 2] += 0.1
    predicted = scores.argmax(1)
    expected = f1_score(labels, predicted, average="weighted", zero_division=0)
    assert f1_of(labels, scores, 5) == pytest.approx(expected, abs=1e-6)
    assert f1_of(labels[:, None], scores, 5) == pytest.approx(expected, abs=1e-6)
    assert f1_of(np.eye(5)[labels], scores, 5) == pytest.approx(expected, abs=1e-6)
    weights = generator.random(100)
    expected = f1_score(labels, predicted, average="weighted", zero_division=0, sample_weight=weights)
    assert f1_of(labels, scores, 5, sample_weight=weights) == pytest.approx(expected, abs=1e-6)


def test_weighted_f1_counts_inside_a_compiled_program():
    scalars = Scalars.plain({"units": 4})
    model = build("mlp", {"units": 4}, DIGITS, scalars)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[WeightedF1(10, name="f1")])
    x, y = some_digits(40)
    logs = model.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
    assert logs["f1"] == pytest.approx(f1_of(y, keras.ops.convert_to_numpy(model(x)), 10), abs=1e-6)
    again = model.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
    assert again["f1"] == logs["f1"]
