"""An epoch by hand in TensorFlow: one graph of raw operations, without Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tests.benchmarks.bare import (
    ADAM_EPSILON,
    BETA_1,
    BETA_2,
    NORM_EPSILON,
    NORM_MOMENTUM,
    POOL,
    Loop,
    Network,
    Rows,
)

Layer = dict[str, Any]


class TensorFlowLoop:
    """All in one `tf.function`: a loop over batches, then the validation split in one batch."""

    def __init__(self, network: Network, train: Rows, validation: Rows, batch_size: int) -> None:
        self._network = network
        self._batch_size = batch_size
        self._train, self._validation = ([tf.constant(array) for array in rows] for rows in (train, validation))
        self._layers = [{name: tf.Variable(value) for name, value in layer.items()} for layer in network.initial()]
        self._moving = [self._statistics(layer) for layer in self._layers]
        self._weights = [variable for layer in self._layers for variable in layer.values()]
        self._moments = [(tf.Variable(tf.zeros_like(v)), tf.Variable(tf.zeros_like(v))) for v in self._weights]
        self._powers = tf.Variable(BETA_1), tf.Variable(BETA_2)
        self._epoch = tf.function(self._whole_epoch, autograph=False)

    def epoch(self, order: NDArray[np.int32]) -> dict[str, float]:
        """Train on all rows in this order, then evaluate."""
        return {name: float(value) for name, value in self._epoch(tf.constant(order)).items()}

    def _statistics(self, layer: Layer) -> Layer:
        if "gamma" not in layer:
            return {}
        size = layer["gamma"].shape
        return {"mean": tf.Variable(tf.zeros(size)), "variance": tf.Variable(tf.ones(size))}

    def _whole_epoch(self, order: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.shape(order)[0]

        def body(start: tf.Tensor, loss: tf.Tensor, hits: tf.Tensor) -> tuple[tf.Tensor, ...]:
            batch = order[start : start + self._batch_size]
            x, y = (tf.gather(array, batch) for array in self._train)
            batch_loss, batch_hits = self._step(x, y)
            size = tf.cast(tf.shape(batch)[0], tf.float32)
            return start + self._batch_size, loss + batch_loss * size, hits + batch_hits

        begin = tf.constant(0), tf.constant(0.0), tf.constant(0.0)
        _, loss, hits = tf.while_loop(lambda start, *_: start < rows, body, begin, parallel_iterations=1)
        count = tf.cast(rows, tf.float32)
        x, y = self._validation
        logits = self._logits(x, training=False)
        return {
            "train_loss": loss / count,
            "train_accuracy": hits / count,
            "val_loss": self._loss(logits, y),
            "val_accuracy": _hits(logits, y) / float(len(y)),
        }

    def _step(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            logits = self._logits(x, training=True)
            loss = self._loss(logits, y)
        self._adam(tape.gradient(loss, self._weights))
        return loss, _hits(logits, y)

    def _loss(self, logits: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        entropy = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
        sizes = [tf.reduce_sum(tf.abs(layer["kernel"])) for layer in self._layers[:-1]]
        return entropy + self._network.l1 * tf.add_n(sizes)

    def _logits(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        network = self._network
        x = x[..., None] if network.filters else tf.reshape(x, (-1, network.row[0] * network.row[1]))
        for index, (layer, moving) in enumerate(zip(self._layers[:-1], self._moving, strict=False)):
            convolution = index < len(network.filters)
            if convolution:
                x = tf.nn.bias_add(tf.nn.conv2d(x, layer["kernel"], 1, "SAME"), layer["bias"])
            else:
                x = tf.matmul(x, layer["kernel"]) + layer["bias"]
            x = tf.nn.relu(_normalised(x, layer, moving, training) if moving else x)
            x = tf.nn.max_pool2d(x, POOL, POOL, "VALID") if convolution else x
            x = tf.nn.dropout(x, network.dropout) if training else x
            if index == len(network.filters) - 1:
                x = tf.reshape(x, (-1, int(np.prod(x.shape[1:]))))
        last = self._layers[-1]
        return tf.matmul(x, last["kernel"]) + last["bias"]

    def _adam(self, gradients: list[tf.Tensor]) -> None:
        rate = tf.constant(self._network.learning_rate)
        power_1, power_2 = (power.read_value() for power in self._powers)
        for weight, gradient, (mean, square) in zip(self._weights, gradients, self._moments, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=weight.handle, m=mean.handle, v=square.handle, beta1_power=power_1, beta2_power=power_2,
                lr=rate, beta1=BETA_1, beta2=BETA_2, epsilon=ADAM_EPSILON, grad=gradient,
            )  # fmt: skip
        self._powers[0].assign(power_1 * BETA_1)
        self._powers[1].assign(power_2 * BETA_2)


def _normalised(x: tf.Tensor, layer: Layer, moving: Layer, training: bool) -> tf.Tensor:
    wide = x if x.shape.rank == 4 else x[:, None, None, :]
    y, mean, variance, *_ = tf.compat.v1.nn.fused_batch_norm(
        wide, layer["gamma"], layer["beta"], None if training else moving["mean"],
        None if training else moving["variance"], NORM_EPSILON, is_training=training,
    )  # fmt: skip
    if training:
        for variable, found in ((moving["mean"], mean), (moving["variance"], variance)):
            variable.assign_sub((1 - NORM_MOMENTUM) * (variable - found))
    return y if x.shape.rank == 4 else y[:, 0, 0, :]


def _hits(logits: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(tf.equal(tf.argmax(logits, 1, tf.int32), y), tf.float32))


def make(network: Network, train: Rows, validation: Rows, batch_size: int) -> Loop:
    """The loop of a network."""
    return TensorFlowLoop(network, train, validation, batch_size)
