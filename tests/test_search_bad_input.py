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
    """Runs a study that cannot be trained; the one error that came, nothing being left behind unless it is `begun`."""
    use_inline_workers(monkeypatch)
    monkeypatch.chdir(tmp_path)

    def run(*overrides, space=SPACE, shape=(6, 6), begun=False):
        (tmp_path / "study.toml").write_text(STUDY)
        (tmp_path / "space.toml").write_text(space)
        if not (tmp_path / "data.npz").exists():
            make_images(tmp_path / "data.npz", shape, classes=3, each=12)
        before = sorted(tmp_path.iterdir())
        changes = [word for change in overrides for word in ("--set", change)]
        assert run_verb(app, ["run", "study.toml", "--quiet", *changes]) == 2
        message = capsys.readouterr().err
        assert (message.count("error: "), message.count("\n")) == (1, 1)
        assert begun or sorted(tmp_path.iterdir()) == before
        return message

    return run


def spoilt(folder, **arrays):
    """The data with other arrays."""
    make_images(folder / "data.npz", (6, 6), classes=3, each=12)
    with np.load(folder / "data.npz") as file:
        np.savez(folder / "data.npz", **{**file, **arrays})


def test_a_class_that_does_not_exist_is_refused(refused):
    assert 'has no class "7"' in refused("data.classes=[0, 7]")


def test_images_of_different_sizes_are_refused(refused, tmp_path):
    for label in "ab":
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(4):
            side = 9 if (label, number) == ("b", 3) else 6
            Image.new("L", (side, 6)).save(tmp_path / "images" / label / f"{number}.png")
    message = refused("data.source=./images")
    assert "b/3.png" in message
    assert "size" in message


def test_labels_out_of_range_are_refused(refused, tmp_path):
    spoilt(tmp_path, y_train=np.arange(36) % 12)
    message = refused("data.source=mnist", "data.path=data.npz")
    assert "labels must be among the 10 classes" in message
    assert "came 10, 11" in message


def test_a_class_that_is_missing_from_a_split_is_refused(refused, tmp_path):
    spoilt(tmp_path, y_train=np.array([2] + [0, 1] * 17 + [0]))
    assert "class '2': at least 2 rows are needed for the training and the validation split (1 came)" in refused()


def test_fewer_images_than_a_batch_are_refused(refused):
    assert "a batch must fit into the training split, which has 29 rows (came 64)" in refused("training.batch_size=64")


def test_a_schedule_that_is_longer_than_the_run_is_refused(refused):
    assert "schedule_every" in refused("training.schedule=step", "training.schedule_every=9")


def test_weights_that_are_not_there_are_refused(refused):
    message = refused("training.batch_size=8", space=TRANSFER)
    assert 'params.weights: must be a file, "imagenet" or "random" (came "own.weights.h5"' in message


@pytest.mark.slow
def test_weights_of_another_shape_are_refused(refused, tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.save_weights(tmp_path / "own.weights.h5")
    message = refused("training.batch_size=8", space=TRANSFER, shape=(8, 8), begun=True)
    assert 'own.weights.h5" must hold the weights of MobileNetV2 without its top' in message
