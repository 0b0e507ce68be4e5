"""An epoch by `model.fit`: for backends without a program of their own, and to hold the programs against."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from search.errors import Unusable
from search.metrics import numbers
from search.programs import (
    VALIDATION_BATCH,
    Alone,
    DeviceArrays,
    Kin,
    Look,
    create_variables,
    stretches,
)


class FitProgram:
    """`fit` and `evaluate` of Keras behind the interface of a program.

    Args:
        model: Compiled by `model.compile`.
        batch_size: Rows a training step.
        class_weights: Shape (classes,); None for 1.
        jit_compile: Whether XLA compiles steps that the model wasn't told to have compiled.
    """

    capacity = 1

    def __init__(
        self,
        model: keras.Model,
        batch_size: int,
        class_weights: NDArray[np.float32] | None = None,
        *,
        jit_compile: bool = False,
    ) -> None:
        create_variables(model)
        if jit_compile:
            model.jit_compile = True
        self._model = model
        self._batch_size = batch_size
        self._class_weights = class_weights

    def to_device(self, x: NDArray[Any], y: NDArray[np.int32]) -> DeviceArrays:
        """Keras moves batches to the device itself."""
        return DeviceArrays(x, y, len(x))

    def cohort(self) -> Alone:
        """A cohort of one trial."""
        return Alone(self)

    def train(self, data: DeviceArrays, order: NDArray[np.int32]) -> dict[str, float]:
        """Train one epoch over the rows in `order`, from which the seed follows of what has none of its own.

        Keras's Dropout is such under PyTorch.
        """
        x, y = data.x[order], data.y[order]
        weights = None if self._class_weights is None else self._class_weights[y]
        seed = zlib.crc32(order.tobytes())
        seeded = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: keras.utils.set_random_seed(seed))
        options = {"batch_size": self._batch_size, "shuffle": False, "verbose": 0, "callbacks": [seeded]}
        history = self._model.fit(x, y, sample_weight=weights, **options).history
        return numbers({name: values[-1] for name, values in history.items()})

    def train_and_look(
        self, data: DeviceArrays, order: NDArray[np.int32], looks: Sequence[int], look: Look
    ) -> dict[str, float]:
        """Train one epoch, stopping for a look before some of its steps.

        The metrics are means over the rows of what `fit` says of each stretch; for F1 that is an approximation.
        """
        parts = []
        for looked, rows in stretches(order, self._batch_size, looks):
            if looked:
                batch = rows[: self._batch_size]
                look(data.x[batch], data.y[batch])
            parts.append((len(rows), self.train(data, rows)))
        return {name: sum(n * logs[name] for n, logs in parts) / len(order) for name in parts[0][1]}

    def validate(self, data: DeviceArrays) -> dict[str, float]:
        """The metrics on all rows of `data`."""
        logs = self._model.evaluate(data.x, data.y, batch_size=VALIDATION_BATCH, verbose=0, return_dict=True)
        return numbers(logs)


def make(
    model: keras.Model,
    batch_size: int,
    *,
    jit_compile: bool,
    class_weights: NDArray[np.float32] | None,
    kin: Kin,
) -> FitProgram:
    """The program of a compiled model; Keras decides how to compile."""
    return FitProgram(model, batch_size, class_weights)


def making(kin: Kin) -> AbstractContextManager[None]:
    """Nothing is shared."""
    return nullcontext()


def make_probe(
    model: keras.Model, class_weights: NDArray[np.float32] | None, *, jit_compile: bool
) -> Callable[[Any, Any], tuple[Any, Any, Any]]:
    """Gradients are taken as the backend takes them, and this module knows none."""
    raise Unusable(f"record: steps are recorded under TensorFlow and JAX, not {keras.backend.backend()}")


def read(variables: Sequence[Any]) -> list[NDArray[Any]]:
    """Copies of the values of Keras variables."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def write(variables: Sequence[Any], tensors: Sequence[NDArray[Any]]) -> None:
    """Set Keras variables."""
    for variable, tensor in zip(variables, tensors, strict=True):
        variable.assign(tensor)


def limit_threads(threads: int) -> None:
    """Threads of other backends are set by the environment; see `search.devices.worker_environment`."""


def accelerators() -> list[str]:
    """The GPUs that PyTorch sees, the one other backend that has some."""
    torch = sys.modules.get("torch")
    return [torch.cuda.get_device_name(gpu) for gpu in range(torch.cuda.device_count())] if torch else []
