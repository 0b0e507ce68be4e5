"""Dense networks: `layers` times a dense layer with `units`, each followed by dropout."""

from __future__ import annotations

from typing import Any

import keras

from search.models.parts import Reader, augmented, begin, dense_stack, finish
from search.models.purpose import Purpose
from search.scalars import Scalars
from spaces.parameters import Params


def build_mlp(params: Params, purpose: Purpose, scalars: Scalars) -> Any:
    """Flatten, then for each layer: dense, batch normalisation, activation, dropout; the probabilities at the end.

    Reads `layers` (as many as there are units_0, units_1, ..., else 1), and of each layer or of all `units` (64),
    `activation` (relu), `batch_norm` (false), `bias` (true), `dropout`, `l1`, `l2` on the kernel, `activity_l1`,
    `activity_l2`; `kernel_initializer` (glorot_uniform) and `kernel_stddev` where that is a normal distribution; of
    images what `augmented` reads. Without a value there is no dropout and no penalty.
    """
    reader = Reader("mlp", params)
    inputs, x = begin(purpose)
    x = augmented(purpose, x, reader, scalars)
    if len(purpose.input_shape) > 1:
        x = keras.layers.Flatten(name="flatten")(x)
    return finish(purpose, inputs, dense_stack(x, reader, scalars, 64), scalars)
