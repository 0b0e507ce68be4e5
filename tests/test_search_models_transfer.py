"""Transfer from a network trained elsewhere; weights of its own stand in for ImageNet's, under every backend."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from search.errors import SearchError
from search.losses import make_loss
from search.models import build, export
from search.models.pretrained import BACKBONES, locate
from search.models.purpose import Purpose
from search.models.weights import initialise
from search.programs import build_program
from search.scalars import Scalars, make_optimizer

pytestmark = [pytest.mark.backend, pytest.mark.slow]

PARAMS = {"units": 512, "dropout": 0.5, "learning_rate": 0.01}
GREY = Purpose((28, 28), "uint8", 10, 1 / 255)
X = np.random.default_rng(0).integers(0, 256, (8, 28, 28), np.uint8)
Y = np.arange(8, dtype=np.int32)


MODULES = {
    "MobileNetV2": keras.applications.mobilenet_v2,
    "MobileNet": keras.applications.mobilenet,
    "ResNet50V2": keras.applications.resnet_v2,
    "DenseNet121": keras.applications.densenet,
}


def made(weights: str, folder: Path = Path(), **params: object) -> tuple[keras.Model, Scalars]:
    params = PARAMS | {"weights": weights} | params
    scalars = Scalars.variable(params)
    return build("transfer", params, replace(GREY, folder=folder), scalars), scalars


def backbone_of(model: keras.Model) -> keras.Model:
    (found,) = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return found


def values(variables: list) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assert_equal(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def random_model():
    return made("random")[0]


@pytest.fixture(scope="module")
def folder(random_model, tmp_path_factory):
    """A folder with the weights of a backbone, as Keras saves them."""
    path = tmp_path_factory.mktemp("weights")
    initialise(random_model, 9)
    backbone_of(random_model).save_weights(path / "mine.weights.h5")
    return path


def test_the_layers_are_the_report_s(random_model):
    names = [layer.name for layer in random_model.layers]
    names[names.index(backbone_of(random_model).name)] = "backbone"
    first = ["inputs", "rescaling", "channels", "frame", "colour", "preprocessing", "backbone", "average", "norm"]
    assert names == [*first, "dense_0", "activation_0", "dropout_0", "probabilities"]
    assert random_model.get_layer("colour").output.shape == (None, 32, 32, 3)
    weights = 2_257_984 + 4 * 1280 + 1280 * 512 + 512 + 512 * 10 + 10
    assert sum(int(np.prod(v.shape)) for v in random_model.weights if not v.name.startswith("scalar_")) == weights


def test_a_backbone_gets_what_its_own_preprocessing_gives(random_model):
    before = keras.Model(random_model.input, random_model.get_layer("preprocessing").output)
    framed = np.pad(X, ((0, 0), (2, 2), (2, 2)))[..., None].repeat(3, -1).astype(np.float32)
    for name, module in MODULES.items():
        ours = framed / 255 * BACKBONES[name].scale + BACKBONES[name].offset
        np.testing.assert_allclose(ours, module.preprocess_input(framed.copy()), atol=1e-5)
    expected = keras.applications.mobilenet_v2.preprocess_input(framed.copy())
    np.testing.assert_allclose(keras.ops.convert_to_numpy(before(X)), expected, atol=1e-5)


def test_a_frozen_backbone_does_not_train_and_the_optimizer_holds_nothing_for_it(folder):
    model, scalars = made("mine.weights.h5", folder, rotation=10.0)
    assert len(model.trainable_variables) == 6  # the normalisation's two, the dense layers' four
    optimizer = make_optimizer("adam", PARAMS, scalars)
    loss = make_loss("categorical_crossentropy", 10, scalars)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
    program = build_program(model, 4)
    assert len(optimizer.variables) == 2 + 2 * 6
    backbone = backbone_of(model)
    initialise(model, 1)
    before, head = values(backbone.variables), values(model.trainable_variables)
    program.train(program.to_device(X, Y), np.arange(8, dtype=np.int32))
    assert_equal(values(backbone.variables), before)
    assert not np.array_equal(values(model.trainable_variables)[2], head[2])
    initialise(model, 2)
    assert_equal(values(backbone.variables), before)
    assert not np.array_equal(values(model.trainable_variables)[2], head[2])
    plain = export("transfer", PARAMS | {"weights": "mine.weights.h5"}, replace(GREY, folder=folder), model)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(plain(X)), keras.ops.convert_to_numpy(model(X)), atol=1e-5)


def test_pretrained_weights_come_back_after_they_were_tuned(folder, random_model):
    model, _ = made("mine.weights.h5", folder, fine_tune=3)
    initialise(random_model, 9)
    before = values(backbone_of(model).variables)
    assert_equal(before, values(backbone_of(random_model).variables))
    trained = [variable.path for variable in backbone_of(model).trainable_variables]
    assert len(trained) == 1
    assert "Conv_1/kernel" in trained[0]
    backbone_of(model).trainable_variables[0].assign(np.zeros_like(before[-5], dtype=np.float32))
    initialise(model, 3)
    assert_equal(values(backbone_of(model).variables), before)


def test_weights_in_the_form_that_keras_hands_out_are_read(folder, random_model, tmp_path):
    import h5py
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    initialise(random_model, 9)
    with h5py.File(tmp_path / "old.h5", "w") as file:
        save_weights_to_hdf5_group(file, backbone_of(random_model))
    model, _ = made("old.h5", tmp_path)
    assert_equal(values(backbone_of(model).weights), values(backbone_of(random_model).weights))


def test_random_weights_follow_from_the_seed(random_model):
    kernel = backbone_of(random_model).get_layer("Conv1").kernel
    drawn = []
    for seed in (1, 2, 1):
        initialise(random_model, seed)
        drawn.append(np.asarray(kernel))
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])
    limit = np.sqrt(6 / (9 * 3 + 9 * 32))
    assert 0.9 * limit < np.abs(drawn[0]).max() <= limit
    depthwise = np.asarray(backbone_of(random_model).get_layer("expanded_conv_depthwise").kernel)
    assert depthwise.std() > 0.05


def test_keras_looks_for_initializers_among_custom_objects_first():
    with keras.utils.CustomObjectScope({"glorot_uniform": keras.initializers.Zeros}):
        assert isinstance(keras.layers.Conv2D(1, 1).kernel_initializer, keras.initializers.Zeros)


def test_weights_of_another_network_are_one_clear_error(folder, tmp_path):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(tmp_path / "other.weights.h5")
    (tmp_path / "text.h5").write_text("no weights")
    for name in ("other.weights.h5", "text.h5"):
        with pytest.raises(SearchError) as caught:
            made(name, tmp_path)
        message = str(caught.value)
        assert f'{name}" must hold the weights of MobileNetV2 without its top' in message
        assert "\n" not in message


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"weights": "none.h5"}, 'params.weights: must be a file, "imagenet" or "random" (came "none.h5"; '),
        ({"backbone": "MobileNetV3"}, 'params.backbone: must be "MobileNetV2"'),
        ({"fine_tune": 200}, "params.fine_tune: must be at most the 154 layers of MobileNetV2 (came 200)"),
        ({"fine_tune": -1}, "params.fine_tune: must be a whole number of at least 0 (came -1)"),
    ],
)
def test_values_that_transfer_cannot_use_are_refused(tmp_path, params, words):
    with pytest.raises(SearchError) as caught:
        made(**({"weights": "random", "folder": tmp_path} | params))
    assert words in str(caught.value)


def test_other_images_are_refused():
    for shape, words in (((8, 8, 4), "takes grey or colour images (4 channels came)"), ((5,), "transfer needs images")):
        with pytest.raises(SearchError) as caught:
            build("transfer", {"weights": "random"}, Purpose(shape, "uint8", 3, 1 / 255), Scalars.plain({}))
        assert words in str(caught.value)
    with pytest.raises(SearchError, match=r"data.normalise: a pretrained backbone has its own"):
        build("transfer", {}, Purpose((8, 8, 3), "uint8", 3, [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]), Scalars.plain({}))


@pytest.mark.parametrize("backbone", [name for name in BACKBONES if name != "MobileNetV2"])
def test_every_backbone_makes_a_model(backbone):
    params = {"backbone": backbone, "weights": "random", "units": 4}
    model = build("transfer", params, Purpose((32, 32, 3), "uint8", 10, 1 / 255), Scalars.plain(params))
    assert np.isfinite(keras.ops.convert_to_numpy(model(np.zeros((1, 32, 32, 3), np.uint8)))).all()
    assert "frame" not in [layer.name for layer in model.layers]
    kernels = [layer.kernel for layer in backbone_of(model).layers if hasattr(layer, "kernel")]
    assert all(np.asarray(kernel).any() for kernel in kernels)


def test_weights_in_keras_s_cache_are_used(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    place = tmp_path / "models" / BACKBONES["MobileNetV2"].file
    place.parent.mkdir()
    place.write_bytes(b"weights")
    assert locate("MobileNetV2", "imagenet", Path()) == place


def test_weights_that_cannot_be_fetched_are_told_with_their_address_and_place(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(SearchError) as caught:
        locate("MobileNetV2", "imagenet", Path())
    message = str(caught.value)
    file = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    assert f"keras-applications/mobilenet_v2/{file} and put it into {tmp_path / 'models'}" in message
    assert 'weights = "FILE.h5"' in message
    assert "\n" not in message


def test_finding_weights_does_not_import_keras(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"")
    code = (
        "import sys\nfrom pathlib import Path\nfrom search.models.pretrained import locate\n"
        f"locate('MobileNet', 'a.h5', Path({json.dumps(str(tmp_path))}))\nassert 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
