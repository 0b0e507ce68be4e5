"""Losses by name for integer labels, whatever form of labels Keras's loss wants."""

from __future__ import annotations

from typing import Any

import keras

from search.scalars import Scalars


class LabelLoss(keras.losses.Loss):  # type: ignore[misc]
    """A loss of Keras between smoothed labels and the model's output.

    Labels become one-hot rows, or a column of 0 and 1 for a model with one output. Smoothing by s takes s off the
    right class and spreads it evenly over all classes.

    Args:
        name: Keras's name of a loss that compares labels and outputs of equal shape.
        classes: Number of classes.
        smoothing: s, from 0 to 1, or a variable of the model.

    Source:
        Szegedy et al. (2016), doi:10.1109/CVPR.2016.308, section 7.
    """

    def __init__(self, name: str, classes: int, smoothing: Any = 0.0) -> None:
        super().__init__(name=name)
        self._function = keras.losses.get(name)
        self._classes = classes
        self._smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """One loss an example, shape (rows,), for labels of shape (rows,) or (rows, 1)."""
        labels = keras.ops.cast(keras.ops.reshape(y_true, (-1,)), "int32")  # Keras makes them floats
        if y_pred.shape[-1] == 1:
            targets = keras.ops.cast(keras.ops.expand_dims(labels, -1), y_pred.dtype)
        else:
            targets = keras.ops.one_hot(labels, self._classes, dtype=y_pred.dtype)
        smoothing = keras.ops.cast(self._smoothing, y_pred.dtype)
        return self._function(targets * (1 - smoothing) + smoothing / self._classes, y_pred)


def make_loss(name: str, classes: int, scalars: Scalars | None = None) -> Any:
    """A loss for `model.compile`, for labels of shape (rows,) from 0 to classes - 1.

    Args:
        name: One of the losses of `[training]`; binary_crossentropy goes with a model of one output.
        classes: Number of classes.
        scalars: Of the model; labels are smoothed where it has `label_smoothing`.
    """
    smooths = scalars is not None and "label_smoothing" in scalars
    if name == "sparse_categorical_crossentropy":
        if not smooths:
            return keras.losses.get(name)  # the same without one-hot rows
        name = "categorical_crossentropy"
    return LabelLoss(name, classes, scalars.number("label_smoothing", "share") if scalars and smooths else 0.0)
