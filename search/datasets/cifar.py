"""The python batches of CIFAR-10 and CIFAR-100: pickles of rows of 3072 bytes, channels first.

Source:
    Krizhevsky (2009), "Learning multiple layers of features from tiny images".
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from search.datasets.arrays import Arrays, Source, checked
from search.datasets.trees import Tree
from search.errors import SearchError

CIFAR10: tuple[str, ...] = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_BATCH = re.compile(r"data_batch_[1-9]\d*$")
_NUMPY = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray"}
_OPCODES = (
    *(pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE),
    *(pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS, pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS),
    *(pickle.EMPTY_TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.TUPLE),
    *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.BINSTRING, pickle.SHORT_BINSTRING),
    *(pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINUNICODE, pickle.SHORT_BINUNICODE),
    *(pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE, pickle.BINGET, pickle.LONG_BINGET),
    *(pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.REDUCE, pickle.BUILD),
)
"""What a batch is made of, as Python 2 pickled it or Python 3 does."""


def is_cifar(names: Sequence[str]) -> bool:
    """Whether files are named as those of CIFAR-10 or CIFAR-100 are."""
    return any(_BATCH.match(name) for name in names) or {"train", "test", "meta"} <= set(names)


def read_cifar(tree: Tree) -> Source:
    """A source over data_batch_1, ... and test_batch, or over train, test and meta of CIFAR-100.

    Raises:
        SearchError: A batch is no pickle of plain arrays, or has rows of another length.
    """
    batches = [name for name in tree.names if _BATCH.match(name)]
    if batches:
        labels, names, tests = b"labels", CIFAR10, [name for name in tree.names if name == "test_batch"]
    else:
        labels, names, tests = b"fine_labels", _fine_names(tree), ["test"]
        batches = ["train"]

    def read(wanted: Sequence[str]) -> Arrays:
        parts = {name: _batch(f"{tree.where}/{name}", content, labels) for name, content in tree.read(wanted)}
        x, y = (np.concatenate(part) for part in zip(*(parts[name] for name in wanted), strict=True))
        return checked(tree.where, x, y, [str(index) for index in range(len(names))])

    test = (lambda: read(tests)) if tests else None
    return Source(tree.where, lambda: read(batches), test, names)


def _batch(where: str, content: bytes, labels: bytes) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Images of shape (rows, 32, 32, 3) and their labels."""
    found = _unpickled(where, content)
    held, numbers = found.get(b"data"), found.get(labels)
    data = held.rows if isinstance(held, _Bytes) else None
    if data is None or data.shape[1:] != (3072,):
        came = type(held).__name__ if data is None else f"shape {data.shape}, {data.dtype}"
        raise SearchError(f"{where}: data must be rows of 3072 bytes ({came} came)")
    if not isinstance(numbers, list) or not all(isinstance(number, int) for number in numbers):
        raise SearchError(f"{where}: {labels.decode()} must be a list of whole numbers")
    if len(numbers) != len(data):
        raise SearchError(f"{where}: must have a label an image ({len(data)} images, {len(numbers)} labels came)")
    return data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), np.array(numbers, np.int64)


def _fine_names(tree: Tree) -> tuple[str, ...]:
    ((_, content),) = tree.read(["meta"])
    names = _unpickled(f"{tree.where}/meta", content).get(b"fine_label_names")
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise SearchError(f"{tree.where}/meta: fine_label_names must be a list of names")
    return tuple(name.decode("utf-8", "replace") for name in names)


def _unpickled(where: str, content: bytes) -> dict[bytes, Any]:
    """The content of a pickle that may hold plain values and arrays of numbers, and nothing else."""
    try:
        found = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except KeyError as opcode:
        raise SearchError(f"{where}: cannot be read as a CIFAR batch (it holds what none does: {opcode})") from None
    except Exception as problem:  # a damaged pickle may raise anything
        raise SearchError(f"{where}: cannot be read as a CIFAR batch ({problem})") from None
    if not isinstance(found, dict):
        raise SearchError(f"{where}: must hold a dictionary ({type(found).__name__} came)")
    return found


class _Unpickler(pickle._Unpickler):
    """Knows dictionaries, lists, texts, whole numbers and arrays of bytes; whatever else a pickle asks for is refused.

    It is Python's own in Python, for the one in C reserves as much memory as a pickle of ten bytes tells it to. The
    arrays are made here, not by what NumPy would have a pickle call.
    """

    dispatch: ClassVar = {ord(code): pickle._Unpickler.dispatch[ord(code)] for code in _OPCODES}

    def find_class(self, module: str, name: str) -> Any:
        if module not in _NUMPY or name not in _STAND_INS:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no CIFAR batch does: refused")
        return _STAND_INS[name]


class _Bytes:
    """Stands in for an array while it is unpickled."""

    def __init__(self, kind: object, shape: object, code: object) -> None:
        self.rows: NDArray[np.uint8] = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple[object, tuple[int, ...], object, bool, bytes]) -> None:
        _, shape, kind, by_columns, data = state
        if not isinstance(kind, _Kind) or kind.code not in ("u1", b"u1"):
            raise pickle.UnpicklingError("its arrays must be of uint8")
        self.rows = np.frombuffer(data, np.uint8).reshape(shape, order="F" if by_columns else "C")


class _Kind:
    """Stands in for an array's type."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        """Byte order and the like, which bytes have none of."""


_STAND_INS = {"_reconstruct": _Bytes, "dtype": _Kind, "ndarray": None}
