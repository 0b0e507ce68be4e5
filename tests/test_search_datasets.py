"""Sources, their splits, and what is refused."""

import gzip
import io
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.balance import class_weights
from search.datasets import Arrays, SearchSplits, Source, open_source, search_splits
from search.datasets import test_split as open_test_split
from search.datasets.splits import channel_moments
from search.datasets.trees import open_tree
from search.errors import SearchError
from studies.plan import DataPlan

MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist.npz"


def splits(base: Path, **plan: object) -> SearchSplits:
    data = DataPlan(**plan)
    return search_splits(open_source(data, base), data)


def rows_for_testing(base: Path, **plan: object) -> Arrays:
    data = DataPlan(**plan)
    return open_test_split(open_source(data, base), data)


def refusal(base: Path, **plan: object) -> str:
    with pytest.raises(SearchError) as caught:
        splits(base, **plan)
    assert caught.value.exit_code == 2
    return str(caught.value)


def pixels(rows: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, *shape), np.uint8)


def write_npz(folder: Path, **arrays: np.ndarray) -> Path:
    """An .npz of 40 training images in two classes, with arrays replaced or left out (None)."""
    content = {"x_train": pixels(40, 4, 4), "y_train": np.arange(40) % 2} | arrays
    np.savez(folder / "data.npz", **{name: array for name, array in content.items() if array is not None})
    return folder / "data.npz"


def write_image(path: Path, value: int = 0, size: tuple[int, int] = (4, 3), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value,) * len(mode)).save(path)


def write_images(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), number: int = 5, **form: object) -> None:
    for label in classes:
        for index in range(number):
            write_image(folder / label / f"{index}.png", value=index, **form)


def idx(array: np.ndarray) -> bytes:
    kind = {"u1": 0x08, "f8": 0x0E}[array.dtype.str[1:]]
    content = array.astype(array.dtype.newbyteorder(">")).tobytes()
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + content


def cifar_batch(rows: int, **replaced: object) -> bytes:
    content = {b"data": pixels(rows, 3072), b"labels": [index % 10 for index in range(rows)]}
    return pickle.dumps(content | {name.encode(): value for name, value in replaced.items()}, protocol=4)


def test_digits_are_small_grey_images_of_sixteen_levels(tmp_path):
    found = splits(tmp_path, source="digits")
    assert found.train.x.shape[1:] == (8, 8)
    assert found.train.x.dtype == np.uint8
    assert (found.train.x.max() * found.scale, found.offset) == (1.0, 0.0)
    assert found.class_names == tuple("0123456789")
    assert found.train.y.dtype == np.int32


def test_no_row_is_in_two_splits_and_none_is_lost(tmp_path):
    rows = np.arange(100, dtype=np.float32)[:, None]
    write_npz(tmp_path, x_train=rows, y_train=np.arange(100) % 3)
    found, test = splits(tmp_path, source="./data.npz"), rows_for_testing(tmp_path, source="./data.npz")
    parts = [part.x[:, 0] for part in (found.train, found.validation, test)]
    assert sorted(np.concatenate(parts)) == list(range(100))
    assert [len(part) for part in parts] == [64, 16, 20]


def test_a_class_too_small_for_its_share_is_in_every_split_all_the_same(tmp_path):
    write_npz(tmp_path, x_train=pixels(103, 4, 4), y_train=np.array([0] * 100 + [1] * 3))
    found, test = splits(tmp_path, source="./data.npz"), rows_for_testing(tmp_path, source="./data.npz")
    assert [int(np.sum(rows.y == 1)) for rows in (found.train, found.validation, test)] == [1, 1, 1]


def test_every_class_keeps_its_share_in_every_split(tmp_path):
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    write_npz(tmp_path, x_train=pixels(160, 2, 2), y_train=labels)
    found, test = splits(tmp_path, source="./data.npz"), rows_for_testing(tmp_path, source="./data.npz")
    counts = [np.bincount(part.y).tolist() for part in (test, found.validation, found.train)]
    assert counts == [[20, 10, 2], [16, 8, 2], [64, 32, 6]]


def test_equal_seeds_cut_equally_and_others_differ(tmp_path):
    hashes = [splits(tmp_path, source="digits", seed=seed).hash for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_hash_knows_every_label_and_every_pixel(tmp_path):
    x, y = pixels(40, 4, 4), np.arange(40) % 2
    hashes = set()
    for changed in ((x, y), (x ^ 1, y), (x, 1 - y), (x.reshape(40, 2, 8), y)):
        write_npz(tmp_path, x_train=changed[0], y_train=changed[1])
        hashes.add(splits(tmp_path, source="./data.npz").hash)
    assert len(hashes) == 4


def test_the_test_split_does_not_change_with_the_size_of_the_validation_split(tmp_path):
    first, second = (rows_for_testing(tmp_path, source="digits", validation=share) for share in (0.1, 0.4))
    assert np.array_equal(first.x, second.x)


def test_a_search_never_reads_the_test_split_of_a_source_that_has_one():
    def refuse() -> Arrays:
        raise AssertionError("the test split was read")

    rows = Arrays(pixels(20, 2, 2), np.arange(20, dtype=np.int32) % 2)
    source = Source("memory", lambda: rows, refuse, ("a", "b"))
    assert len(search_splits(source, DataPlan(source="digits")).train.x) == 16


def test_a_damaged_test_split_does_not_stop_a_search(tmp_path):
    write_npz(tmp_path, x_test=np.array([None]), y_test=np.array([0]))
    assert len(splits(tmp_path, source="./data.npz").train.x) == 32
    with pytest.raises(SearchError, match="objects cannot"):
        rows_for_testing(tmp_path, source="./data.npz")


def test_xor_has_a_thousand_rows_to_train_and_a_hundred_to_validate_with(tmp_path):
    plan = {"source": "xor", "validation": 1 / 11}
    found, test = splits(tmp_path, **plan), rows_for_testing(tmp_path, **plan)
    assert (len(found.train.x), len(found.validation.x), len(test.x)) == (1000, 100, 1000)
    right = (test.x[:, 0] * test.x[:, 1] < 0) == (test.y == 1)
    assert 0.97 < right.mean() < 1.0
    assert (found.scale, found.offset) == (1.0, 0.0)


def test_xor_is_four_clusters_of_deviation_two_fifths(tmp_path):
    x = splits(tmp_path, source="xor", validation=1 / 11).train.x
    assert abs((x - np.sign(x)).std() - 0.4) < 0.05
    assert abs(np.abs(x).mean() - 1) < 0.02


def test_classes_are_relabelled_in_the_order_they_are_asked_for(tmp_path):
    found = splits(tmp_path, source="digits", classes=[6, 3])
    assert found.class_names == ("6", "3")
    assert set(found.train.y.tolist()) == {0, 1}
    assert len(found.train.y) < 400


def test_a_class_that_is_not_there_is_refused(tmp_path):
    assert 'no class "11"' in refusal(tmp_path, source="digits", classes=[3, 11])


def test_named_classes_are_found_by_number_and_by_name(tmp_path):
    write_images(tmp_path / "pets", ("bird", "cat", "dog"))
    for classes in ([2, 0], ["dog", "bird"]):
        found = splits(tmp_path, source="./pets", classes=classes)
        assert found.class_names == ("dog", "bird")
    assert 'did you mean "bird"' in refusal(tmp_path, source="./pets", classes=["dog", "brid"])


def test_pixels_are_scaled_by_the_model_and_measurements_are_not(tmp_path):
    write_npz(tmp_path)
    assert splits(tmp_path, source="./data.npz").scale == 1 / 255
    write_npz(tmp_path, x_train=np.ones((40, 3)))
    found = splits(tmp_path, source="./data.npz")
    assert (found.scale, found.train.x.dtype) == (1.0, np.float32)


def test_classes_may_be_whole_numbers_in_floats_of_half_the_size(tmp_path):
    write_npz(tmp_path, y_train=(np.arange(40) % 2).astype(np.float16))
    assert splits(tmp_path, source="./data.npz").class_names == ("0", "1")


def normalised(base: Path, **plan: object) -> tuple[np.ndarray, SearchSplits]:
    """The training split as a model's first layer makes it."""
    found = splits(base, **plan)
    return found.train.x * np.array(found.scale) + np.array(found.offset), found


def test_channels_are_normalised_by_the_training_split_alone(tmp_path):
    x = pixels(40, 4, 4, 3) // np.array([1, 2, 8], np.uint8)
    write_npz(tmp_path, x_train=x)
    scaled, found = normalised(tmp_path, source="./data.npz", normalise="channel")
    np.testing.assert_allclose(scaled.mean((0, 1, 2)), 0, atol=1e-9)
    np.testing.assert_allclose(scaled.std((0, 1, 2)), 1)
    assert (len(found.scale), len(found.offset)) == (3, 3)


def test_grey_images_without_channels_have_one(tmp_path):
    scaled, found = normalised(tmp_path, source="digits", normalise="channel")
    assert (abs(scaled.mean()) < 1e-9, abs(scaled.std() - 1) < 1e-9) == (True, True)
    assert isinstance(found.scale, float)


def test_constant_channels_are_not_divided_by_nothing(tmp_path):
    x = pixels(40, 4, 4, 2)
    x[..., 1] = 7
    write_npz(tmp_path, x_train=x)
    scaled, _ = normalised(tmp_path, source="./data.npz", normalise="channel")
    np.testing.assert_allclose(scaled[..., 1], 0, atol=1e-9)


def test_given_means_and_deviations_are_for_pixels_from_0_to_1(tmp_path):
    x = pixels(40, 4, 4, 3)
    write_npz(tmp_path, x_train=x)
    cifar = {"mean": (0.4914, 0.4822, 0.4465), "deviation": (0.247, 0.243, 0.261)}
    scaled, found = normalised(tmp_path, source="./data.npz", **cifar)
    expected = (found.train.x / 255 - np.array(cifar["mean"])) / np.array(cifar["deviation"])
    np.testing.assert_allclose(scaled, expected, atol=1e-12)
    words = "data.mean: must have a number a channel, 3 for"
    assert words in refusal(tmp_path, source="./data.npz", mean=[0.5], deviation=[0.5])


def test_moments_do_not_depend_on_how_many_rows_are_summed_at_a_time(monkeypatch):
    x = np.random.default_rng(0).normal(100, 0.01, (50, 3, 3, 2)).astype(np.float32)
    expected = x.astype(np.float64).mean((0, 1, 2)), x.astype(np.float64).std((0, 1, 2))
    for numbers in (1, 100, 2**22):
        monkeypatch.setattr("search.datasets.splits._PART_NUMBERS", numbers)
        np.testing.assert_allclose(channel_moments(x), expected, rtol=1e-10)


def test_class_weights_are_scikit_learn_s():
    from sklearn.utils.class_weight import compute_class_weight

    y = np.repeat([0, 1, 2], [50, 5, 20]).astype(np.int32)
    weights = class_weights(y, 3)
    np.testing.assert_allclose(weights, compute_class_weight("balanced", classes=np.arange(3), y=y), rtol=1e-6)
    assert (weights.dtype, weights[y].mean()) == (np.float32, pytest.approx(1))


def test_images_saved_as_wide_integers_become_pixels_again(tmp_path):
    write_npz(tmp_path, x_train=pixels(40, 4, 4).astype(np.int64))
    assert splits(tmp_path, source="./data.npz").train.x.dtype == np.uint8


def test_original_labels_are_kept_as_class_names(tmp_path):
    write_npz(tmp_path, y_train=np.where(np.arange(40) % 2, 7, 10)[:, None])
    found = splits(tmp_path, source="./data.npz")
    assert found.class_names == ("7", "10")
    write_npz(tmp_path, y_train=np.where(np.arange(40) % 2, "no", "yes"))
    assert splits(tmp_path, source="./data.npz").class_names == ("no", "yes")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x_train": None}, "x_train is missing; came: y_train"),
        ({"x_test": pixels(2, 4, 4)}, "x_test and y_test must come together"),
        ({"x_train": np.array([None] * 40)}, "Object arrays cannot be loaded"),
        ({"x_train": np.array(["a"] * 40)}, "must hold numbers (came as <U1)"),
        ({"x_train": np.full((40, 2), np.nan)}, "80 values are not, the first in row 0"),
        ({"x_train": np.full((40, 2), 1e300)}, "in the range of float32"),
        ({"x_train": np.zeros(40)}, "(shape (40,))"),
        ({"x_train": np.zeros((40, 0))}, "none empty (shape (40, 0))"),
        ({"x_train": pixels(39, 4, 4)}, "x has 39, y has 40"),
        ({"y_train": np.zeros(40, int)}, "at least two classes"),
        ({"y_train": np.eye(4)[np.arange(40) % 4]}, "one-hot labels must be turned"),
        ({"y_train": np.linspace(0, 1, 40)}, "labels must be whole numbers or texts (came as float64)"),
        ({"y_train": np.where(np.arange(40) % 2, np.inf, 0)}, "labels must be whole numbers or texts"),
        ({"y_train": np.arange(40) // 39}, "class '1': at least 3 rows are needed"),
    ],
)
def test_an_npz_that_cannot_be_learned_from_is_refused(tmp_path, arrays, words):
    path = write_npz(tmp_path, **arrays)
    message = refusal(tmp_path, source="./data.npz")
    assert words in message
    assert message.startswith(str(path))


def test_labels_beyond_the_classes_of_a_known_data_set_are_refused(tmp_path):
    write_npz(tmp_path, y_train=np.arange(40) % 11)
    assert "among the 10 classes" in refusal(tmp_path, source="mnist", path="data.npz")


def test_test_labels_that_training_lacks_are_refused(tmp_path):
    write_npz(tmp_path, x_test=pixels(3, 4, 4), y_test=np.array([0, 1, 5]))
    with pytest.raises(SearchError, match="must be among the 2 classes 0, 1 \\(came 5\\)"):
        rows_for_testing(tmp_path, source="./data.npz")


def test_an_array_that_declares_more_than_is_stored_is_refused(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2**40, 2)})
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x_train.npy", header.getvalue())
        archive.writestr("y_train.npy", _npy(np.arange(40) % 2))
    assert "declares 2199023255552 bytes" in refusal(tmp_path, source="./data.npz")


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_a_damaged_npz_is_refused(tmp_path):
    path = write_npz(tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    assert "cannot be read as .npz" in refusal(tmp_path, source="./data.npz")


def test_a_missing_path_is_named(tmp_path):
    assert 'data.path: no such file or folder ("no.npz"' in refusal(tmp_path, source="mnist", path="no.npz")
    assert "data.source: no such file" in refusal(tmp_path, source="./nothing/here")


def test_an_unknown_kind_of_file_is_told_what_can_be_read(tmp_path):
    (tmp_path / "data.parquet").write_bytes(b"PAR1")
    assert "readable are .npz, .csv" in refusal(tmp_path, source="./data.parquet")


def test_an_embedded_source_takes_no_path(tmp_path):
    assert "digits needs no file" in refusal(tmp_path, source="digits", path="x.npz")


def test_a_target_is_for_tables_alone(tmp_path):
    write_npz(tmp_path)
    for source in ("digits", "./data.npz"):
        assert "data.target: is for a CSV file, not for " in refusal(tmp_path, source=source, target="label")


@pytest.mark.parametrize(
    ("x_test", "words"),
    [
        (pixels(4, 5, 5), "x_test must have rows of the shape (4, 4), as x_train ((5, 5) came)"),
        (pixels(4, 4, 4) / 255, "x_test must hold the kind of numbers that x_train holds, uint8 (float64 came)"),
    ],
)
def test_rows_to_test_with_of_another_form_are_refused_before_the_search(tmp_path, x_test, words):
    write_npz(tmp_path, x_test=x_test, y_test=np.arange(4) % 2)
    assert words in refusal(tmp_path, source="./data.npz")


def test_images_with_a_palette_of_transparent_colours_are_read_without_a_warning(tmp_path):
    for path in [tmp_path / label / f"{index}.png" for label in ("cat", "dog") for index in range(5)]:
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels(3, 4, 3)).quantize(2).save(path, transparency=bytes([0, 128]))
    assert splits(tmp_path, source=".").train.x.shape[1:] == (3, 4, 3)


def test_images_by_class_are_read_in_colour_unless_all_are_grey(tmp_path):
    write_images(tmp_path / "grey", mode="L")
    found = splits(tmp_path, source="./grey", test=0.25, validation=0.25)
    assert found.train.x.shape[1:] == (3, 4, 1)
    assert found.class_names == ("cat", "dog")
    write_image(tmp_path / "grey" / "cat" / "colour.png", value=9)
    assert splits(tmp_path, source="./grey").train.x.shape[1:] == (3, 4, 3)


def test_pixels_of_an_image_arrive_unchanged_with_its_label(tmp_path):
    write_images(tmp_path / "pets", number=5)
    found = splits(tmp_path, source="./pets")
    rest = rows_for_testing(tmp_path, source="./pets")
    values = [part.x[:, 0, 0, 0] for part in (found.train, found.validation, rest)]
    assert sorted(np.concatenate(values)) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_train_and_test_folders_are_the_splits(tmp_path):
    write_images(tmp_path / "pets" / "train", number=5)
    write_images(tmp_path / "pets" / "test", number=2)
    found, test = splits(tmp_path, source="./pets"), rows_for_testing(tmp_path, source="./pets")
    assert (len(found.train.x), len(found.validation.x)) == (8, 2)
    assert test.y.tolist() == [0, 0, 1, 1]


def test_a_class_without_a_row_in_a_split_is_refused_when_the_split_is_opened(tmp_path):
    write_images(tmp_path / "pets" / "train", number=5)
    write_images(tmp_path / "pets" / "test", ("dog",), number=2)
    assert len(splits(tmp_path, source="./pets").train.x) == 8
    with pytest.raises(SearchError, match=r"class 'cat': at least 1 row is needed for the test split \(0 came\)"):
        rows_for_testing(tmp_path, source="./pets")
    write_npz(tmp_path, y_train=np.arange(40) % 9)
    words = "class '9': at least 3 rows are needed for the training and the validation and the test split (0 came)"
    assert words in refusal(tmp_path, source="mnist", path="data.npz")


def _other_size(folder):
    write_image(folder / "dog" / "9.png", size=(4, 4))


def _loose(folder):
    write_image(folder / "9.png")


def _broken(folder):
    (folder / "dog" / "9.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")


def _truncated(folder):
    whole = (folder / "dog" / "0.png").read_bytes()
    (folder / "dog" / "0.png").write_bytes(whole[:-30])


def _deep(folder):
    Image.new("I;16", (4, 3)).save(folder / "dog" / "9.png")


def _huge(folder, size=5000):
    """A PNG whose header declares pixels of which none are there."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)), (b"IDAT", b""))
    content = [struct.pack(">I", len(data)) + kind + data + _crc(kind + data) for kind, data in chunks]
    (folder / "dog" / "9.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(content))


def _crc(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))


def _bomb(folder):
    _huge(folder, size=100_000)


def _empty_class(folder):
    (folder / "emu").mkdir()


def _class_of_texts(folder):
    (folder / "emu").mkdir()
    (folder / "emu" / "notes.txt").write_text("none yet")


def _one_class(folder):
    shutil.rmtree(folder / "dog")


def _link(folder):
    (folder / "emu").symlink_to(folder / "dog")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_other_size, "all images must have one size (4 x 4 came; cat/0.png is 4 x 3); resize them first"),
        (_loose, "in a folder named after its class (1 do not: 9.png)"),
        (_broken, "dog/9.png: cannot be read as an image"),
        (_truncated, "dog/0.png: cannot be read as an image"),
        (_deep, "must have 8 bits a channel (mode 'I;16' came)"),
        (_huge, "at most 16777216 pixels are read (5000 x 5000 came)"),
        (_bomb, "could be decompression bomb"),
        (_empty_class, "emu: is empty"),
        (_class_of_texts, "must hold images (without: emu)"),
        (_link, "is a link to a folder"),
        (_one_class, "; two such folders or more are needed"),
    ],
)
def test_a_folder_of_images_that_cannot_be_learned_from_is_refused(tmp_path, spoil, words):
    write_images(tmp_path / "pets")
    spoil(tmp_path / "pets")
    assert words in refusal(tmp_path, source="./pets")


def test_all_images_that_cannot_be_used_are_told_at_once(tmp_path):
    write_images(tmp_path / "pets")
    _truncated(tmp_path / "pets")
    _broken(tmp_path / "pets")
    for number in range(3):
        write_image(tmp_path / "pets" / "cat" / f"large{number}.png", size=(9, 9))
    truncated, broken, sizes = refusal(tmp_path, source="./pets").splitlines()[1:]
    assert truncated.startswith("  dog/0.png: cannot be read as an image")
    assert broken.startswith("  dog/9.png: cannot be read as an image")
    assert sizes.startswith("  cat/large0.png: all images must have one size (9 x 9 came, and 2 more of other sizes; ")


def test_splits_by_other_names_are_no_classes(tmp_path):
    write_images(tmp_path / "pets" / "Train")
    write_images(tmp_path / "pets" / "Test")
    assert 'named "train" and "test" (came: Test, Train); rename them' in refusal(tmp_path, source="./pets")


def test_a_note_beside_the_folder_with_all_classes_is_left_out(tmp_path):
    write_images(tmp_path / "archive" / "pets")
    (tmp_path / "archive" / "README.txt").write_text("from the net")
    assert splits(tmp_path, source="./archive").class_names == ("cat", "dog")


@pytest.mark.parametrize(("train", "test", "channels"), [("L", "RGB", 1), ("RGB", "L", 3)])
def test_images_to_test_with_have_the_channels_of_those_to_train_with(tmp_path, train, test, channels):
    write_images(tmp_path / "pets" / "train", mode=train)
    write_images(tmp_path / "pets" / "test", mode=test)
    assert rows_for_testing(tmp_path, source="./pets").x.shape == (10, 3, 4, channels)


@pytest.mark.parametrize("ending", ["", ".zip", ".tar"])
def test_images_to_test_with_of_another_size_are_refused_before_the_search(tmp_path, ending):
    write_images(tmp_path / "pets" / "train")
    write_images(tmp_path / "pets" / "test")
    write_image(tmp_path / "pets" / "test" / "dog" / "9.png", size=(9, 9))
    (tmp_path / "pets" / "test" / "cat" / "8.png").write_bytes(b"damaged")  # is told when the split is opened
    if ending:
        shutil.make_archive(str(tmp_path / "pets"), ending[1:], tmp_path / "pets")
    words = "test/dog/9.png: all images must have one size (9 x 9 came; train/cat/0.png is 4 x 3); resize them first"
    assert words in refusal(tmp_path, source=f"./pets{ending}")
    if not ending:
        (tmp_path / "pets" / "test" / "dog" / "9.png").unlink()
        assert splits(tmp_path, source="./pets").class_names == ("cat", "dog")


def test_a_name_that_is_no_text_is_refused(tmp_path):
    write_images(tmp_path / "pets", ("cat", os.fsdecode(b"d\xf6g")))
    assert r"must be UTF-8 ('d\udcf6g/0.png' came)" in refusal(tmp_path, source="./pets")


def test_folders_without_images_or_with_one_class_are_refused(tmp_path):
    (tmp_path / "texts" / "a").mkdir(parents=True)
    (tmp_path / "texts" / "a" / "x.txt").write_text("x")
    assert "holds no images (came: x.txt)" in refusal(tmp_path, source="./texts")
    write_images(tmp_path / "one" / "train", ("cat",))
    assert "at least two classes are needed" in refusal(tmp_path, source="./one")
    (tmp_path / "one" / "train" / "cat").rename(tmp_path / "one" / "test")
    (tmp_path / "one" / "train" / "notes.txt").write_text("moved")
    assert "every image must lie in a folder" in refusal(tmp_path, source="./one")
    (tmp_path / "one" / "test" / "cat").mkdir()
    for image in (tmp_path / "one" / "test").glob("*.png"):
        image.rename(image.parent / "cat" / image.name)
    assert "a folder each (came: none)" in refusal(tmp_path, source="./one")
    write_images(tmp_path / "three" / "train")
    write_images(tmp_path / "three" / "val")
    assert "beside train only test is read (came: val)" in refusal(tmp_path, source="./three")
    write_images(tmp_path / "mixed" / "train")
    write_image(tmp_path / "mixed" / "loose.png")
    assert "(1 do not: loose.png)" in refusal(tmp_path, source="./mixed")
    write_images(tmp_path / "more" / "train")
    write_images(tmp_path / "more" / "test", ("emu",))
    assert "test has classes that train lacks (emu)" in refusal(tmp_path, source="./more")


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz"])
def test_an_archive_is_the_folder_it_was_made_from(tmp_path, ending):
    write_images(tmp_path / "pets")
    (tmp_path / "pets" / ".DS_Store").write_bytes(b"hidden")
    pack(tmp_path / f"pets{ending}", tmp_path / "pets")
    packed, folder = (splits(tmp_path, source=f"./pets{end}") for end in (ending, ""))
    assert packed.hash == folder.hash
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pets", f"pets{ending}"]


def pack(path: Path, folder: Path) -> None:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(folder.parent))
    else:
        with tarfile.open(path, "w:" + path.suffix.removeprefix(".").replace("tgz", "gz").replace("tar", "")) as tar:
            for file in files:
                tar.add(file, file.relative_to(folder.parent))


def tar_with(path: Path, name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> None:
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo(name)
        member.type = kind
        for field, value in fields.items():
            setattr(member, field, value)
        archive.addfile(member, io.BytesIO(b"\0" * member.size))


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ({"name": "../evil.png"}, "unsafe name '../evil.png'"),
        ({"name": "/etc/evil.png"}, "unsafe name '/etc/evil.png'"),
        ({"name": "a\\..\\evil.png"}, "unsafe name"),
        ({"name": "c:evil.png"}, "unsafe name"),
        (
            {"name": "a/b", "kind": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
            "links and devices are refused",
        ),
        ({"name": "a/b", "kind": tarfile.LNKTYPE, "linkname": "../x"}, "links and devices are refused"),
        ({"name": "a/b", "kind": tarfile.CHRTYPE}, "links and devices are refused"),
        ({"name": "a/b", "kind": tarfile.FIFOTYPE}, "links and devices are refused"),
    ],
)
def test_a_tar_that_could_lead_outside_is_refused(tmp_path, member, words):
    tar_with(tmp_path / "bad.tar", **member)
    assert words in refusal(tmp_path, source="./bad.tar")


def test_a_zip_that_could_lead_outside_is_refused(tmp_path):
    link = zipfile.ZipInfo("a/link")
    link.external_attr = 0o120777 << 16
    for name, words in (
        (zipfile.ZipInfo("../evil.png"), "unsafe name"),
        (link, "links and devices are refused"),
    ):
        with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
            archive.writestr(name, b"x")
        assert words in refusal(tmp_path, source="./bad.zip")


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(11):
            archive.writestr(f"a/{index}.png", b"\0" * 10 * 2**20)
    assert "would grow" in refusal(tmp_path, source="./bomb.zip")
    with tarfile.open(tmp_path / "bomb.tar", "w") as tar:
        member = tarfile.TarInfo("a/0.png")
        member.size = 2**40
        tar.fileobj.write(member.tobuf())
    assert "archives may hold" in refusal(tmp_path, source="./bomb.tar")


def test_damaged_archives_are_refused(tmp_path):
    write_images(tmp_path / "pets")
    for ending in (".zip", ".tar.gz"):
        path = tmp_path / f"pets{ending}"
        pack(path, tmp_path / "pets")
        path.write_bytes(path.read_bytes()[:-100])
        assert str(path) in refusal(tmp_path, source=f"./pets{ending}")


def test_hidden_files_are_no_part_of_a_tree(tmp_path):
    for name in (".git/x", "a/.y", "__MACOSX/z", "a/Thumbs.db", "a/b", "c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert open_tree(tmp_path).names == ("a/b", "c")


@pytest.mark.parametrize("compress", [False, True])
def test_idx_files_are_read_plain_and_gzipped(tmp_path, compress):
    ending, pressed = (".gz", gzip.compress) if compress else ("", bytes)
    for split, rows in (("train", 40), ("t10k", 10)):
        x, y = pixels(rows, 4, 4), (np.arange(rows) % 4).astype(np.uint8)
        (tmp_path / f"{split}-images-idx3-ubyte{ending}").write_bytes(pressed(idx(x)))
        (tmp_path / f"{split}-labels.idx1-ubyte{ending}").write_bytes(pressed(idx(y)))
    for source in (".", f"./train-images-idx3-ubyte{ending}"):
        found, test = splits(tmp_path, source=source), rows_for_testing(tmp_path, source=source)
        assert (len(found.train.x), len(found.validation.x)) == (32, 8)
        assert np.array_equal(test.x, pixels(10, 4, 4))


def test_of_several_sets_of_idx_files_in_a_folder_the_named_one_is_read(tmp_path):
    for prefix, classes in (("emnist-digits-", 2), ("emnist-letters-", 4)):
        (tmp_path / f"{prefix}train-images-idx3-ubyte").write_bytes(idx(pixels(40, 4, 4)))
        (tmp_path / f"{prefix}train-labels-idx1-ubyte").write_bytes(idx((np.arange(40) % classes).astype(np.uint8)))
    for name, classes in (("digits-train-images-idx3", 2), ("letters-train-labels-idx1", 4)):
        assert len(splits(tmp_path, source=f"./emnist-{name}-ubyte").class_names) == classes
    assert "holds several data sets" in refusal(tmp_path, source=".")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89PNG1234", "it begins with 89 50 4e 47"),
        (idx(pixels(40, 4, 4))[:-1], "announces 640 bytes of data, 639 are there"),
        (idx(pixels(40, 4, 4)) + b"x", "announces 640 bytes of data, 641 are there"),
        (b"\0\0\x08\x03\0\0", "it ends within its header"),
        (b"\0\0\x08\x02" + b"\x7f\xff\xff\xff" * 2, "at most"),
    ],
)
def test_idx_files_that_are_not_what_they_say_are_refused(tmp_path, content, words):
    for pressed, ending in ((bytes, ""), (gzip.compress, ".gz")):
        folder = tmp_path / f"idx{ending}"
        folder.mkdir()
        (folder / f"train-images-idx3-ubyte{ending}").write_bytes(pressed(content))
        (folder / "train-labels-idx1-ubyte").write_bytes(idx((np.arange(40) % 4).astype(np.uint8)))
        assert words in refusal(tmp_path, source=f"./idx{ending}")


def test_half_an_idx_pair_is_refused(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(pixels(4, 2, 2)))
    assert "must come together (only train-images-idx3-ubyte came)" in refusal(tmp_path, source=".")


def test_cifar_batches_become_images_with_channels_last(tmp_path):
    for name, rows in (("data_batch_1", 40), ("data_batch_2", 30), ("test_batch", 20)):
        (tmp_path / name).write_bytes(cifar_batch(rows))
    found, test = splits(tmp_path, source="."), rows_for_testing(tmp_path, source=".")
    assert len(found.train.x) + len(found.validation.x) == 70
    assert np.array_equal(test.x[:, 1, 2, 2], pixels(20, 3072)[:, 2048 + 32 + 2])
    assert found.class_names[3] == "cat"


def batch_of_python_2(rows: int) -> bytes:
    """A batch as it is handed out: pickled by Python 2, whose texts are bytes, with an old NumPy's module names."""

    def text(word: bytes) -> bytes:
        return b"U" + bytes([len(word)]) + word

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    data = pixels(rows, 3072).tobytes()
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + number(0) + b"\x85" + text(b"b") + b"tR"
    kind = b"cnumpy\ndtype\n(" + text(b"u1") + number(0) + number(1) + b"tR("
    kind += number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    shape = number(rows) + number(3072) + b"\x86"
    array = empty + b"(" + number(1) + shape + kind + b"\x89" + b"T" + struct.pack("<i", len(data)) + data + b"tb"
    labels = b"](" + b"".join(number(index % 10) for index in range(rows)) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + labels + b"u."


def test_cifar_batches_as_python_2_wrote_them_are_read(tmp_path):
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        (tmp_path / name).write_bytes(batch_of_python_2(20))
    found, test = splits(tmp_path, source="cifar10", path="."), rows_for_testing(tmp_path, source="cifar10", path=".")
    assert (len(found.train.x), len(found.validation.x), len(test.x)) == (80, 20, 20)
    assert np.array_equal(test.x[:, 1, 2, 2], pixels(20, 3072)[:, 2048 + 32 + 2])
    assert np.bincount(found.validation.y).tolist() == [2] * 10


def test_cifar_100_takes_its_names_from_its_own_file(tmp_path):
    labels = [index % 2 for index in range(20)]
    for name in ("train", "test"):
        (tmp_path / name).write_bytes(cifar_batch(20, fine_labels=labels))
    (tmp_path / "meta").write_bytes(pickle.dumps({b"fine_label_names": [b"apple", b"bee"]}))
    assert splits(tmp_path, source=".").class_names == ("apple", "bee")


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("evil",))


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (pickle.dumps(Evil()), "mkdir, which no CIFAR batch does: refused"),
        (pickle.dumps([1]), "must hold a dictionary (list came)"),
        (b"not a pickle", "cannot be read as a CIFAR batch"),
        (cifar_batch(4)[:100], "cannot be read as a CIFAR batch"),
        (cifar_batch(4, data=pixels(4, 100)), "rows of 3072 bytes (shape (4, 100), uint8 came)"),
        (cifar_batch(4, labels=[1, 2]), "(4 images, 2 labels came)"),
        (cifar_batch(4, labels=[1, 2, 3, 10]), "among the 10 classes"),
    ],
)
def test_cifar_batches_that_hold_anything_else_are_refused(tmp_path, monkeypatch, batch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cifar").mkdir()
    (tmp_path / "cifar" / "data_batch_1").write_bytes(batch)
    assert words in refusal(tmp_path, source="./cifar")
    assert not (tmp_path / "evil").exists()


def write_csv(folder: Path, text: str) -> None:
    (folder / "data.csv").write_text(text, encoding="utf-8")


def test_a_table_is_standardised_by_its_training_split_alone(tmp_path):
    rows = "\n".join(f"{index};{index * 100 - 7};5;{'yes' if index % 2 else 'no'}" for index in range(50))
    write_csv(tmp_path, f"\ufeffa;b;constant;target\n{rows}\n\n")
    found = splits(tmp_path, source="./data.csv", target="target")
    scaled = found.train.x * np.array(found.scale) + np.array(found.offset)
    assert found.class_names == ("no", "yes")
    assert np.allclose(scaled.mean(0), 0, atol=1e-6)
    assert np.allclose(scaled.std(0), [1, 1, 0], atol=1e-6)
    assert isinstance(found.scale, list)


def test_the_target_may_be_any_column_and_numbers_are_ordered_as_numbers(tmp_path):
    write_csv(tmp_path, "class,a\n" + "\n".join(f"{(2, 10.0)[i % 2]},{i}" for i in range(20)))
    found = splits(tmp_path, source="./data.csv", target="class")
    assert found.class_names == ("2", "10")
    assert found.train.x.shape[1:] == (1,)
    assert open_source(DataPlan(source="./data.csv", target="class"), tmp_path).columns == ("a",)


@pytest.mark.parametrize(
    ("text", "target", "words"),
    [
        ("a,b\n1,0\n2,1\n", None, "data.target must name the column with the classes (columns: a, b)"),
        ("a,label\n1,0\n2,1\n", "lable", 'no column "lable"; did you mean "label"?'),
        ("a,b\n1,0\nx,1\n", "b", 'row 3: a: must be a finite number ("x" came)'),
        ("a,b\n,0\n2,1\n", "b", "row 2: a: must be a finite number (nothing came)"),
        ("a,b\n1,0\nnan,1\n", "b", 'row 3: a: must be a finite number ("nan" came)'),
        ("a,b\n1,0\n2\n", "b", "row 3: 2 fields are due (1 came)"),
        ("a,b\n1,\n2,1\n", "b", "row 2: b: the class is missing"),
        ("a,b\n1,0.5\n2,1\n", "b", "must hold classes, not measurements (0.5 came)"),
        (",a,b\n0,1,0\n1,2,1\n", "b", "column 1 has no name in the header; leave it out"),
        ("a,b,\n1,0,\n2,1,\n", "b", "column 3 has no name in the header"),
        ('a;b\n"5,1";0\n-,5;1\n', "b", '("5,1" came, and 1 more of the kind); write decimal points'),
        ("a,a\n1,0\n2,1\n", "a", "each column needs a name of its own"),
        ("b\n0\n1\n", "b", "must have a column beside the target"),
        ("a,b\n", "b", "must have a header and rows below it"),
        ("a,b\n1,0\n2,1\n", "b", "class '0': at least 3 rows are needed"),
        ("a,b\n1,0\n2,0\n", "b", "at least two classes"),
    ],
)
def test_a_table_that_cannot_be_learned_from_is_refused(tmp_path, text, target, words):
    write_csv(tmp_path, text)
    assert words in refusal(tmp_path, source="./data.csv", target=target)


def test_all_problems_of_a_table_are_told_at_once_with_the_lines_of_the_file(tmp_path):
    write_csv(tmp_path, "a,city,when,y\n1,Rome,1,0.5\n\n,Oslo,1,1\n , , ,\n3,Bern,1e99,1\n")
    assert refusal(tmp_path, source="./data.csv", target="y").splitlines()[1:] == [
        "  row 4: a: must be a finite number (nothing came); encode or fill it",
        '  row 2: city: must be a finite number ("Rome" came, and 2 more of the kind); encode or fill it',
        '  row 6: when: must be a finite number ("1e99" came); encode or fill it',
        "  y: must hold classes, not measurements (0.5 came)",
    ]


def test_numbers_that_float32_would_blur_are_refused(tmp_path):
    write_csv(tmp_path, "day,second,always,y\n" + "\n".join(f"{86400 * i},{1.7e9 + i},1e9,{i % 2}" for i in range(40)))
    message = refusal(tmp_path, source="./data.csv", target="y")
    assert "second: lies too close together for float32, which steps by 128 there (a deviation of 11.5" in message
    assert "\n" not in message


def test_numbers_of_an_npz_that_float32_would_blur_are_refused_by_their_indices(tmp_path):
    for kind in (np.float64, np.int64):
        x = np.stack([np.arange(40), 2_000_000_000 + np.arange(40), np.full(40, 10**9)], axis=1).astype(kind)
        write_npz(tmp_path, x_train=x)
        message = refusal(tmp_path, source="./data.npz")
        assert "data.npz: x_train[:, 1]: lies too close together for float32, which steps by 128 there" in message
        assert "\n" not in message
    write_npz(tmp_path, x_train=x.reshape(40, 3, 1))
    assert "x_train[:, 1, 0]: lies too close" in refusal(tmp_path, source="./data.npz")


def test_doubles_of_idx_files_that_float32_would_blur_are_refused(tmp_path):
    x = 2e9 + np.arange(160.0).reshape(40, 2, 2)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(x))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx((np.arange(40) % 4).astype(np.uint8)))
    assert "train-images-idx3-ubyte[:, 1, 0]: lies too close together for float32" in refusal(tmp_path, source=".")


def test_a_separator_within_a_quoted_name_is_none(tmp_path):
    write_csv(tmp_path, '"a; b; c",y\n' + "\n".join(f"{i},{i % 2}" for i in range(20)))
    assert splits(tmp_path, source="./data.csv", target="y").train.x.shape[1:] == (1,)


@pytest.mark.parametrize("header", ["width, cm;y", "a, b, c;y"])
def test_a_table_is_separated_as_the_row_below_its_header_is(tmp_path, header):
    write_csv(tmp_path, f"{header}\n" + "\n".join(f"{i};{i % 2}" for i in range(20)))
    assert splits(tmp_path, source="./data.csv", target="y").train.x.shape[1:] == (1,)


def test_a_table_may_have_many_columns(tmp_path):
    rows = "".join(f"{'0.5,' * 20_000}{i % 2}\n" for i in range(6))
    write_csv(tmp_path, f"{''.join(f'column{number},' for number in range(20_000))}y\n{rows}")
    assert splits(tmp_path, source="./data.csv", target="y").train.x.shape[1:] == (20_000,)


def test_labels_that_are_larger_than_whole_numbers_go_stay_apart(tmp_path):
    write_csv(tmp_path, "a,y\n" + "\n".join(f"{i},{10**18 + i % 2}" for i in range(20)))
    assert splits(tmp_path, source="./data.csv", target="y").class_names == (str(10**18), str(10**18 + 1))


def test_labels_with_underscores_are_texts(tmp_path):
    write_csv(tmp_path, "a,y\n" + "\n".join(f"{i},{('1_11', '11_1')[i % 2]}" for i in range(20)))
    assert splits(tmp_path, source="./data.csv", target="y").class_names == ("11_1", "1_11")


def test_all_classes_that_are_too_small_or_not_there_are_told_at_once(tmp_path):
    write_csv(tmp_path, "a,y\n" + "\n".join(f"{i},{'rst'[max(0, i - 17)]}" for i in range(20)))
    told = refusal(tmp_path, source="./data.csv", target="y").splitlines()[1:]
    assert [line.split()[1] for line in told] == ["'s':", "'t':"]
    told = refusal(tmp_path, source="./data.csv", target="y", classes=["r", "x", "z"]).splitlines()[1:]
    assert [line.partition("has no class ")[2][:3] for line in told] == ['"x"', '"z"']


def test_a_table_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "data.csv").write_bytes("gr\xf6\xdfe,b\n1,2\n".encode("latin-1"))
    assert "cannot be read as a CSV in UTF-8" in refusal(tmp_path, source="./data.csv", target="b")


def test_known_data_sets_come_from_keras_s_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    folder = tmp_path / "datasets"
    folder.mkdir()
    write_npz(folder, y_train=np.arange(40) % 10)
    (folder / "data.npz").rename(folder / "mnist.npz")
    batches = folder / "cifar-10-batches-py-target" / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        (batches / name).write_bytes(cifar_batch(10))
    assert splits(tmp_path, source="mnist", test=0.3).train.x.shape[1:] == (4, 4)
    assert splits(tmp_path, source="cifar10").class_names[0] == "airplane"


@pytest.mark.slow
def test_what_cannot_be_fetched_is_told_with_its_address_and_place(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    message = refusal(tmp_path, source="fashion_mnist")
    assert "cannot be downloaded" in message
    assert f"into {tmp_path / 'datasets' / 'fashion-mnist'}" in message
    assert "train-images-idx3-ubyte.gz" in message


def test_opening_data_does_not_import_keras():
    code = (
        "import sys\nfrom pathlib import Path\nfrom search.datasets import open_source, search_splits\n"
        "from studies.plan import DataPlan\nplan = DataPlan(source='digits')\n"
        "search_splits(open_source(plan, Path('.')), plan)\n"
        "assert not {'keras', 'tensorflow', 'jax', 'sklearn', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not MNIST.is_file(), reason=f"MNIST is not at hand ({MNIST})")
def test_mnist_is_the_sixty_thousand_and_ten_thousand_images_it_should_be(tmp_path):
    plan = {"source": "mnist", "path": str(MNIST), "classes": [3, 6]}
    found, test = splits(tmp_path, **plan), rows_for_testing(tmp_path, **plan)
    assert len(found.train.x) + len(found.validation.x) == 6131 + 5918
    assert np.bincount(test.y).tolist() == [1010, 958]
