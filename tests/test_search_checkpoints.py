import os
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from search.blobs import FolderBlobs
from search.checkpoints import Checkpoints
from search.errors import SearchError
from search.progress import Progress, best_epoch

STATE = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.arange(6, dtype=np.float32).reshape(2, 3).T,  # lies otherwise in memory
    np.int64(7) * np.ones((), np.int64),
    np.ones(3, ml_dtypes.bfloat16),
]
WEIGHTS = [np.ones((2, 3), np.float32)]


@pytest.fixture
def blobs(tmp_path):
    return FolderBlobs(tmp_path)


def test_a_blob_has_the_permissions_that_the_umask_asks_for(blobs, tmp_path):
    umask = os.umask(0o027)
    try:
        blobs.put("best.keras", b"a", b"b", durable=True)
    finally:
        os.umask(umask)
    assert (tmp_path / "best.keras").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "best.keras").read_bytes() == b"ab"


def grown(epochs, values=None):
    """A trial after so many epochs; the values rise unless they are given."""
    progress = Progress()
    for epoch in range(epochs):
        value = values[epoch] if values else 0.1 * epoch
        progress = progress.after({"val_accuracy": value, "val_loss": 1 - value}, "val_accuracy", "maximize", 0.5)
    return progress


def test_what_was_saved_is_loaded_bit_for_bit(blobs):
    Checkpoints(blobs, "trials/00001").save(grown(3), STATE, WEIGHTS)
    progress, state = Checkpoints(blobs, "trials/00001").load()
    assert progress == grown(3)
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(state, STATE, strict=True))
    assert np.array_equal(Checkpoints(blobs, "trials/00001").best(3)[0], WEIGHTS[0])


def test_a_trial_without_a_checkpoint_has_nothing_to_load(blobs):
    assert Checkpoints(blobs, "trials/00001").load() is None


def test_two_generations_are_kept_and_the_best_weights_they_speak_of(blobs):
    checkpoints = Checkpoints(blobs, "t")
    values = [0.5, 0.9, 0.8, 0.7, 0.95]
    for epoch in range(1, 6):
        progress = grown(epoch, values)
        checkpoints.save(progress, STATE, WEIGHTS if progress.best_epoch == epoch else None)
    assert blobs.keys("t") == ["t/best-000002", "t/best-000005", "t/epoch-000004", "t/epoch-000005"]


def test_the_best_weights_of_an_earlier_epoch_wait_for_the_disk_with_the_state_that_speaks_of_them(blobs, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink().name))
    checkpoints = Checkpoints(blobs, "t")
    checkpoints.save(grown(1, [0.5]), STATE, WEIGHTS)
    assert synced == []
    checkpoints.save(grown(2, [0.5, 0.4]), STATE, None, durable=True)
    assert [name.partition(".tmp")[0].lstrip(".") for name in synced] == ["best-000001", "t", "epoch-000002", "t"]


def test_nothing_is_left_of_generations_from_before_a_resumption(blobs):
    first = Checkpoints(blobs, "t")
    for epoch in (1, 2, 3):
        first.save(grown(epoch), STATE, WEIGHTS)
    blobs.put("t/epoch-000004", b"damaged")
    later = Checkpoints(blobs, "t")
    assert later.load()[0] == grown(3)
    for epoch in (4, 5, 6):
        later.save(grown(epoch), STATE, WEIGHTS)
        assert Checkpoints(blobs, "t").load()[0] == grown(epoch)
        assert len(blobs.keys("t")) <= 6
    assert blobs.keys("t") == ["t/best-000005", "t/best-000006", "t/epoch-000005", "t/epoch-000006"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_checkpoint_that_was_cut_short_gives_way_to_the_one_before(blobs, tmp_path, share):
    checkpoints = Checkpoints(blobs, "t")
    checkpoints.save(grown(1), STATE, WEIGHTS)
    checkpoints.save(grown(2), STATE, WEIGHTS)
    newest = tmp_path / "t" / "epoch-000002"
    newest.write_bytes(newest.read_bytes()[: int(share * newest.stat().st_size)])
    progress, _ = Checkpoints(blobs, "t").load()
    assert progress == grown(1)


@pytest.mark.parametrize("name", ["epoch-000002", "best-000002"])
def test_one_flipped_bit_is_noticed(blobs, tmp_path, name):
    checkpoints = Checkpoints(blobs, "t")
    checkpoints.save(grown(1), STATE, WEIGHTS)
    checkpoints.save(grown(2), STATE, WEIGHTS)
    file = tmp_path / "t" / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(bytes(data))
    progress, _ = Checkpoints(blobs, "t").load()
    assert progress.epoch == 1


def test_a_checkpoint_of_other_params_under_the_same_number_is_not_read(blobs):
    Checkpoints(blobs, "t", "units = 32").save(grown(2), STATE, WEIGHTS)
    assert Checkpoints(blobs, "t", "units = 64").load() is None
    assert Checkpoints(blobs, "t", "units = 32").load()[0] == grown(2)


def test_a_write_that_fails_leaves_the_old_bytes_and_no_other_file(blobs, tmp_path, monkeypatch):
    blobs.put("a/key", b"old")
    monkeypatch.setattr("os.fsync", _no_space)
    with pytest.raises(SearchError, match="No space left") as caught:
        blobs.put("a/key", b"new", durable=True)
    assert caught.value.exit_code == 3
    assert blobs.get("a/key") == b"old"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["key"]


def _no_space(_):
    raise OSError(28, "No space left on device")


def test_arrays_come_back_mapped_and_read_only(blobs):
    blobs.put_array("data/x.npy", np.arange(5, dtype=np.uint8))
    array = blobs.array("data/x.npy")
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_forgetting_a_folder_leaves_its_neighbours(blobs):
    blobs.put("trials/00001/epoch-000001", b"a")
    blobs.put("trials/000010/epoch-000001", b"b")
    blobs.delete("trials/00001")
    assert blobs.keys("trials") == ["trials/000010/epoch-000001"]


def test_of_equally_good_epochs_the_first_is_the_best():
    assert best_epoch([0.5, 0.9, 0.9], "maximize") == 2
    assert best_epoch([0.5, 0.1, 0.1], "minimize") == 2


def test_without_a_validation_split_the_last_epoch_is_the_best():
    progress = Progress().after({"train_loss": 1.0}, "val_accuracy", "maximize", 0.1)
    progress = progress.after({"train_loss": 2.0}, "val_accuracy", "maximize", 0.1)
    assert progress.best_epoch == 2
    assert progress.at(2) == {"train_loss": 2.0}
