"""Metrics: as numbers, and those that Keras lacks in the form that compiled programs need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


def numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    """What Keras reports, in the fewest digits.

    Returns:
        For a float32 the shortest decimal that no other float32 is nearer to, 0.9722222 in place of
        0.9722222089767456; other numbers, and whole ones, as they are.
    """
    return {name: _shortest(float(value)) for name, value in logs.items()}


def _shortest(value: float) -> float:
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return float(str(single)) if float(single) == value and not value.is_integer() else value


def probabilities(outputs: NDArray[Any]) -> NDArray[Any]:
    """One probability a class from what a model gives.

    Args:
        outputs: Shape (rows, classes), or (rows, 1) from a sigmoid unit: the probability of class 1.
    Returns:
        Shape (rows, classes); two classes for a sigmoid unit.
    """
    return np.concatenate([1 - outputs, outputs], axis=-1) if outputs.shape[-1] == 1 else outputs


def metrics_for(monitor: str, classes: int) -> list[Any]:
    """What a model is compiled with, beside its loss, so that it reports the monitor."""
    return ["accuracy", WeightedF1(classes, name="f1")] if monitor == "val_f1" else ["accuracy"]


class WeightedF1(keras.metrics.Metric):  # type: ignore[misc]
    """F1 of each class, averaged by how many samples the class has: scikit-learn's `average="weighted"`.

    Keras's own F1Score wants one-hot labels; this one takes class numbers, shape (batch,) or (batch, 1), or
    one-hot rows, shape (batch, classes). A class that is neither there nor predicted has no weight.

    Args:
        classes: Number of classes.
        name: Of the metric in the logs.
    """

    def __init__(self, classes: int, name: str = "f1", dtype: Any = "float32") -> None:
        super().__init__(name=name, dtype=dtype)
        self.classes = classes
        # exact up to 2**24 samples a class, which no split that fits a device reaches
        self.hits = self.add_weight(shape=(classes,), initializer="zeros", name="hits")
        self.predicted = self.add_weight(shape=(classes,), initializer="zeros", name="predicted")
        self.actual = self.add_weight(shape=(classes,), initializer="zeros", name="actual")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch.

        Args:
            y_true: Class numbers or one-hot rows.
            y_pred: Shape (batch, classes): the largest of a row is the prediction; or (batch, 1) from a sigmoid
                unit: above one half it is class 1, as Keras's accuracy counts.
            sample_weight: Shape (batch,) or None for 1 each.
        """
        actual = self._one_hot(y_true)
        one_unit = y_pred.shape[-1] == 1
        predicted = self._one_hot(y_pred[:, 0] > 0.5 if one_unit else keras.ops.argmax(y_pred, axis=-1))
        weight = 1.0
        if sample_weight is not None:
            weight = keras.ops.reshape(keras.ops.cast(sample_weight, self.dtype), (-1, 1))
        self.hits.assign_add(keras.ops.sum(weight * actual * predicted, axis=0))
        self.predicted.assign_add(keras.ops.sum(weight * predicted, axis=0))
        self.actual.assign_add(keras.ops.sum(weight * actual, axis=0))

    def result(self) -> Any:
        """The weighted mean, from 0 to 1."""
        f1 = keras.ops.divide_no_nan(2 * self.hits, self.predicted + self.actual)
        return keras.ops.divide_no_nan(keras.ops.sum(f1 * self.actual), keras.ops.sum(self.actual))

    def get_config(self) -> dict[str, Any]:
        """What Keras needs to make it again."""
        return {"classes": self.classes, "name": self.name, "dtype": self.dtype}

    def _one_hot(self, labels: Any) -> Any:
        """Rows of 0 and a 1, shape (batch, classes), from class numbers or from such rows."""
        if len(labels.shape) == 2 and labels.shape[-1] == self.classes:
            return keras.ops.cast(labels, self.dtype)
        labels = keras.ops.cast(keras.ops.reshape(labels, (-1,)), "int32")
        return keras.ops.one_hot(labels, self.classes, dtype=self.dtype)
