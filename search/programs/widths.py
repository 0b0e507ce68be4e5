"""Graphs of TensorFlow that networks of different widths share: one trace serves all of them.

To trace takes as long as some twenty epochs of a small dense network, and half a second for convolutions. A graph
that is given its variables as arguments, of shapes that it doesn't know where a width decides them, computes with
those of any such network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from search.programs.kernels import has_plain_convolution
from search.scalars import VariableActivityPenalty, VariableDropout, is_scalar

# Layers that ask no shape of their inputs that a width decides.
_INDIFFERENT = (
    keras.layers.InputLayer,
    keras.layers.Rescaling,
    keras.layers.Reshape,
    keras.layers.Flatten,
    keras.layers.MaxPooling2D,
    keras.layers.Activation,
    VariableDropout,
    VariableActivityPenalty,
)
_WITH_WIDTH = (keras.layers.Dense, keras.layers.Conv2D, keras.layers.BatchNormalization)


def has_free_widths(model: keras.Model) -> bool:
    """Whether it is a network of dense layers and convolutions whose graph can do without its widths."""
    layers = list(model._flatten_layers(include_self=False))
    known = all(type(layer) in (*_INDIFFERENT, *_WITH_WIDTH) for layer in layers)
    plain = all(has_plain_convolution(layer) for layer in layers if type(layer) is keras.layers.Conv2D)
    return known and plain and not hasattr(model.optimizer, "inner_optimizer")  # of a loss scale


def forget_widths(model: keras.Model) -> None:
    """Give a model, its optimizer built, variables that leave open what its widths decide.

    The shape of its outputs stays known, for metrics may ask it.
    """
    layers = [layer for layer in model.layers if type(layer) in _WITH_WIDTH]
    for layer in layers:
        for variable in layer.weights:
            if not is_scalar(variable):
                window = variable.shape[:-2]  # of a convolution
                inputs = [None] * (len(variable.shape) - len(window) - 1)
                outputs = variable.shape[-1] if layer is layers[-1] else None
                _forget(variable, [*window, *inputs, outputs])
    for variable in model.optimizer.variables:
        _forget(variable, [None] * len(variable.shape))
    _index(model.optimizer)


def _forget(variable: Any, shape: Sequence[int | None]) -> None:
    if shape:
        old = variable.value
        variable._value = tf.Variable(old.read_value(), trainable=old.trainable, shape=tf.TensorShape(shape))


class Variables:
    """All variables of a compiled model that a graph reads or writes.

    Args:
        model: Compiled.
        optimizer: Its optimizer; None for a graph that doesn't train.
    """

    def __init__(self, model: keras.Model, optimizer: Any = None) -> None:
        of_optimizer = optimizer.variables if optimizer else []
        every = [*model.variables, *of_optimizer, *model.metrics_variables]
        self._own = list({id(variable): variable for variable in every}.values())
        self._optimizer = optimizer

    @property
    def values(self) -> list[tf.Variable]:
        """TensorFlow's, in an order that is the same for models that differ in widths."""
        return [*(variable.value for variable in self._own), *self._scratch]

    @contextmanager
    def replaced(self, values: Sequence[tf.Variable]) -> Iterator[None]:
        """Let the model compute with others."""
        before = self.values
        self._take(values)
        try:
            yield
        finally:
            self._take(before)

    def _take(self, values: Sequence[tf.Variable]) -> None:
        count = len(self._own)
        for variable, value in zip(self._own, values[:count], strict=True):
            variable._value = value
        if self._scratch:
            self._optimizer.scratch = list(values[count:])
        if self._optimizer:
            _index(self._optimizer)

    @property
    def _scratch(self) -> list[tf.Variable]:
        """What a kernel of the optimizer writes and nobody reads."""
        return getattr(self._optimizer, "scratch", [])


def _index(optimizer: Any) -> None:
    """Let an optimizer find its variables' places again, which it looks up by TensorFlow's variables."""
    optimizer._trainable_variables_indices = {
        optimizer._var_key(variable): place for place, variable in enumerate(optimizer._trainable_variables)
    }
