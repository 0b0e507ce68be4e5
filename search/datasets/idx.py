"""IDX files, the format of MNIST: one file of images and one of labels a split, plain or gzipped.

Source:
    LeCun, Cortes and Burges, "The MNIST database", section "File formats".
"""

from __future__ import annotations

import gzip
import io
import math
import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.datasets.arrays import BYTES_LIMIT, Arrays, Source, checked, class_names_of, refuse_blurred
from search.datasets.trees import Tree
from search.errors import SearchError

_NAME = re.compile(r"(|.*[-_.])(train|t10k|test)[-_.](images|labels)[-_.]idx\d[-_.]ubyte(?:\.gz)?$")
_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def is_idx(name: str) -> bool:
    """Whether a file is named as the files of MNIST are: train-images-idx3-ubyte.gz and the like."""
    return _NAME.match(name) is not None


def prefix_of(name: str) -> str | None:
    """What a file's name begins with before it is named as those of MNIST: "emnist-digits-"; None for other names."""
    match = _NAME.match(name)
    return match and match[1]


def read_idx(tree: Tree, class_names: Sequence[str] | None = None, prefix: str | None = None) -> Source:
    """A source over train-images, train-labels and, if there is a test split, t10k-images, t10k-labels.

    Args:
        tree: Where the files are.
        class_names: Names of the labels "0", "1", ...; None takes those that occur in the training labels.
        prefix: What the names of the files begin with; None where there is one such set of files.
    Raises:
        SearchError: A file is missing or is not what its header says, or there are several sets of files. Reading:
            numbers that cannot be used, or that float32 blurs.
    """
    files = _files(tree, prefix)
    labels = class_names_of(f"{tree.where}/{files['train'][1]}", _array(tree, files["train"][1]))
    if class_names is not None:
        labels = tuple(str(index) for index in range(len(class_names)))

    def read(split: str) -> Arrays:
        x, y = (_array(tree, name) for name in files[split])
        arrays = checked(f"{tree.where}: {split} split", x, y, labels)
        if split == "train":
            refuse_blurred(tree.where, files[split][0], x)
        return arrays

    test = (lambda: read("test")) if "test" in files else None
    return Source(tree.where, lambda: read("train"), test, tuple(class_names or labels))


def _files(tree: Tree, prefix: str | None) -> dict[str, tuple[str, str]]:
    """The names of the images and the labels, for each split."""
    matches = [match for name in tree.names if (match := _NAME.match(name)) and prefix in (None, match[1])]
    found = {match.groups()[1:]: match.string for match in matches}
    rivals = {match[1] for match in matches} - {prefix_of(name) for name in found.values()}
    if rivals:
        one = next(iter(found.values()))
        raise SearchError(f"{tree.where}: holds several data sets ({one} is of one); name a file of that you mean")
    splits = {}
    for split, spelling in (("train", "train"), ("test", "t10k"), ("test", "test")):
        pair = [found.get((spelling, part)) for part in ("images", "labels")]
        if any(pair) and not all(pair):
            have = pair[0] or pair[1]
            raise SearchError(f"{tree.where}: {spelling} images and labels must come together (only {have} came)")
        if pair[0] and pair[1]:
            splits[split] = (pair[0], pair[1])
    if "train" not in splits:
        raise SearchError(f"{tree.where}: train-images-idx3-ubyte and train-labels-idx1-ubyte must be there")
    return splits


def _array(tree: Tree, name: str) -> NDArray[Any]:
    (content,) = (content for _, content in tree.read([name]))
    try:
        return _parsed(_unzipped(content) if name.endswith(".gz") else content)
    except (OSError, EOFError, ValueError, zlib.error) as problem:
        raise SearchError(f"{tree.where}/{name}: cannot be read as IDX ({problem})") from None


def _unzipped(content: bytes) -> bytes:
    """The content of a .gz, no longer than its IDX header announces."""
    with gzip.open(io.BytesIO(content)) as file:
        head = file.read(4)
        head += file.read(4 * head[3] if len(head) == 4 else 0)
        return head + file.read(_expected_bytes(head) + 1)


def _parsed(content: bytes) -> NDArray[Any]:
    expected = _expected_bytes(content)
    header = 4 + 4 * content[3]
    if len(content) - header != expected:
        raise ValueError(f"its header announces {expected} bytes of data, {len(content) - header} are there")
    array = np.frombuffer(content, _TYPES[content[2]], offset=header).reshape(_shape(content))
    return array.astype(array.dtype.newbyteorder("="))


def _expected_bytes(content: bytes) -> int:
    """How much data a header announces; refuses what is no header."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES or not 1 <= content[3] <= 4:
        raise ValueError(f"it begins with {content[:4].hex(' ')}, not with 00 00, a type and a number of axes")
    expected = math.prod(_shape(content)) * np.dtype(_TYPES[content[2]]).itemsize
    if expected > BYTES_LIMIT:
        raise ValueError(f"its header announces {expected} bytes of data; at most {BYTES_LIMIT} are read")
    return expected


def _shape(content: bytes) -> tuple[int, ...]:
    axes = content[3]
    if len(content) < 4 + 4 * axes:
        raise ValueError("it ends within its header")
    return tuple(int(size) for size in np.frombuffer(content, ">u4", axes, offset=4))
