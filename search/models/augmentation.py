"""Random changes of training images, new ones each epoch: turned, moved, sheared, zoomed and flipped.

Keras has a layer for each. Together they resample an image four times, TensorFlow's XLA cannot compile them, and on
a processor they take three times as long as this one, which resamples once; under JAX thirty times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np


class Augmentation(keras.layers.Layer):  # type: ignore[misc]
    """Turns, shears, zooms, moves and flips every image by amounts of its own, in training only.

    What comes in from beyond an edge is the nearest pixel. All amounts are drawn evenly from -limit to limit.

    Args:
        limits: `rotation` in degrees about the centre; `shear`: pixels to the side a pixel down; `zoom`: the part
            of the image that is seen has 1 - zoom to 1 + zoom times its height and width; `shift`: parts of the
            height and of the width. Numbers or variables; what is missing is 0.
        flip: "none", "horizontal", "vertical" or "both"; each image is flipped with a probability of one half, for
            both ways separately.
    """

    def __init__(self, limits: Mapping[str, Any], flip: str = "none", **options: Any) -> None:
        super().__init__(**options)
        self.limits = dict(limits)  # Keras tracks variables in a dict
        self.flip = flip
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Images of shape (rows, height, width) or (rows, height, width, channels), changed in training."""
        if not training:
            return inputs
        grey = len(inputs.shape) == 3
        images = keras.ops.expand_dims(inputs, -1) if grey else inputs
        draws = keras.random.uniform((keras.ops.shape(inputs)[0], 7), -1, 1, "float32", seed=self.seed_generator)
        images = resampled(images, *self._transform(draws, *images.shape[1:3]))
        return keras.ops.squeeze(images, -1) if grey else images

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Augmentation keeps the shape."""
        return input_shape

    def _transform(self, draws: Any, height: int, width: int) -> tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]:
        """Where a pixel comes from, as `resampled` has it: flip, zoom, shear, rotation about the centre, then shift."""
        angle = draws[:, 0] * self._limit("rotation") * (math.pi / 180)
        shear, zoom = draws[:, 1] * self._limit("shear"), 1 + draws[:, 2] * self._limit("zoom")
        right, down = draws[:, 3] * self._limit("shift") * width, draws[:, 4] * self._limit("shift") * height
        cosine, sine = zoom * keras.ops.cos(angle), zoom * keras.ops.sin(angle)
        x_way, y_way = self._way(draws[:, 5], "horizontal"), self._way(draws[:, 6], "vertical")
        x_from = cosine * x_way, (cosine * shear - sine) * y_way
        y_from = sine * x_way, (sine * shear + cosine) * y_way
        centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
        return (
            (*x_from, centre_x + right - x_from[0] * centre_x - x_from[1] * centre_y),
            (*y_from, centre_y + down - y_from[0] * centre_x - y_from[1] * centre_y),
        )

    def _way(self, draws: Any, flip: str) -> Any:
        """-1 for images that are flipped, else 1."""
        return keras.ops.where(draws > 0, 1.0, -1.0) if self.flip in (flip, "both") else 1.0

    def _limit(self, name: str) -> Any:
        return keras.ops.cast(self.limits.get(name, 0.0), "float32")


def resampled(images: Any, x_from: tuple[Any, Any, Any], y_from: tuple[Any, Any, Any]) -> Any:
    """Images whose pixel at (x, y) is interpolated between the four around another place in it.

    Args:
        images: Shape (rows, height, width, channels), floats.
        x_from: (a, b, c), each of shape (rows,): the place's x is a * x + b * y + c, within the image.
        y_from: The same for its y.
    Returns:
        Images of equal shape and type.
    """
    height, width, channels = images.shape[1:]
    places = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x, y = (keras.ops.convert_to_tensor(place.ravel()) for place in places)
    (left, part_x), (top, part_y) = (
        _cell(keras.ops.reshape(a, (-1, 1)) * x + keras.ops.reshape(b, (-1, 1)) * y, c, size)
        for (a, b, c), size in ((x_from, width), (y_from, height))
    )
    first = keras.ops.expand_dims(keras.ops.arange(keras.ops.shape(images)[0], dtype="int32"), -1) * (height * width)
    corner = first + top * width + left
    pixels = keras.ops.reshape(images, (-1, channels))
    across, down = min(width - 1, 1), min(height - 1, 1) * width  # no neighbour in an image of one column or row
    upper, lower = (
        _between(keras.ops.take(pixels, at, 0), keras.ops.take(pixels, at + across, 0), part_x)
        for at in (corner, corner + down)
    )
    return keras.ops.reshape(_between(upper, lower, part_y), keras.ops.shape(images))


def _cell(linear: Any, constant: Any, size: int) -> tuple[Any, Any]:
    """The pixel before a place on an axis, a whole number, and how far the place lies beyond it, from 0 to 1."""
    place = keras.ops.clip(linear + keras.ops.reshape(constant, (-1, 1)), 0, size - 1)
    before = keras.ops.minimum(keras.ops.floor(place), max(size - 2, 0))
    return keras.ops.cast(before, "int32"), keras.ops.expand_dims(place - before, -1)


def _between(one: Any, other: Any, part: Any) -> Any:
    return one + (other - one) * keras.ops.cast(part, one.dtype)
