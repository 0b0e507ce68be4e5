"""NumPy's .npz files with x_train, y_train and, if there is a test split, x_test, y_test."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from search.datasets.arrays import BYTES_LIMIT, Arrays, Source, checked, class_names_of, refuse_blurred
from search.errors import SearchError

_PAIRS = {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")}
_DAMAGED = (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)


def read_npz(path: Path, class_names: Sequence[str] | None = None) -> Source:
    """A source over a file; pixels (uint8) are scaled to 0..1, other numbers are taken as they are.

    Args:
        path: The file.
        class_names: Names of the labels "0", "1", ...; None takes those that occur in y_train.
    Raises:
        SearchError: No such file, not an .npz, without the two training arrays, or with rows of another form to test
            with. Reading: numbers that cannot be used, or that float32 blurs.
    """
    present = _members(path)
    missing = [name for name in _PAIRS["train"] if name not in present]
    if missing:
        raise SearchError(
            f"{path}: must hold x_train and y_train, and x_test and y_test if there is a test split "
            f"({missing[0]} is missing; came: {', '.join(sorted(present)) or 'nothing'})"
        )
    if ("x_test" in present) != ("y_test" in present):
        raise SearchError(f"{path}: x_test and y_test must come together (came: {', '.join(sorted(present))})")
    if "x_test" in present:
        _refuse_other_rows(path)
    labels = class_names_of(f"{path}: y_train", _member(path, "y_train"))
    if class_names is not None:
        labels = tuple(str(index) for index in range(len(class_names)))

    def read(split: str) -> Arrays:
        x, y = (_member(path, name) for name in _PAIRS[split])
        arrays = checked(f"{path}: {split} split", x, y, labels)
        if split == "train":
            refuse_blurred(str(path), "x_train", x)
        return arrays

    test = (lambda: read("test")) if "x_test" in present else None
    return Source(str(path), lambda: read("train"), test, tuple(class_names or labels))


def _members(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile) as problem:
        raise SearchError(f"{path}: cannot be read as .npz ({problem}); numpy.savez writes such files") from None


def _member(path: Path, name: str) -> NDArray[Any]:
    """One array, never unpickled."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            _refuse_wrong_size(file, archive.getinfo(f"{name}.npy").file_size)
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)
    except _DAMAGED as problem:
        law = "arrays of numbers can be read, arrays of Python objects cannot"
        raise SearchError(f"{path}: {name}: {str(problem).strip()}; {law}") from None


def _refuse_wrong_size(file: IO[bytes], stored_bytes: int) -> None:
    """Refuse a header that would have NumPy reserve more memory than there is data."""
    shape, dtype = _header(file)
    declared = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and declared > min(stored_bytes, BYTES_LIMIT):
        raise ValueError(f"declares {declared} bytes (shape {shape}) of which {stored_bytes} are stored")


def _refuse_other_rows(path: Path) -> None:
    """Refuse rows to test with that are not as those to train with, before the search; nothing but headers is read."""
    forms = []
    with suppress(*_DAMAGED), zipfile.ZipFile(path) as archive:  # what is damaged is told when it is opened
        for name in ("x_train", "x_test"):
            with archive.open(f"{name}.npy") as file:
                forms.append(_header(file))
    if len(forms) < 2 or any(dtype.hasobject for _, dtype in forms):
        return
    (shape, dtype), (other_shape, other) = forms
    if shape[1:] != other_shape[1:]:
        came = f"{other_shape[1:]} came"
        raise SearchError(f"{path}: x_test must have rows of the shape {shape[1:]}, as x_train ({came})")
    if np.uint8 in (dtype, other) and "f" in (dtype.kind, other.kind):  # pixels would be scaled in one of them only
        raise SearchError(f"{path}: x_test must hold the kind of numbers that x_train holds, {dtype} ({other} came)")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array."""
    first = np.lib.format.read_magic(file) == (1, 0)
    shape, _, dtype = (np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0)(file)
    return shape, dtype
