"""An epoch as one TensorFlow graph: a loop over `model.train_step` on batches gathered by a permutation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from search.programs import VALIDATION_BATCH, Alone, DeviceArrays, Look, create_variables, stretches
from search.programs.kernels import use_kernels

Logs = dict[str, Any]


class TensorFlowProgram:
    """Two graphs, an epoch of training and a batch of validation, traced when first used.

    The batches' size is dynamic in the graph, so that the last, smaller batch of an epoch needs no second copy
    of the step; XLA needs sizes to be known, so with `jit_compile` the remainder is a step of its own.
    """

    capacity = 1

    def __init__(
        self,
        model: keras.Model,
        batch_size: int,
        *,
        jit_compile: bool,
        class_weights: NDArray[np.float32] | None = None,
    ) -> None:
        _spare_graph_rewriting(model)
        create_variables(model)
        use_kernels(model)
        self._model = model
        self._batch_size = batch_size
        self._class_weights = None if class_weights is None else tf.constant(class_weights)
        compiled = {"jit_compile": jit_compile, "reduce_retracing": not jit_compile, "autograph": False}
        self._train = tf.function(self._static_epoch if jit_compile else self._dynamic_epoch, **compiled)
        self._validate = tf.function(self._validation, autograph=False, reduce_retracing=True)

    def to_device(self, x: NDArray[Any], y: NDArray[np.int32]) -> DeviceArrays:
        """Copy a split to the device."""
        return DeviceArrays(tf.constant(np.asarray(x)), tf.constant(np.asarray(y)), len(x))

    def cohort(self) -> Alone:
        """A cohort of one trial."""
        return Alone(self)

    def train(self, data: DeviceArrays, order: NDArray[np.int32]) -> dict[str, float]:
        """Train one epoch over the rows in `order`."""
        return _numbers(self._train(data.x, data.y, tf.constant(order)))

    def train_and_look(
        self, data: DeviceArrays, order: NDArray[np.int32], looks: Sequence[int], look: Look
    ) -> dict[str, float]:
        """Train one epoch, stopping for a look before some of its steps."""
        self._model.reset_metrics()
        for looked, rows in stretches(order, self._batch_size, looks):
            if looked:
                batch = tf.constant(rows[: self._batch_size])
                look(tf.gather(data.x, batch), tf.gather(data.y, batch))
            self._train(data.x, data.y, tf.constant(rows), first=False)
        return _numbers(self._logs())

    def validate(self, data: DeviceArrays) -> dict[str, float]:
        """The metrics on all rows of `data`."""
        if data.rows <= VALIDATION_BATCH:
            return _numbers(self._validate(data.x, data.y, first=True))
        for start in range(0, data.rows, VALIDATION_BATCH):
            batch = slice(start, start + VALIDATION_BATCH)
            logs = self._validate(data.x[batch], data.y[batch], first=start == 0)
        return _numbers(logs)

    def _dynamic_epoch(self, x: tf.Tensor, y: tf.Tensor, order: tf.Tensor, first: bool = True) -> Logs:
        if first:
            self._model.reset_metrics()

        def step(rows: tf.Tensor) -> None:
            self._train_on(x, y, tf.gather(order, rows))

        _each_batch(tf.shape(order)[0], self._batch_size, step)
        return self._logs()

    def _static_epoch(self, x: tf.Tensor, y: tf.Tensor, order: tf.Tensor, first: bool = True) -> Logs:
        if first:
            self._model.reset_metrics()
        full, remainder = divmod(order.shape[0], self._batch_size)
        batches = tf.reshape(order[: full * self._batch_size], (full, self._batch_size))

        def step(index: tf.Tensor) -> tuple[tf.Tensor]:
            self._train_on(x, y, batches[index])
            return (index + 1,)

        tf.while_loop(lambda index: index < full, step, (tf.constant(0),), maximum_iterations=full)
        if remainder:
            self._train_on(x, y, order[-remainder:])
        return self._logs()

    def _validation(self, x: tf.Tensor, y: tf.Tensor, first: bool) -> Logs:
        if first:
            self._model.reset_metrics()
        self._model.test_step((x, y))
        return self._logs()

    def _train_on(self, x: tf.Tensor, y: tf.Tensor, rows: tf.Tensor) -> None:
        labels = tf.gather(y, rows)
        weights = () if self._class_weights is None else (tf.gather(self._class_weights, labels),)
        self._model.train_step((tf.gather(x, rows), labels, *weights))

    def _logs(self) -> Logs:
        return dict(self._model.get_metrics_result())


def make(
    model: keras.Model, batch_size: int, *, jit_compile: bool, class_weights: NDArray[np.float32] | None
) -> TensorFlowProgram:
    """The program of a compiled model."""
    return TensorFlowProgram(model, batch_size, jit_compile=jit_compile, class_weights=class_weights)


def make_probe(
    model: keras.Model, class_weights: NDArray[np.float32] | None
) -> Callable[[Any, Any], tuple[Any, Any, Any]]:
    """See `search.programs.make_probe`."""
    by_class = None if class_weights is None else tf.constant(class_weights)
    first = model.trainable_variables[0].value

    def probe(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        weights = None if by_class is None else tf.gather(by_class, y)
        with tf.GradientTape() as tape:
            outputs = model(x, training=True)
            loss = model.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weights, training=True)
        return loss, outputs, tf.norm(tape.gradient(loss, first))

    return tf.function(probe, autograph=False, reduce_retracing=True)  # type: ignore[no-any-return]


def read(variables: Sequence[Any]) -> list[NDArray[Any]]:
    """Copies of the values of Keras variables."""
    return [variable.value.numpy() for variable in variables]


def limit_threads(threads: int) -> None:
    """Threads within an operation; operations run one after the other."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def accelerators() -> list[str]:
    """The GPUs that TensorFlow sees."""
    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]


def _spare_graph_rewriting(model: keras.Model) -> None:
    """Let graphs of dense networks run as they were traced.

    TensorFlow's rewriting of a graph takes as long as ten epochs of such a network and makes none of them faster;
    convolutions gain from it.
    """
    convolutions = any("Conv" in type(layer).__name__ for layer in model._flatten_layers())
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not convolutions})


def _each_batch(rows: tf.Tensor, size: int, step: Callable[[tf.Tensor], None]) -> None:
    def body(start: tf.Tensor) -> tuple[tf.Tensor]:
        step(tf.range(start, tf.minimum(start + size, rows)))
        return (start + size,)

    tf.while_loop(lambda start: start < rows, body, (tf.constant(0),), parallel_iterations=1)


def _numbers(logs: Logs) -> dict[str, float]:
    return {name: float(value) for name, value in logs.items()}
