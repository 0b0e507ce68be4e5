"""Graphs of TensorFlow that networks of different widths share: one trace serves all of them.

To trace takes as long as some twenty epochs of a small dense network, and half a second for convolutions. A graph
of variables whose shapes it doesn't know where a width decides them computes with any width, so such networks are
made of the same variables, and have them one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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


@contextmanager
def lent(variables: Sequence[tf.Variable], made: list[tf.Variable]) -> Iterator[None]:
    """Have Keras take these variables one after the other where it makes some, and new ones when there are no more.

    Args:
        variables: Of a model that is made in the same order.
        made: Is given what Keras has got.
    """
    rest = iter(variables)

    def create(make: Callable[..., tf.Variable], **options: Any) -> tf.Variable:
        variable = next(rest, None)
        made.append(make(**options) if variable is None else variable)
        return made[-1]

    with tf.variable_creator_scope(create):
        yield


def forget_widths(model: keras.Model, network: Sequence[tf.Variable] | None) -> dict[int, tf.Variable]:
    """Give a model, its optimizer built, variables that leave open what its widths decide.

    Args:
        model: Compiled; has free widths.
        network: Those of another model that are to be this one's as well, as `network_of` has them; None for new ones.
    Returns:
        What the model has now by the `id` of what it had before.
    """
    every = [*_network(model), *model.optimizer.variables]
    before = [variable.value for variable in every]
    if network is None:
        _forget_in_layers(model)
    else:
        for variable, value in zip(_network(model), network, strict=True):
            variable._value = value
    for variable in model.optimizer.variables:
        _forget(variable, [None] * len(variable.shape))
    _index(model.optimizer)
    return {id(old): variable.value for old, variable in zip(before, every, strict=True)}


def network_of(model: keras.Model) -> list[tf.Variable]:
    """TensorFlow's variables of a model without those of its optimizer; equal models have them in the same order."""
    return [variable.value for variable in _network(model)]


def _network(model: keras.Model) -> list[Any]:
    every = [*model.variables, *model.metrics_variables]
    return list({id(variable): variable for variable in every}.values())


def _forget_in_layers(model: keras.Model) -> None:
    """The shape of the outputs stays known, for metrics may ask it."""
    layers = [layer for layer in model.layers if type(layer) in _WITH_WIDTH]
    for layer in layers:
        for variable in layer.weights:
            if not is_scalar(variable):
                window = variable.shape[:-2]  # of a convolution
                inputs = [None] * (len(variable.shape) - len(window) - 1)
                outputs = variable.shape[-1] if layer is layers[-1] else None
                _forget(variable, [*window, *inputs, outputs])


def _forget(variable: Any, shape: Sequence[int | None]) -> None:
    if shape:
        old = variable.value
        variable._value = tf.Variable(old.read_value(), trainable=old.trainable, shape=tf.TensorShape(shape))


def _index(optimizer: Any) -> None:
    """Let an optimizer find its variables' places again, which it looks up by TensorFlow's variables."""
    optimizer._trainable_variables_indices = {
        optimizer._var_key(variable): place for place, variable in enumerate(optimizer._trainable_variables)
    }
