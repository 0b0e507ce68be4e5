"""What the hand-written training loops train: a network as plain numbers, and its weights as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

BETA_1, BETA_2, ADAM_EPSILON = 0.9, 0.999, 1e-7  # as Keras has them
NORM_MOMENTUM, NORM_EPSILON = 0.99, 1e-3
POOL = 2

Rows = tuple[NDArray[np.float32], NDArray[np.int32]]


@dataclass(frozen=True)
class Network:
    """What toprung's families `mlp` and `cnn` build of the same params.

    Attributes:
        row: Shape of one row: (rows, columns) of a grey image.
        filters: Of each block of a 3 x 3 convolution and a 2 x 2 max-pooling; none for a dense network.
        units: Of each dense layer before the softmax.
        classes: Outputs.
        dropout: After each block and dense layer.
        l1: On the kernels but the last.
        batch_norm: Before each activation.
        learning_rate: Of Adam.
    """

    row: tuple[int, int]
    filters: tuple[int, ...]
    units: tuple[int, ...]
    classes: int
    dropout: float
    l1: float
    batch_norm: bool
    learning_rate: float

    def kernels(self) -> Iterator[tuple[int, ...]]:
        """The shapes of all kernels, in order; the last is that of the softmax layer."""
        rows, columns, channels = *self.row, 1
        for filters in self.filters:
            yield 3, 3, channels, filters
            rows, columns, channels = rows // POOL, columns // POOL, filters
        inputs = rows * columns * channels
        for units in (*self.units, self.classes):
            yield inputs, units
            inputs = units

    def initial(self) -> list[dict[str, NDArray[np.float32]]]:
        """The weights of each layer: Glorot's uniform kernels, zeros and ones for the others."""
        rng = np.random.default_rng(0)
        shapes = list(self.kernels())
        return [self._layer(shape, shape is not shapes[-1], rng) for shape in shapes]

    def _layer(self, shape: tuple[int, ...], hidden: bool, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
        area, (inputs, outputs) = int(np.prod(shape[:-2])), shape[-2:]
        limit = np.sqrt(6 / (area * (inputs + outputs)))
        layer = {"kernel": rng.uniform(-limit, limit, shape), "bias": np.zeros(outputs)}
        if hidden and self.batch_norm:
            layer |= {"gamma": np.ones(outputs), "beta": np.zeros(outputs)}
        return {name: value.astype(np.float32) for name, value in layer.items()}


class Loop(Protocol):
    """A network and its optimizer, with the data on the device."""

    def epoch(self, order: NDArray[np.int32]) -> dict[str, float]:
        """Train on all rows in this order, then evaluate: "train_loss", "train_accuracy", "val_loss", ..."""


def make_loop(backend: str, network: Network, train: Rows, validation: Rows, batch_size: int) -> Loop:
    """The loop of a backend, "tensorflow" or "jax"."""
    module: Any
    if backend == "jax":
        from tests.benchmarks import bare_jax as module
    else:
        from tests.benchmarks import bare_tensorflow as module
    loop: Loop = module.make(network, train, validation, batch_size)
    return loop
