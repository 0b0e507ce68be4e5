"""An epoch as one TensorFlow graph: a loop over `model.train_step` on batches gathered by a permutation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from search.errors import SearchError
from search.metrics import numbers
from search.programs import VALIDATION_BATCH, Alone, DeviceArrays, Kin, Look, Program, create_variables, stretches
from search.programs.kernels import make_room, use_for_updates, use_in_layers, use_in_metrics
from search.programs.widths import forget_widths, has_free_widths, lent, network_of

Logs = dict[str, Any]


@dataclass(frozen=True)
class Graphs:
    """What a model is trained and validated by.

    Attributes:
        training: Of an epoch.
        validation: Of a validation.
        variables: All that both compute with, in the order in which Keras made them; none where no model may share
            the graphs, else of shapes that leave the widths open.
        network: Those that a validation computes with.
    """

    training: Training
    validation: Validation
    variables: Sequence[tf.Variable] = ()
    network: Sequence[tf.Variable] = ()


class TensorFlowProgram:
    """The graphs of a model.

    Args:
        model: Compiled, made within `making(kin)`.
        batch_size: Rows a training step.
        jit_compile: Whether XLA compiles the epoch.
        class_weights: Shape (classes,); None for 1.
        kin: Programs of models that differ in widths alone: their graphs serve this one too.
    """

    capacity = 1

    def __init__(
        self,
        model: keras.Model,
        batch_size: int,
        *,
        jit_compile: bool,
        class_weights: NDArray[np.float32] | None = None,
        kin: Kin,
    ) -> None:
        create_variables(model)
        use_in_layers(model)
        use_in_metrics(model)
        self._model = model
        self._batch_size = batch_size
        self._convolves = any("Conv" in type(layer).__name__ for layer in model._flatten_layers())
        if graphs := _shared_by(kin.training):
            if len(kin.made) != len(graphs.variables):
                raise SearchError("networks that differ in widths alone must have equally many variables", exit_code=1)
            self.graphs = graphs  # of the variables that the model was made of
            return
        training = Training(model, batch_size, jit_compile, class_weights)
        if jit_compile or not has_free_widths(model):
            self.graphs = Graphs(training, Validation(model))
        else:
            made = list(kin.made)
            relative = _shared_by(kin.validation)
            replaced = forget_widths(model, relative.network if relative else None)
            validation = relative.validation if relative else Validation(model)
            variables = [replaced.get(id(variable), variable) for variable in made]
            self.graphs = Graphs(training, validation, variables, network_of(model))
        use_for_updates(model.optimizer)

    def to_device(self, x: NDArray[Any], y: NDArray[np.int32]) -> DeviceArrays:
        """Copy a split to the device."""
        return DeviceArrays(tf.constant(np.asarray(x)), tf.constant(np.asarray(y)), len(x))

    def cohort(self) -> Alone:
        """A cohort of one trial."""
        return Alone(self)

    def train(self, data: DeviceArrays, order: NDArray[np.int32]) -> dict[str, float]:
        """Train one epoch over the rows in `order`."""
        _let_graphs_be_rewritten(self._convolves)
        return numbers(self.graphs.training.graph(data.x, data.y, tf.constant(order)))

    def train_and_look(
        self, data: DeviceArrays, order: NDArray[np.int32], looks: Sequence[int], look: Look
    ) -> dict[str, float]:
        """Train one epoch, stopping for a look before some of its steps."""
        _let_graphs_be_rewritten(self._convolves)
        self._model.reset_metrics()
        for looked, rows in stretches(order, self._batch_size, looks):
            if looked:
                batch = tf.constant(rows[: self._batch_size])
                look(tf.gather(data.x, batch), tf.gather(data.y, batch))
            self.graphs.training.graph(data.x, data.y, tf.constant(rows), first=False)
        return numbers(self._model.get_metrics_result())

    def validate(self, data: DeviceArrays) -> dict[str, float]:
        """The metrics on all rows of `data`."""
        _let_graphs_be_rewritten(self._convolves)
        whole = data.rows <= VALIDATION_BATCH
        return numbers(self.graphs.validation.graph(data.x, data.y, whole))


class Training:
    """The graph of an epoch of training, traced when first used.

    The batches' size is dynamic in the graph, so that the last, smaller batch of an epoch needs no second copy
    of the step; XLA needs sizes to be known, so with `jit_compile` the remainder is a step of its own.

    Args:
        model: Compiled, with all its variables.
        batch_size: Rows a training step.
        jit_compile: Whether XLA compiles the epoch.
        class_weights: Shape (classes,); None for 1.
    """

    def __init__(
        self, model: keras.Model, batch_size: int, jit_compile: bool, class_weights: NDArray[np.float32] | None
    ) -> None:
        self._model = model
        self._batch_size = batch_size
        self._class_weights = None if class_weights is None else tf.constant(class_weights)
        self._epoch = self._static_epoch if jit_compile else self._dynamic_epoch
        compiled = {"jit_compile": jit_compile, "reduce_retracing": not jit_compile, "autograph": False}
        self.graph = tf.function(self._train, **compiled)

    def _train(self, x: tf.Tensor, y: tf.Tensor, order: tf.Tensor, first: bool = True) -> Logs:
        if first:
            self._model.reset_metrics()
        if hasattr(self._model.optimizer, "scratch"):
            make_room(self._model.optimizer)
        self._epoch(x, y, order)
        return dict(self._model.get_metrics_result())

    def _dynamic_epoch(self, x: tf.Tensor, y: tf.Tensor, order: tf.Tensor) -> None:
        def step(rows: tf.Tensor) -> None:
            self._train_on(x, y, tf.gather(order, rows))

        _each_batch(tf.shape(order)[0], self._batch_size, step)

    def _static_epoch(self, x: tf.Tensor, y: tf.Tensor, order: tf.Tensor) -> None:
        full, remainder = divmod(order.shape[0], self._batch_size)
        batches = tf.reshape(order[: full * self._batch_size], (full, self._batch_size))

        def step(index: tf.Tensor) -> tuple[tf.Tensor]:
            self._train_on(x, y, batches[index])
            return (index + 1,)

        if full:  # XLA compiles no slice of nothing
            tf.while_loop(lambda index: index < full, step, (tf.constant(0),), maximum_iterations=full)
        if remainder:
            self._train_on(x, y, order[-remainder:])

    def _train_on(self, x: tf.Tensor, y: tf.Tensor, rows: tf.Tensor) -> None:
        labels = tf.gather(y, rows)
        weights = () if self._class_weights is None else (tf.gather(self._class_weights, labels),)
        self._model.train_step((tf.gather(x, rows), labels, *weights))


class Validation:
    """The graph of a validation, traced when first used; no optimizer has a part in it.

    Args:
        model: Compiled, with all its variables.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self.graph = tf.function(self._validate, autograph=False, reduce_retracing=True)

    def _validate(self, x: tf.Tensor, y: tf.Tensor, whole: bool) -> Logs:
        self._model.reset_metrics()
        if whole:
            self._model.test_step((x, y))
        else:
            _each_batch(tf.shape(y)[0], VALIDATION_BATCH, lambda rows: self._validate_on(x, y, rows))
        return dict(self._model.get_metrics_result())

    def _validate_on(self, x: tf.Tensor, y: tf.Tensor, rows: tf.Tensor) -> None:
        self._model.test_step((tf.gather(x, rows), tf.gather(y, rows)))


def _shared_by(program: Program | None) -> Graphs | None:
    """The graphs of a program, if other models may share them."""
    return program.graphs if isinstance(program, TensorFlowProgram) and program.graphs.variables else None


def making(kin: Kin) -> AbstractContextManager[None]:
    """See `search.programs.making`."""
    graphs = _shared_by(kin.training)
    return lent(graphs.variables if graphs else (), kin.made)


def make(
    model: keras.Model,
    batch_size: int,
    *,
    jit_compile: bool,
    class_weights: NDArray[np.float32] | None,
    kin: Kin,
) -> TensorFlowProgram:
    """The program of a compiled model."""
    return TensorFlowProgram(model, batch_size, jit_compile=jit_compile, class_weights=class_weights, kin=kin)


def make_probe(
    model: keras.Model, class_weights: NDArray[np.float32] | None, *, jit_compile: bool
) -> Callable[[Any, Any], tuple[Any, Any, Any]]:
    """See `search.programs.make_probe`. XLA draws other random numbers from a seed than TensorFlow's own kernels."""
    by_class = None if class_weights is None else tf.constant(class_weights)
    first = model.trainable_variables[0].value

    def probe(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        weights = None if by_class is None else tf.gather(by_class, y)
        with tf.GradientTape() as tape:
            outputs = model(x, training=True)
            loss = model.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weights, training=True)
        return loss, outputs, tf.norm(tape.gradient(loss, first))

    compiled = {"jit_compile": jit_compile, "reduce_retracing": not jit_compile, "autograph": False}
    return tf.function(probe, **compiled)  # type: ignore[no-any-return]


def read(variables: Sequence[Any]) -> list[NDArray[Any]]:
    """Copies of the values of Keras variables, by the operation itself: `Variable.numpy` takes three times as long."""
    handles = [(variable.value.handle, variable.value.dtype) for variable in variables]
    return [tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype).numpy() for handle, dtype in handles]


def write(variables: Sequence[Any], tensors: Sequence[NDArray[Any]]) -> None:
    """Set Keras variables, by the operation itself: Keras's `assign` takes five times as long."""
    for variable, tensor in zip(variables, tensors, strict=True):
        if variable.shape != tensor.shape:
            raise ValueError(f"{variable.path}: has the shape {variable.shape} (came {tensor.shape})")
        tf.raw_ops.AssignVariableOp(resource=variable.value.handle, value=tensor)


def limit_threads(threads: int) -> None:
    """Threads within an operation; operations run one after the other."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def accelerators() -> list[str]:
    """The GPUs that TensorFlow sees."""
    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]


def _let_graphs_be_rewritten(wanted: bool) -> None:
    """Whether TensorFlow rewrites the graphs that run from now on, which is what the process says, not the graph.

    It takes as long as ten epochs of a dense network and makes none of them faster; convolutions gain from it.
    """
    options = tf.config.optimizer
    if options.get_experimental_options().get("disable_meta_optimizer", False) == wanted:
        options.set_experimental_options({"disable_meta_optimizer": not wanted})


def _each_batch(rows: tf.Tensor, size: int, step: Callable[[tf.Tensor], None]) -> None:
    def body(start: tf.Tensor) -> tuple[tf.Tensor]:
        step(tf.range(start, tf.minimum(start + size, rows)))
        return (start + size,)

    tf.while_loop(lambda start: start < rows, body, (tf.constant(0),), parallel_iterations=1)
