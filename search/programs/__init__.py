"""Epochs as compiled programs: the one seam between toprung and a Keras backend.

A program belongs to one compiled Keras model and trains it for whole epochs over Keras's own `train_step`, so
that losses, metrics, the remainder batch and loss scaling are those of `model.fit`. The data is an argument:
one program serves the search (training split) and the retraining (training and validation split).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, cast

import keras
import numpy as np
from numpy.typing import NDArray

VALIDATION_BATCH = 512  # bounds the memory of a validation step; the result doesn't depend on it
COHORT = 16  # trials that share a program at most, where a program can take more than one
# For `model.compile`: of Keras's own `fit`, `evaluate` and `predict`, which take JAX some ten times as long uncompiled.
JIT_COMPILE: bool | str = False if keras.backend.backend() == "tensorflow" else "auto"

Tensors = list[NDArray[Any]]


Look = Callable[[Any, Any], None]
"""Is shown the x and the y of a batch."""


@dataclass(frozen=True)
class DeviceArrays:
    """A split where the device can read it: x of shape (rows, ...), y of shape (rows,)."""

    x: Any
    y: Any
    rows: int


class Cohort(Protocol):
    """Trials of one structure in training; each has values of its own of the model's variables."""

    def enter(self) -> None:
        """Take in a trial: the values that the model's variables have now."""

    def train(self, data: DeviceArrays, orders: Sequence[NDArray[np.int32]]) -> list[dict[str, float]]:
        """Train each trial one epoch over the rows in its order, batch by batch; each one's metrics."""

    def validate(self, data: DeviceArrays) -> list[dict[str, float]]:
        """Each trial's metrics on all rows of `data`; the trials stay as they are."""

    def assign(self, variable: Any, values: Sequence[NDArray[Any]]) -> None:
        """Set a variable of the model, for each trial."""

    def read(self, variables: Sequence[Any]) -> list[Tensors]:
        """The values of variables of the model, for each trial."""


class Epochs(Protocol):
    """Trains and validates the trial that lives in a model's variables."""

    def train(self, data: DeviceArrays, order: NDArray[np.int32]) -> dict[str, float]:
        """Train the model one epoch over the rows in `order`, batch by batch; the epoch's metrics."""

    def validate(self, data: DeviceArrays) -> dict[str, float]:
        """The model's metrics on all rows of `data`; it stays as it is."""


class Program(Epochs, Protocol):
    """A compiled model's epochs.

    Attributes:
        capacity: Trials that a cohort of it may hold.
    """

    capacity: int

    def to_device(self, x: NDArray[Any], y: NDArray[np.int32]) -> DeviceArrays:
        """Put a split where the device can read it."""

    def train_and_look(
        self, data: DeviceArrays, order: NDArray[np.int32], looks: Sequence[int], look: Look
    ) -> dict[str, float]:
        """Train as `train` does; before each of the steps `looks`, from 0, call `look` with that step's batch.

        The model's variables are up to date then, and must be left as they are.
        """

    def cohort(self) -> Cohort:
        """A cohort without trials. There is one at a time: its trials may live in the model's variables."""


class Alone:
    """A cohort of one trial, which lives in the model's variables."""

    def __init__(self, program: Epochs) -> None:
        self._program = program

    def enter(self) -> None:
        """The model's variables are the trial's."""

    def train(self, data: DeviceArrays, orders: Sequence[NDArray[np.int32]]) -> list[dict[str, float]]:
        """Train the trial one epoch."""
        (order,) = orders
        return [self._program.train(data, order)]

    def validate(self, data: DeviceArrays) -> list[dict[str, float]]:
        """The trial's metrics."""
        return [self._program.validate(data)]

    def assign(self, variable: Any, values: Sequence[NDArray[Any]]) -> None:
        """Set a variable."""
        write([variable], values)

    def read(self, variables: Sequence[Any]) -> list[Tensors]:
        """The values of variables."""
        return [read(variables)]


class InTurn:
    """A cohort whose trials take turns in the model's variables.

    Args:
        program: Trains one of them at a time.
        variables: What each trial has for itself.
    """

    def __init__(self, program: Epochs, variables: Sequence[Any]) -> None:
        self._program = program
        self._variables = variables
        self._places = {id(variable): place for place, variable in enumerate(variables)}
        self._values: list[Tensors] = []

    def enter(self) -> None:
        """Take in a trial: the values that the variables have now."""
        self._values.append(read(self._variables))

    def train(self, data: DeviceArrays, orders: Sequence[NDArray[np.int32]]) -> list[dict[str, float]]:
        """Train one trial after the other."""
        logs = []
        for place, order in enumerate(orders):
            write(self._variables, self._values[place])
            logs.append(self._program.train(data, order))
            self._values[place] = read(self._variables)
        return logs

    def validate(self, data: DeviceArrays) -> list[dict[str, float]]:
        """Each trial's metrics."""
        logs = []
        for values in self._values:
            write(self._variables, values)
            logs.append(self._program.validate(data))
        return logs

    def assign(self, variable: Any, values: Sequence[NDArray[Any]]) -> None:
        """Set a variable of each trial."""
        for own, value in zip(self._values, values, strict=True):
            own[self._places[id(variable)]] = value

    def read(self, variables: Sequence[Any]) -> list[Tensors]:
        """The values of variables, for each trial."""
        return [[own[self._places[id(variable)]] for variable in variables] for own in self._values]


@dataclass(frozen=True)
class Kin:
    """Programs whose traces a new model can use under TensorFlow, for it differs in the widths of its layers alone.

    Models that share a trace share its variables: when one is used, what another held is lost.

    Attributes:
        training: A program that fits in everything but widths; None if there is none.
        validation: One whose optimizer and size of batch may differ as well.
        made: The variables that the new model asks for, noted by the backend while it is made.
    """

    training: Program | None = None
    validation: Program | None = None
    made: list[Any] = field(default_factory=list)


def making(kin: Kin) -> AbstractContextManager[None]:
    """The context in which a model that has kin is made, and its program."""
    return _backend().making(kin)


def build_program(
    model: keras.Model,
    batch_size: int,
    *,
    jit_compile: bool = False,
    class_weights: NDArray[np.float32] | None = None,
    kin: Kin | None = None,
) -> Program:
    """The fastest program for the backend in use; `fit` where a backend has none of its own.

    Args:
        model: Compiled by `model.compile`; its variables are created here.
        batch_size: Rows a training step.
        jit_compile: Whether XLA compiles TensorFlow's epoch. It makes dense networks faster once it has compiled,
            and convolutions on a processor ten times slower; JAX's epoch is always compiled.
        class_weights: Shape (classes,): what a row of each class weighs in the loss of training; None for 1.
        kin: Programs whose traces may serve; only within `making(kin)`, as is the making of the model.
    """
    return _backend().make(model, batch_size, jit_compile=jit_compile, class_weights=class_weights, kin=kin or Kin())


def make_probe(
    model: keras.Model, class_weights: NDArray[np.float32] | None, *, jit_compile: bool
) -> Callable[[Any, Any], tuple[Any, Any, Any]]:
    """From a batch to its loss in training, the model's outputs, and the norm of the gradient of the first weight.

    It may change variables that aren't trained: the states of generators, moving averages. See `build_program`.
    """
    return _backend().make_probe(model, class_weights, jit_compile=jit_compile)


def stretches(
    order: NDArray[np.int32], batch_size: int, looks: Sequence[int]
) -> Iterator[tuple[bool, NDArray[np.int32]]]:
    """An epoch's rows in pieces, each from one look to the next, with whether it begins with a look."""
    starts = sorted({0, *looks})
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        yield start in looks, order[start * batch_size : None if end is None else end * batch_size]


def create_variables(model: keras.Model) -> None:
    """Create the metrics' and the optimizer's variables, which Keras leaves until the first batch.

    Keras's own way to do this ahead (`_symbolic_build`) traces the model again and takes four times as long.
    """
    if not model._compile_metrics.built:  # as for labels by number
        model._compile_metrics.build(keras.KerasTensor((2,), "int32"), model.output)
    model.optimizer.build(model.trainable_variables)


def read(variables: Sequence[Any]) -> Tensors:
    """Copies of the values of Keras variables."""
    return _backend().read(variables)


def write(variables: Sequence[Any], tensors: Sequence[NDArray[Any]]) -> None:
    """Set Keras variables to values of equal shapes and types, which nobody may change afterwards.

    Raises:
        ValueError: A shape differs.
    """
    _backend().write(variables, tensors)


def limit_threads(threads: int) -> None:
    """Give the backend this many threads; call it before the first operation."""
    _backend().limit_threads(threads)


def faster_together() -> int:
    """How many trials of one structure are trained faster together than one after the other; 1 for none.

    JAX on an accelerator, which a small network doesn't fill, takes a cohort: on an H100 one program of 16 trains each
    4.2 times as fast (one layer of 64), 1.7 times (three of 256) or 1.2 times (convolutions on MNIST), see
    `tests.benchmarks.cohorts`; and a search that forms cohorts compiles fewer structures, each of which takes seconds
    there. On a processor it is 1.6 times at best (32 or 64 units), wide networks and convolutions more slowly, and
    compiling it costs more than a search gains.
    """
    return COHORT if keras.backend.backend() == "jax" and devices() else 1


def is_out_of_memory(problem: Exception) -> bool:
    """Whether a program failed because the device has no memory left; XLA has a word for it and no class."""
    return "RESOURCE_EXHAUSTED" in str(problem)


def devices() -> list[str]:
    """The accelerators that the backend sees, by name; empty where it runs on the processor's cores."""
    return _backend().accelerators()


class Backend(Protocol):
    """What the module of a backend offers."""

    def make(
        self,
        model: keras.Model,
        batch_size: int,
        *,
        jit_compile: bool,
        class_weights: NDArray[np.float32] | None,
        kin: Kin,
    ) -> Program:
        """See `build_program`."""

    def making(self, kin: Kin) -> AbstractContextManager[None]:
        """See `making`."""

    def make_probe(
        self, model: keras.Model, class_weights: NDArray[np.float32] | None, *, jit_compile: bool
    ) -> Callable[[Any, Any], tuple[Any, Any, Any]]:
        """See `make_probe`."""

    def read(self, variables: Sequence[Any]) -> Tensors:
        """See `read`."""

    def write(self, variables: Sequence[Any], tensors: Sequence[NDArray[Any]]) -> None:
        """See `write`."""

    def limit_threads(self, threads: int) -> None:
        """See `limit_threads`."""

    def accelerators(self) -> list[str]:
        """See `devices`."""


def _backend() -> Backend:
    """The module of the backend in use."""
    name = keras.backend.backend()
    module = import_module(f"search.programs.{name if name in ('tensorflow', 'jax') else 'fit'}")
    return cast(Backend, module)
