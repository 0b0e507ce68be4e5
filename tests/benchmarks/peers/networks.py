"""The networks of spaces/catalog/mlp.toml and cnn.toml and of e2.toml, as a user of plain Keras writes them.

The momentum of batch normalisation is that of toprung's: all contestants train the same networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

CLASSES = 10
VALIDATION_BATCH = 512  # toprung's; nine batches of 32 would cost the peers a fifth of their time


def compiled(space: str, input_shape: Sequence[int], params: Mapping[str, Any]) -> keras.Model:
    """A model of the space, ready to be trained.

    Under TensorFlow without XLA, which Keras has on by default: compiling takes longer than the 27 epochs of such a
    model without it, so it would only slow the peers down. JAX without it would run every operation by itself.
    """
    body = {"mlp": _mlp, "cnn": _cnn, "e2": _e2}[space]
    inputs = keras.Input(input_shape)
    outputs = keras.layers.Dense(CLASSES, activation="softmax")(body(inputs, params))
    model = keras.Model(inputs, outputs)
    loss = "sparse_categorical_crossentropy"
    model.compile(_optimizer(params), loss, metrics=["accuracy"], jit_compile=keras.backend.backend() == "jax")
    return model


def _mlp(x: Any, params: Mapping[str, Any]) -> Any:
    x = keras.layers.Flatten()(x)
    for _ in range(params["layers"]):
        x = keras.layers.Dense(params["units"], activation="relu", kernel_regularizer=_l1(params))(x)
        x = keras.layers.Dropout(params["dropout"])(x)
    return x


def _cnn(x: Any, params: Mapping[str, Any]) -> Any:
    if len(x.shape) == 3:
        x = keras.layers.Reshape((*x.shape[1:], 1))(x)
    for filters in params["filters"]:
        x = keras.layers.Conv2D(filters, 3, padding="same", kernel_regularizer=_l1(params))(x)
        x = _normalised(x)
        x = keras.layers.MaxPooling2D(2)(x)
        x = keras.layers.Dropout(params["dropout"])(x)
    x = keras.layers.Flatten()(x)
    x = _normalised(keras.layers.Dense(params["units"], kernel_regularizer=_l1(params))(x))
    return keras.layers.Dropout(params["dropout"])(x)


def _e2(x: Any, params: Mapping[str, Any]) -> Any:
    for filters in params["filters"]:
        x = keras.layers.MaxPooling2D(2)(_normalised(keras.layers.Conv2D(filters, 3, padding="same")(x)))
    x = _normalised(keras.layers.Conv2D(64, 3, padding="same")(x))
    return _normalised(keras.layers.Dense(params["units"])(keras.layers.Flatten()(x)))


def _normalised(x: Any) -> Any:
    return keras.layers.Activation("relu")(keras.layers.BatchNormalization(momentum=0.9)(x))


def _l1(params: Mapping[str, Any]) -> keras.regularizers.Regularizer:
    return keras.regularizers.L1(params["l1"])


def _optimizer(params: Mapping[str, Any]) -> keras.optimizers.Optimizer:
    rate: float = params["learning_rate"]
    make: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
        "adam": lambda: keras.optimizers.Adam(rate),
        "sgd": lambda: keras.optimizers.SGD(rate, momentum=params["momentum"]),
        "rmsprop": lambda: keras.optimizers.RMSprop(rate),
    }
    return make[params["optimizer"]]()
