"""Architectures by name and the spaces of the catalog: the published networks, weight by weight."""

import keras
import pytest

from search.errors import SearchError
from search.models import build, check
from search.models.architectures import ARCHITECTURES
from search.models.purpose import Purpose
from search.models.summary import layer_rows
from search.scalars import Scalars
from spaces import CATALOG, catalog_names, load_space

pytestmark = pytest.mark.backend

MNIST, CIFAR = (28, 28), (32, 32, 3)


def made(name: str, params: dict, shape: tuple, classes: int = 10, scalars: object = None) -> keras.Model:
    return build(name, params, Purpose(shape, "uint8", classes, 1 / 255), scalars or Scalars.plain(params))


def named(architecture: str, shape: tuple = CIFAR, **params: object) -> keras.Model:
    return made("named", {"architecture": architecture, **params}, shape)


@pytest.mark.parametrize(
    ("architecture", "shape", "weights"),
    [
        ("mlp1", CIFAR, 98_666),
        ("mlp2", CIFAR, 101_034),
        ("mlp3", CIFAR, 1_738_890),
        ("mlp128", MNIST, 101_770),
        ("cnn3", CIFAR, 11_394),
        ("cnn4", CIFAR, 13_810),
        ("cnn5", CIFAR, 8_490),
        ("cnn_norm", CIFAR, 320_074),
        ("cnn_norm_deep", CIFAR, 552_874),
    ],
)
def test_an_architecture_has_its_number_of_weights(architecture, shape, weights):
    assert named(architecture, shape).count_params() == weights


def test_every_architecture_has_been_counted():
    counted = next(mark for mark in test_an_architecture_has_its_number_of_weights.pytestmark)
    assert {row[0] for row in counted.args[1]} == set(ARCHITECTURES)


def test_two_classes_make_one_unit_of_a_named_network():
    model = made("named", {"architecture": "mlp128", "loss": "binary_crossentropy"}, MNIST, classes=2)
    assert model.count_params() == 100_609


def activations(model: keras.Model) -> list[str]:
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Activation)]
    return [layer.activation.__name__ for layer in layers]


def rates(model: keras.Model) -> list[float]:
    return [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]


def test_a_model_is_told_layer_by_layer_with_what_it_was_given():
    params = {"blocks": 1, "filters": 4, "units": 8, "dropout": 0.3, "flip": "horizontal"}
    plain = layer_rows(made("cnn", params, (8, 8)))
    assert [row[1:] for row in plain if row[0] in ("conv_0", "pool_0", "activation_0", "probabilities")] == [
        ("Conv2D 3 x 3 same", "8 x 8 x 4", 40),
        ("Activation relu", "8 x 8 x 4", 0),
        ("MaxPooling2D 2 x 2 valid", "4 x 4 x 4", 0),
        ("Dense softmax", "10", 90),
    ]
    assert ("dropout_0", "Dropout 0.3", "4 x 4 x 4", 0) in plain
    variable = layer_rows(made("cnn", params, (8, 8), scalars=Scalars.variable(params)))
    assert [row for row in variable if row[0] != "augmentation"] == [row for row in plain if row[0] != "augmentation"]


def test_a_model_of_layers_that_know_no_output_is_told_all_the_same():
    class Twice(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = keras.layers.Dense(3, name="inner")

        def call(self, inputs: object) -> object:
            return self.inner(self.inner(inputs))

    model = Twice()
    model(keras.ops.zeros((1, 3)))
    assert layer_rows(model) == [("inner", "Dense", "", 12)]


def test_a_value_for_all_layers_takes_the_place_of_those_of_single_layers():
    assert rates(named("mlp3")) == [0.3, 0.4, 0.5]
    assert rates(named("mlp3", dropout=0.1)) == [0.1, 0.1, 0.1]
    assert rates(named("mlp3", dropout_1=0.1)) == [0.3, 0.1, 0.5]
    widths = [layer.units for layer in named("mlp3", units=16).layers if isinstance(layer, keras.layers.Dense)]
    assert widths == [16, 16, 16, 10]


def test_another_activation_spares_the_layers_that_have_none():
    assert activations(named("cnn3", activation="sigmoid")) == ["sigmoid", "sigmoid", "linear"]
    assert activations(named("mlp2", activation="tanh")) == ["tanh", "linear"]
    assert activations(named("cnn3", activation_2="relu")) == ["relu", "relu", "relu"]


def test_a_network_may_be_filled_in():
    model = named("cnn4", batch_norm=True, kernel_initializer="he_normal", units=8, rotation=10.0)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert (kinds.count("BatchNormalization"), kinds.count("Augmentation")) == (5, 1)
    assert isinstance(model.get_layer("conv_0").kernel_initializer, keras.initializers.HeNormal)


def test_a_number_of_the_trial_s_is_a_variable_and_one_of_the_architecture_s_is_not():
    params = {"architecture": "mlp3", "dropout_0": 0.2}
    scalars = Scalars.variable(params)
    made("named", params, MNIST, scalars=scalars)
    scalars.assign(params | {"dropout_0": 0.1})
    with pytest.raises(SearchError, match=r"params\.dropout_0: is missing"):
        scalars.assign({"architecture": "mlp3"})


def test_an_unknown_architecture_is_refused_with_a_suggestion():
    with pytest.raises(SearchError, match=r'params.architecture: must be "mlp1".*did you mean "cnn4"'):
        named("cn4")


def test_a_convolutional_architecture_needs_images():
    with pytest.raises(SearchError, match=r"params.architecture: cnn4 needs images.*\(shape \(5,\) came\)"):
        named("cnn4", (5,))
    assert named("mlp1", (5,)).count_params() == 5 * 32 + 32 + 330


def test_padding_kernels_and_pools_may_differ_from_block_to_block():
    params = {"filters_0": 4, "filters_1": 5, "kernel_size_1": 5, "padding_1": "valid", "pool_0": 1, "units": 0}
    model = made("cnn", params | {"activation_1": "linear", "bias_1": False}, CIFAR)
    assert model.get_layer("conv_0").output.shape[1:] == (32, 32, 4)
    assert model.get_layer("conv_1").output.shape[1:] == (28, 28, 5)
    assert not model.get_layer("conv_1").use_bias
    assert activations(model) == ["relu", "linear"]


def test_several_dense_layers_may_follow_the_convolutions():
    params = {"blocks": 1, "filters": 2, "units_0": 8, "units_1": 6, "dense_dropout_0": 0.5, "dense_dropout_1": 0.2}
    model = made("cnn", params, (4, 4))
    assert [model.get_layer(f"dense_head_{index}").units for index in (0, 1)] == [8, 6]
    assert rates(model) == [0.5, 0.2]
    repeated = made("cnn", {"blocks": 1, "dense_layers": 3, "units": 4, "dense_dropout": 0.1}, (4, 4))
    assert rates(repeated) == [0.1, 0.1, 0.1]


SPACES = [name for name in catalog_names(CATALOG) if name != "transfer"]


@pytest.mark.parametrize("name", SPACES)
def test_every_space_of_the_catalog_makes_a_model(name):
    space = load_space(name)
    check(space.model, space.parameters)
    params = space.default()
    classes = 2 if params.get("loss") == "binary_crossentropy" else 10
    made(space.model, params, (2,) if name == "xor_mlp" else CIFAR, classes, Scalars.variable(params))
