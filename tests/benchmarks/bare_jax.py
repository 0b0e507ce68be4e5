"""An epoch by hand in JAX: one jitted `lax.scan`, without Keras."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
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

Tree = Any


class JaxLoop:
    """One jitted function an epoch: a scan over batches, the remainder, then the validation split in one batch."""

    def __init__(self, network: Network, train: Rows, validation: Rows, batch_size: int) -> None:
        weights = jax.tree.map(jnp.asarray, network.initial())
        moving = [_statistics(layer) for layer in weights]
        zeros = jax.tree.map(jnp.zeros_like, weights)
        self._state = weights, moving, zeros, jax.tree.map(jnp.zeros_like, weights), jnp.zeros((), jnp.int32)
        self._data = jax.tree.map(jnp.asarray, (train, validation))
        self._key = jax.random.key(0)
        self._epoch = jax.jit(partial(_epoch, network, batch_size), donate_argnums=0)

    def epoch(self, order: NDArray[np.int32]) -> dict[str, float]:
        """Train on all rows in this order, then evaluate."""
        self._key, key = jax.random.split(self._key)
        self._state, found = self._epoch(self._state, self._data, jnp.asarray(order), key)
        return {name: float(value) for name, value in jax.device_get(found).items()}


def _epoch(network: Network, batch_size: int, state: Tree, data: Tree, order: Any, key: Any) -> tuple[Tree, Tree]:
    (x, y), (x_validation, y_validation) = data
    full, remainder = divmod(order.shape[0], batch_size)

    def step(carry: Tree, rows: Any) -> tuple[Tree, Tree]:
        state, key = carry
        key, mask = jax.random.split(key)
        state, sums = _step(network, state, x[rows], y[rows], mask)
        return (state, key), sums

    batches = order[: full * batch_size].reshape(full, batch_size)
    carry, sums = jax.lax.scan(step, (state, key), batches)
    sums = jax.tree.map(jnp.sum, sums)
    if remainder:
        carry, last = step(carry, order[-remainder:])
        sums = jax.tree.map(jnp.add, sums, last)
    state = carry[0]
    logits, _ = _logits(network, state[0], state[1], x_validation, None)
    return state, {
        "train_loss": sums[0] / len(order),
        "train_accuracy": sums[1] / len(order),
        "val_loss": _loss(network, state[0], logits, y_validation),
        "val_accuracy": _hits(logits, y_validation) / len(y_validation),
    }


def _step(network: Network, state: Tree, x: Any, y: Any, key: Any) -> tuple[Tree, Tree]:
    weights, moving, means, squares, count = state

    def objective(weights: Tree) -> tuple[Any, Tree]:
        logits, moved = _logits(network, weights, moving, x, key)
        return _loss(network, weights, logits, y), (moved, _hits(logits, y))

    (loss, (moved, hits)), gradients = jax.value_and_grad(objective, has_aux=True)(weights)
    count = count + 1
    means = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, means, gradients)
    squares = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, squares, gradients)
    rate = network.learning_rate * jnp.sqrt(1 - BETA_2**count) / (1 - BETA_1**count)
    weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + ADAM_EPSILON), weights, means, squares)
    return (weights, moved, means, squares, count), (loss * len(y), hits)


def _loss(network: Network, weights: Tree, logits: Any, y: Any) -> Any:
    entropy = -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1))
    return entropy + network.l1 * sum(jnp.sum(jnp.abs(layer["kernel"])) for layer in weights[:-1])


def _logits(network: Network, weights: Tree, moving: Tree, x: Any, key: Any) -> tuple[Any, Tree]:
    """The outputs, and the moving statistics after them; with a key it trains."""
    x = x[..., None] if network.filters else x.reshape(len(x), -1)
    moved = list(moving)
    for index, layer in enumerate(weights[:-1]):
        convolution = index < len(network.filters)
        if convolution:
            x = jax.lax.conv_general_dilated(
                x, layer["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        else:
            x = x @ layer["kernel"]
        x = x + layer["bias"]
        if moving[index]:
            x, moved[index] = _normalised(x, layer, moving[index], key is not None)
        x = jax.nn.relu(x)
        if convolution:
            window = (1, POOL, POOL, 1)
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
        if key is not None:
            key, mask = jax.random.split(key)
            x = jnp.where(jax.random.bernoulli(mask, 1 - network.dropout, x.shape), x / (1 - network.dropout), 0.0)
        if index == len(network.filters) - 1:
            x = x.reshape(len(x), -1)
    return x @ weights[-1]["kernel"] + weights[-1]["bias"], moved


def _normalised(x: Any, layer: Tree, moving: Tree, training: bool) -> tuple[Any, Tree]:
    if training:
        axes = tuple(range(x.ndim - 1))
        mean, variance = jnp.mean(x, axes), jnp.var(x, axes)
        kept = NORM_MOMENTUM
        moving = {
            "mean": kept * moving["mean"] + (1 - kept) * mean,
            "variance": kept * moving["variance"] + (1 - kept) * variance,
        }
    else:
        mean, variance = moving["mean"], moving["variance"]
    return (x - mean) * jax.lax.rsqrt(variance + NORM_EPSILON) * layer["gamma"] + layer["beta"], moving


def _statistics(layer: Tree) -> Tree:
    if "gamma" not in layer:
        return {}
    return {"mean": jnp.zeros_like(layer["gamma"]), "variance": jnp.ones_like(layer["gamma"])}


def _hits(logits: Any, y: Any) -> Any:
    return jnp.sum(jnp.argmax(logits, 1) == y)


def make(network: Network, train: Rows, validation: Rows, batch_size: int) -> Loop:
    """The loop of a network."""
    return JaxLoop(network, train, validation, batch_size)
