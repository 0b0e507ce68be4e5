"""Convolutional networks: `blocks` of convolution, pooling and dropout, then dense layers."""

from __future__ import annotations

from typing import Any

import keras

from search.errors import SearchError
from search.models.parts import (
    Reader,
    activated,
    applied,
    augmented,
    begin,
    dense,
    dropped,
    finish,
    penalised,
    with_channels,
)
from search.models.purpose import Purpose
from search.scalars import Scalars
from spaces.parameters import Params


def build_cnn(params: Params, purpose: Purpose, scalars: Scalars) -> Any:
    """For each block: convolution, batch normalisation, activation, max-pooling, dropout; then the dense head.

    Reads `blocks` (as many as there are filters_0, filters_1, ..., else 2), and of each block or of all `filters`
    (32), `kernel_size` (3), `padding` (same), `pool` (2, 1 for none; left out where the image has become smaller
    than that) and what an mlp's layers have; `dense_layers` (as many as there are units_0, units_1, ..., else 1),
    and of each of them or of all `units` (64, 0 for none) and `dense_dropout` (dropout). Augmentation comes first.
    """
    reader = Reader("cnn", params)
    inputs, x = begin(purpose)
    x = with_channels(purpose, augmented(purpose, x, reader, scalars))
    for index in range(reader.integer("blocks", reader.repeats("filters") or 2)):
        x = _block(x, reader, scalars, index)
    x = keras.layers.Flatten(name="flatten")(x)
    return finish(purpose, inputs, _head(x, reader, scalars), scalars)


def _head(x: Any, reader: Reader, scalars: Scalars) -> Any:
    for index in range(reader.integer("dense_layers", reader.repeats("units") or 1)):
        units = reader.integer("units", 64, index)
        if units:
            x = dense(x, units, reader, scalars, None, f"head_{index}")
            dropout = reader.name("dense_dropout", index) or reader.name("dropout")
            x = dropped(x, reader, scalars, dropout, f"head_{index}")
    return x


def _block(x: Any, reader: Reader, scalars: Scalars, index: int) -> Any:
    layer = keras.layers.Conv2D(
        reader.integer("filters", 32, index),
        _kernel_size(x, reader, index),
        padding=reader.word("padding", "same", index),
        use_bias=reader.flag("bias", True, index),
        kernel_initializer=reader.initializer(),
        name=f"conv_{index}",
    )
    x = activated(applied(penalised(layer, reader, scalars, index), x), reader, scalars, index, str(index))
    pool = reader.integer("pool", 2, index)
    if 1 < pool <= min(x.shape[1:3]):
        x = keras.layers.MaxPooling2D(pool, name=f"pool_{index}")(x)
    return dropped(x, reader, scalars, reader.name("dropout", index), str(index))


def _kernel_size(x: Any, reader: Reader, index: int) -> int:
    size, smallest = reader.integer("kernel_size", 3, index), min(x.shape[1:3])
    if reader.word("padding", "same", index) == "valid" and size > smallest:
        raise SearchError(
            f"params: block {index}: the image must be at least as large as the kernel without padding "
            f'(kernel_size = {size}, image {smallest}); use fewer blocks, less pooling or padding = "same"'
        )
    return size
