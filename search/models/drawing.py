"""Initial weights drawn by NumPy from the initializers that layers declare: alike under every backend.

Keras would draw them on the device, where JAX compiles a program for each new shape; that takes longer than all
else that a new model needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

_TRUNCATED_DEVIATION = 0.87962566103423978  # of a normal distribution cut at two deviations


def draw(initializer: Any, shape: Sequence[int], seed: Sequence[int]) -> NDArray[np.float32]:
    """Values of a new weight; Keras draws them where it has an initializer that is not known here.

    Args:
        initializer: One of Keras's, as an object.
        shape: Of the weight.
        seed: Whole numbers that tell this weight from all others.
    """
    generator, known = np.random.default_rng(seed), keras.initializers
    match initializer:
        case known.Zeros():
            return np.zeros(shape, np.float32)
        case known.Ones():
            return np.ones(shape, np.float32)
        case known.VarianceScaling(input_axes=None):
            return _scaled(generator, initializer, tuple(shape))
        case known.RandomNormal():
            return _normal(generator.standard_normal(shape, np.float32), initializer)
        case known.TruncatedNormal():
            return _normal(_truncated(generator, shape), initializer)
        case known.RandomUniform():
            return _uniform(generator, initializer.minval, initializer.maxval, shape)
    return _by_keras(initializer, shape, generator)


def zeros(shape: Sequence[int], dtype: Any = None) -> NDArray[Any]:
    """An initializer for weights that are drawn later."""
    return np.zeros(shape, dtype)


def _scaled(generator: np.random.Generator, initializer: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Glorot's, He's and LeCun's: the variance follows from the numbers of inputs and outputs."""
    receptive_field = math.prod(shape[:-2])
    fan_in, fan_out = (size * receptive_field for size in (shape[-2:] if len(shape) > 1 else shape * 2))
    fan = {"fan_in": fan_in, "fan_out": fan_out}.get(initializer.mode, (fan_in + fan_out) / 2)
    variance = initializer.scale / max(1.0, fan)
    if initializer.distribution == "uniform":
        limit = math.sqrt(3 * variance)
        return _uniform(generator, -limit, limit, shape)
    if initializer.distribution == "truncated_normal":
        return _truncated(generator, shape) * np.float32(math.sqrt(variance) / _TRUNCATED_DEVIATION)
    return generator.standard_normal(shape, np.float32) * np.float32(math.sqrt(variance))


def _normal(values: NDArray[np.float32], initializer: Any) -> NDArray[np.float32]:
    return np.float32(initializer.mean) + np.float32(initializer.stddev) * values


def _uniform(generator: np.random.Generator, low: float, high: float, shape: Sequence[int]) -> NDArray[np.float32]:
    return np.float32(low) + np.float32(high - low) * generator.random(shape, np.float32)


def _truncated(generator: np.random.Generator, shape: Sequence[int]) -> NDArray[np.float32]:
    """Standard normal values, drawn again where they lie beyond two deviations."""
    values = generator.standard_normal(shape, np.float32)
    while (beyond := np.abs(values) > 2).any():
        values[beyond] = generator.standard_normal(int(beyond.sum()), np.float32)
    return values


def _by_keras(initializer: Any, shape: Sequence[int], generator: np.random.Generator) -> NDArray[np.float32]:
    settings = initializer.get_config()
    if "seed" in settings:
        seed = int(generator.integers(2**31))
        initializer = type(initializer).from_config(settings | {"seed": seed})
    return np.asarray(initializer(tuple(shape), dtype="float32"))
