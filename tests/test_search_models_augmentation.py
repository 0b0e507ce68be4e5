"""Augmentation: where pixels come from, when, and that compiled programs draw anew; under every backend."""

import keras
import numpy as np
import pytest

from search.errors import SearchError
from search.losses import make_loss
from search.models import build, export
from search.models.augmentation import Augmentation, resampled
from search.models.purpose import Purpose
from search.models.weights import initialise
from search.programs import build_program
from search.scalars import Scalars, make_optimizer

pytestmark = pytest.mark.backend

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.random((6, 9, 7, 2)).astype(np.float32)
ALL = {"rotation": 15.0, "shift": 0.1, "shear": 0.2, "zoom": 0.2, "flip": "horizontal"}
ROWS = 40
X = GENERATOR.integers(0, 256, (ROWS, 8, 8), np.uint8)
Y = (np.arange(ROWS) % 3).astype(np.int32)


def numpy(tensor: object) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def moved(images: np.ndarray, x_from: tuple, y_from: tuple) -> np.ndarray:
    rows = [tuple(np.full(len(images), number, np.float32) for number in numbers) for numbers in (x_from, y_from)]
    return numpy(resampled(keras.ops.convert_to_tensor(images), *rows))


def test_pixels_that_come_from_their_own_place_stay():
    np.testing.assert_allclose(moved(IMAGES, (1, 0, 0), (0, 1, 0)), IMAGES, atol=1e-6)


def test_pixels_from_beyond_an_edge_are_the_nearest():
    expected = np.pad(IMAGES, ((0, 0), (0, 3), (2, 0), (0, 0)), "edge")[:, 3:, :7]
    np.testing.assert_allclose(moved(IMAGES, (1, 0, -2), (0, 1, 3)), expected, atol=1e-6)


def test_a_quarter_turn_is_numpy_s():
    square = IMAGES[:, :7]
    np.testing.assert_allclose(moved(square, (0, 1, 0), (-1, 0, 6)), np.rot90(square, -1, (1, 2)), atol=1e-6)


def test_a_place_between_pixels_is_their_mean():
    expected = (IMAGES[:, :-1, :-1] + IMAGES[:, 1:, :-1] + IMAGES[:, :-1, 1:] + IMAGES[:, 1:, 1:]) / 4
    np.testing.assert_allclose(moved(IMAGES, (1, 0, 0.5), (0, 1, 0.5))[:, :-1, :-1], expected, rtol=1e-5)


def test_images_of_one_row_or_column_have_no_neighbours_to_mix_with():
    for image in (IMAGES[:, :1], IMAGES[:, :, :1]):
        np.testing.assert_allclose(moved(image, (1, 0, 0), (0, 1, 0)), image, atol=1e-6)


def test_any_transform_is_keras_s():
    transforms = np.tile([1, 0, 0, 0, 1, 0, 0, 0], (6, 1)) + GENERATOR.normal(size=(6, 8)) * 0.3
    transforms[:, [2, 5]] *= 5
    transforms[:, 6:] = 0
    transforms = transforms.astype(np.float32)
    expected = numpy(keras.ops.image.affine_transform(IMAGES, transforms, fill_mode="nearest"))
    a, b, c, d, e, f = (transforms[:, index] for index in range(6))
    np.testing.assert_allclose(
        numpy(resampled(keras.ops.convert_to_tensor(IMAGES), (a, b, c), (d, e, f))), expected, atol=1e-5
    )


SIZE = 33
PLACES = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1).astype(np.float32) - SIZE // 2
"""An image whose pixels are their own places (x, y), counted from the centre."""


def maps(limits: dict, flip: str = "none") -> tuple[np.ndarray, np.ndarray]:
    """For 200 images, the place that the centre came from, and the 2 x 2 matrix around it (x_from, y_from)."""
    layer = Augmentation(limits, flip)
    layer.seed_generator.state.assign([7, 0])
    out = numpy(layer(np.repeat(PLACES[None], 200, 0), training=True))
    middle = SIZE // 2
    centre = out[:, middle, middle]
    return centre, np.stack([out[:, middle, middle + 1] - centre, out[:, middle + 1, middle] - centre], -1)


def test_images_are_turned_by_up_to_the_angle():
    centre, matrix = maps({"rotation": 30.0})
    np.testing.assert_allclose(centre, 0, atol=1e-4)
    np.testing.assert_allclose(matrix @ matrix.transpose(0, 2, 1), np.tile(np.eye(2), (200, 1, 1)), atol=1e-4)
    angles = np.degrees(np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0]))
    assert 28 < angles.max() <= 30.01
    assert -28 > angles.min() >= -30.01


def test_images_are_moved_by_up_to_their_part():
    centre, matrix = maps({"shift": 0.25})
    np.testing.assert_allclose(matrix, np.tile(np.eye(2), (200, 1, 1)), atol=1e-4)
    assert 0.23 * SIZE < centre.max() <= 0.2501 * SIZE
    assert -0.23 * SIZE > centre.min() >= -0.2501 * SIZE
    assert abs(np.corrcoef(centre[:, 0], centre[:, 1])[0, 1]) < 0.2


def test_images_are_zoomed_and_sheared_by_up_to_their_part():
    _, matrix = maps({"zoom": 0.5})
    assert np.abs(matrix[:, [0, 1], [1, 0]]).max() < 1e-4
    np.testing.assert_allclose(matrix[:, 0, 0], matrix[:, 1, 1], atol=1e-4)
    assert 0.5 <= matrix[:, 0, 0].min() < 0.53 < 1.47 < matrix[:, 0, 0].max() <= 1.5
    _, matrix = maps({"shear": 0.5})
    np.testing.assert_allclose(matrix[:, [0, 1, 1], [0, 1, 0]], np.tile([1, 1, 0], (200, 1)), atol=1e-4)
    assert -0.5 <= matrix[:, 0, 1].min() < -0.47 < 0.47 < matrix[:, 0, 1].max() <= 0.5


@pytest.mark.parametrize(("flip", "across", "down"), [("horizontal", 1, 0), ("vertical", 0, 1), ("both", 1, 1)])
def test_half_of_the_images_are_flipped(flip, across, down):
    _, matrix = maps({}, flip)
    flipped = matrix[:, [0, 1], [0, 1]] == -1
    assert set(np.abs(matrix).ravel()) == {0, 1}
    assert (0.4 < flipped[:, 0].mean() < 0.6, 0.4 < flipped[:, 1].mean() < 0.6) == (bool(across), bool(down))


def test_images_change_in_training_alone_and_keep_their_type():
    layer = Augmentation({"shift": 0.5}, dtype="mixed_float16")
    for images in (IMAGES, IMAGES[..., 0]):
        changed = layer(images, training=True)
        assert (changed.shape, keras.backend.standardize_dtype(changed.dtype)) == (images.shape, "float16")
        assert not np.allclose(numpy(changed), images, atol=0.01)
        assert np.allclose(numpy(layer(images, training=False)), images, atol=0.01)


def compiled(params: dict, name: str = "mlp") -> tuple[keras.Model, Scalars]:
    params = {"units": 4, "learning_rate": 0.1} | params
    scalars = Scalars.variable(params)
    model = build(name, params, Purpose((8, 8), "uint8", 3, 1 / 255), scalars)
    loss = make_loss("sparse_categorical_crossentropy", 3)
    model.compile(make_optimizer("sgd", params, scalars), loss, metrics=["accuracy"], jit_compile=False)
    return model, scalars


def losses(model: keras.Model, program: object, seeds: tuple[int, ...]) -> list[float]:
    """The loss of an epoch from the same weights for each seed, as a trial's epochs are seeded."""
    data, found = program.to_device(X, Y), []
    for seed in seeds:
        initialise(model, 0)
        (state,) = [variable for variable in model.variables if variable.name.endswith("seed_generator_state")]
        state.assign(np.array([seed, 0], state.dtype))
        found.append(program.train(data, np.arange(ROWS, dtype=np.int32))["loss"])
    return found


@pytest.mark.parametrize("jit_compile", [False, True] if keras.backend.backend() == "tensorflow" else [False])
def test_a_program_draws_new_images_from_every_seed(jit_compile):
    model, _ = compiled(ALL)
    first, again, other = losses(model, build_program(model, 16, jit_compile=jit_compile), (1, 1, 2))
    assert first == again
    assert abs(first - other) > 1e-4


def test_limits_change_without_a_new_program():
    model, scalars = compiled(ALL | {"flip": "none"})
    program = build_program(model, 16)
    (before,) = losses(model, program, (1,))
    scalars.assign({"learning_rate": 0.1, "rotation": 0.0, "shift": 0.0, "shear": 0.0, "zoom": 0.0})
    (still,) = losses(model, program, (1,))
    plain, _ = compiled({})
    weights = [np.asarray(variable) for variable in model.trainable_variables]
    initialise(model, 0)
    for source, target in zip(model.trainable_variables, plain.trainable_variables, strict=True):
        target.assign(source)
    unchanged = build_program(plain, 16)
    expected = unchanged.train(unchanged.to_device(X, Y), np.arange(ROWS, dtype=np.int32))["loss"]
    assert still == pytest.approx(expected, rel=1e-5)
    assert abs(before - still) > 1e-4
    for mine, theirs in zip(weights, plain.trainable_variables, strict=True):
        np.testing.assert_allclose(mine, np.asarray(theirs), atol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "cnn", "named"])
def test_augmentation_comes_first_after_rescaling_and_an_exported_model_has_none(name):
    params = {"architecture": "mlp1", "filters": 2, "units": 4} | ALL
    scalars = Scalars.variable(params)
    purpose = Purpose((8, 8, 1), "uint8", 3, 1 / 255)
    model = build(name, params, purpose, scalars)
    assert [layer.name for layer in model.layers[:3]] == ["inputs", "rescaling", "augmentation"]
    plain = export(name, params, purpose, model)
    assert "augmentation" not in [layer.name for layer in plain.layers]
    np.testing.assert_allclose(numpy(plain(X[..., None])), numpy(model(X[..., None])), atol=1e-6)


def test_a_model_without_augmentation_has_no_layer_for_it():
    model = build("mlp", {"flip": "none"}, Purpose((8, 8), "uint8", 3), Scalars.plain({"flip": "none"}))
    assert "augmentation" not in [layer.name for layer in model.layers]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"rotation": 360.0}, "params.rotation: must be a number of degrees at least 0 and below 360 (came 360.0)"),
        ({"zoom": 1.0}, "params.zoom: must be a number at least 0 and below 1 (came 1.0)"),
        ({"flip": "horizontl"}, 'params.flip: must be "none", "horizontal", "vertical" or "both" (came "horizontl")'),
    ],
)
def test_limits_have_laws(params, words):
    with pytest.raises(SearchError) as caught:
        build("mlp", params, Purpose((8, 8), "uint8", 3), Scalars.plain(params))
    assert words in str(caught.value)


def test_only_images_can_be_augmented():
    with pytest.raises(SearchError, match=r"params.shift: augmentation needs images.*\(shape \(5,\) came\)"):
        build("mlp", {"shift": 0.1}, Purpose((5,), "float32", 3), Scalars.plain({"shift": 0.1}))
