"""Data that needs no file of the user's: the digits that scikit-learn ships, and a noisy exclusive or."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.datasets.arrays import Arrays, Source

_DIGITS = tuple("0123456789")
_XOR_ROWS, _XOR_TEST_ROWS = 1100, 1000  # 1000 to train and 100 to validate with validation = 1/11


def digits() -> Source:
    """1797 images of 8 x 8 pixels from 0 to 16, ten classes, no test split of their own.

    Source:
        Alpaydin and Kaynak (1998), doi:10.24432/C50P49, as scikit-learn ships them.
    """
    return Source("digits", _read_digits, None, _DIGITS, scale=1 / 16)


def xor(seed: int) -> Source:
    """Two inputs around (+-1, +-1) with deviation 0.4; class 1 where their signs differ.

    1100 rows to train and validate with and 1000 more to test with. The best possible accuracy is 0.9877.
    """

    def rows(stream: int, number: int) -> Arrays:
        return _xor_rows(np.random.default_rng((seed, stream)), number)

    return Source("xor", lambda: rows(0, _XOR_ROWS), lambda: rows(1, _XOR_TEST_ROWS), ("same", "different"))


def _read_digits() -> Arrays:
    table = _digits_table()
    return Arrays(table[:, :64].astype(np.uint8).reshape(-1, 8, 8), table[:, 64].astype(np.int32))


def _digits_table() -> NDArray[Any]:
    """Rows of 64 pixels and the label; read from scikit-learn's file, as importing it takes seconds."""
    spec = find_spec("sklearn")
    path = Path((spec and spec.origin) or "").parent / "datasets" / "data" / "digits.csv.gz"
    if path.is_file():
        with gzip.open(path) as file:
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return np.column_stack([images, labels])


def _xor_rows(generator: np.random.Generator, number: int) -> Arrays:
    signs = np.array([(1, 1), (-1, -1), (1, -1), (-1, 1)])[np.arange(number) % 4]
    x = signs + generator.normal(0.0, 0.4, signs.shape)
    y = signs[:, 0] != signs[:, 1]
    return Arrays(x.astype(np.float32), y.astype(np.int32))
