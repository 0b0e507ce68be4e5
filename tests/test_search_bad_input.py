"""Studies that cannot be trained as they are written: one clear error each, exit code 2, nothing left behind."""

import keras
import numpy as np
import pytest
from inline import make_images, use_inline_workers
from PIL import Image

from search.boundary import run_verb
from search.cli import app

STUDY = """
name = "bad"
space = "space.toml"
[data]
source = "data.npz"
[hyperband]
max_resource = 3
[budget]
trials = 2
"""
SPACE = 'model = "mlp"\n[parameters]\nunits = { type = "ordinal", choices = [4, 8] }\n'
TRANSFER = 'model = "transfer"\n[parameters]\nweights = { type = "fixed", value = "own.weights.h5" }\n'


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Runs a study on what `spoil` has made of its folder; the one error that came."""
    use_inline_workers(monkeypatch)
    monkeypatch.chdir(tmp_path)

    def run(*overrides, space=SPACE, shape=(6, 6)):
        (tmp_path / "study.toml").write_text(STUDY)
        (tmp_path / "space.toml").write_text(space)
        if not (tmp_path / "data.npz").exists():
            make_images(tmp_path / "data.npz", shape, classes=3, each=12)
        before = sorted(tmp_path.iterdir())
        changes = [word for change in overrides for word in ("--set", change)]
        assert run_verb(app, ["run", "study.toml", "--quiet", *changes]) == 2
        message = capsys.readouterr().err
        assert (message.count("error: "), message.count("\n")) == (1, 1)
        return message, sorted(tmp_path.iterdir()) == before

    return run


def spoilt(folder, **arrays):
    """The data with other arrays."""
    make_images(folder / "data.npz", (6, 6), classes=3, each=12)
    with np.load(folder / "data.npz") as file:
        np.savez(folder / "data.npz", **{**file, **arrays})


def test_a_class_that_does_not_exist(refused):
    message, clean = refused("data.classes=[0, 7]")
    assert 'has no class "7"' in message
    assert clean


def test_images_of_different_sizes(refused, tmp_path):
    for label in "ab":
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(4):
            side = 9 if (label, number) == ("b", 3) else 6
            Image.new("L", (side, 6)).save(tmp_path / "images" / label / f"{number}.png")
    message, clean = refused("data.source=./images")
    assert "b/3.png" in message
    assert "size" in message
    assert clean


def test_labels_out_of_range(refused, tmp_path):
    spoilt(tmp_path, y_train=np.arange(36) % 12)
    message, clean = refused("data.source=mnist", "data.path=data.npz")
    assert "labels must be among the 10 classes" in message
    assert "came 10, 11" in message
    assert clean


def test_a_class_that_is_missing_from_a_split(refused, tmp_path):
    spoilt(tmp_path, y_train=np.array([2] + [0, 1] * 17 + [0]))
    message, clean = refused()
    assert "class '2': at least 2 rows are needed for the training and the validation split (1 came)" in message
    assert clean


def test_fewer_images_than_a_batch(refused):
    message, clean = refused("training.batch_size=64")
    assert "a batch must fit into the training split, which has 29 rows (came 64)" in message
    assert clean


def test_a_schedule_that_is_longer_than_the_run(refused):
    message, clean = refused("training.schedule=step", "training.schedule_every=9")
    assert "schedule_every" in message
    assert clean


def test_weights_that_are_not_there(refused):
    message, clean = refused("training.batch_size=8", space=TRANSFER)
    assert 'params.weights: must be a file, "imagenet" or "random" (came "own.weights.h5"' in message
    assert clean


@pytest.mark.slow
def test_weights_of_another_shape(refused, tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.save_weights(tmp_path / "own.weights.h5")
    message, _ = refused("training.batch_size=8", space=TRANSFER, shape=(8, 8))
    assert 'own.weights.h5" must hold the weights of MobileNetV2 without its top' in message
