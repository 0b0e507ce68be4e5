"""MNIST, Fashion-MNIST and CIFAR by name: found in Keras's cache, or fetched into it by Keras."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from search.datasets.cifar import CIFAR10
from search.errors import SearchError
from search.keras_cache import cache, fetch

_DIGITS = tuple("0123456789")
_FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_IDX_FILES = tuple(
    f"{part}-ubyte.gz" for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
)
_CIFAR10_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
_GOOGLE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"
_TORONTO = "https://www.cs.toronto.edu/~kriz"


@dataclass(frozen=True)
class Known:
    """A data set that Keras knows.

    Attributes:
        class_names: Of the labels 0, 1, ...; None where the files say.
        folders: Where Keras keeps it, below its cache's folder "datasets"; the one it uses today first.
        files: What a complete copy consists of.
        address: Where it can be had.
    """

    class_names: tuple[str, ...] | None
    folders: tuple[str, ...]
    files: tuple[str, ...]
    address: str


KNOWN = {
    "mnist": Known(_DIGITS, ("",), ("mnist.npz",), f"{_GOOGLE}/mnist.npz"),
    "fashion_mnist": Known(_FASHION, ("fashion-mnist",), _IDX_FILES, f"{_GOOGLE}/{_IDX_FILES[0]} (and three more)"),
    "cifar10": Known(
        CIFAR10,
        ("cifar-10-batches-py-target/cifar-10-batches-py", "cifar-10-batches-py"),
        _CIFAR10_FILES,
        f"{_TORONTO}/cifar-10-python.tar.gz",
    ),
    "cifar100": Known(
        None,
        ("cifar-100-python-target/cifar-100-python", "cifar-100-python"),
        ("train", "test", "meta"),
        f"{_TORONTO}/cifar-100-python.tar.gz",
    ),
}


def locate(name: str) -> Path:
    """The file or folder with a known data set, fetched by Keras in a process of its own where need be.

    Raises:
        SearchError: It is not at hand and cannot be fetched.
    """
    found = _cached(name)
    if found is None:
        problem = fetch(f"keras.datasets.{name}.load_data()")
        found = _cached(name)
        if found is None:
            raise SearchError(_what_to_fetch(name, problem))
    return found


def _cached(name: str) -> Path | None:
    known = KNOWN[name]
    for folder in known.folders:
        place = cache("datasets") / folder
        if all((place / file).is_file() for file in known.files):
            return place / known.files[0] if len(known.files) == 1 else place
    return None


def _what_to_fetch(name: str, problem: str) -> str:
    known = KNOWN[name]
    place = cache("datasets") / known.folders[0]
    reason = f" ({problem})" if problem else ""
    return (
        f"{name}: not in Keras's cache and cannot be downloaded{reason}; fetch {known.address} and put "
        f'{", ".join(known.files)} into {place}, or name your copy with data.path = "..."'
    )
