"""Hostile files of weights: they are taken into our own layers, or refused; a model file is never loaded as one."""

import contextlib
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from search.errors import SearchError
from search.models.transfer import _load

pytestmark = pytest.mark.slow


def dense():
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(3, name="dense")])
    model.layers[0].set_weights([np.zeros((2, 3)), np.zeros(3)])
    return model


def weights_file(path, kernel):
    """A file of weights in Keras's older form, whose kernel is whatever `kernel` makes of the group it lies in."""
    with h5py.File(path.with_name("other.h5"), "w") as other:
        other["x"] = np.ones((2, 3), "f4")
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        group = file.create_group("dense")
        group.attrs["weight_names"] = [b"dense/kernel:0", b"dense/bias:0"]
        group.create_dataset("dense/bias:0", data=np.zeros(3, "f4"))
        kernel(group, path.with_name("other.h5"))


def _outside(group, other):
    group.create_dataset("dense/kernel:0", (2, 3), "f4", external=[(str(other), 0, 24)])


def _linked(group, other):
    group["dense/kernel:0"] = h5py.ExternalLink(str(other), "x")


def _virtual(group, other):
    layout = h5py.VirtualLayout((2, 3), "f4")
    layout[:] = h5py.VirtualSource(str(other), "x", (2, 3))
    group.create_virtual_dataset("dense/kernel:0", layout)


def _bomb(group, other):
    shape = {"shape": (200_000, 50_000), "chunks": (1000, 1000)}
    group.create_dataset("dense/kernel:0", dtype="f4", compression="gzip", fillvalue=1, **shape)


def _missing(group, other):
    pass


def _text(group, other):
    group.create_dataset("dense/kernel:0", data=[b"a", b"b"])


@pytest.mark.parametrize("kernel", [_outside, _linked, _virtual, _bomb, _missing, _text])
def test_weights_that_reach_out_of_their_file_or_fill_the_memory_are_refused(tmp_path, kernel):
    weights_file(tmp_path / "evil.h5", kernel)
    model = dense()
    with pytest.raises(SearchError, match=r"evil\.h5. must hold the weights of MobileNet") as refusal:
        _load(model, "MobileNet", tmp_path / "evil.h5")
    assert "\n" not in str(refusal.value)
    assert not model.layers[0].get_weights()[0].any()


@pytest.mark.parametrize("name", ["evil.keras", "evil.h5", "evil.weights.h5"])
def test_weights_from_a_model_file_never_run_what_its_layers_say(tmp_path, monkeypatch, name):
    """A model may hold code, in Lambda layers; its weights are taken into our own layers, or not at all."""
    monkeypatch.chdir(tmp_path)
    evil = keras.layers.Lambda(lambda x: [Path("canary").touch(), x][1], output_shape=(3,))
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(3, name="dense"), evil])
    (tmp_path / "canary").unlink(missing_ok=True)
    model.save_weights(name) if name.endswith(".weights.h5") else model.save(name)
    with contextlib.suppress(SearchError):
        _load(dense(), "MobileNet", tmp_path / name)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"x" * 5000])
@pytest.mark.parametrize("name", ["evil.h5", "evil.weights.h5", "evil.keras", "evil.weights.json", "evil.pkl"])
def test_a_file_that_holds_no_weights_is_one_clear_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SearchError, match="must hold the weights of MobileNet") as refusal:
        _load(dense(), "MobileNet", tmp_path / name)
    assert "\n" not in str(refusal.value)
