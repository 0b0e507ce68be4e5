"""A model layer by layer, in words: what each layer is, what it gives, how many weights it has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from search.scalars import is_scalar

_SETTINGS = ("rate", "kernel_size", "pool_size", "padding", "activation")


def layer_rows(model: Any) -> list[tuple[str, str, str, int]]:
    """Each layer's name, its kind with its settings, the shape of its output, and its number of weights.

    A model within the model is one layer. The shape is empty where the layer does not know it.
    """
    return [(str(layer.name), " ".join(_kind(layer)), _output(layer), _count(layer)) for layer in model.layers]


def _kind(layer: Any) -> Iterator[str]:
    """Conv2D 3 x 3 same."""
    yield type(layer).__name__.removeprefix("Variable")  # of our own, whose rate is a variable
    for name in _SETTINGS:
        value = getattr(layer, name, None)
        value = getattr(value, "__name__", value)  # of an activation, which is a function
        if isinstance(value, float):
            yield f"{value:.3g}"
        elif isinstance(value, tuple) and name != "padding":
            yield _shape(value)
        elif isinstance(value, str) and value != "linear":
            yield value


def _output(layer: Any) -> str:
    try:
        return _shape(layer.output.shape[1:])
    except (AttributeError, ValueError):  # it is no part of a graph, or gives several things
        return ""


def _shape(sides: Sequence[Any]) -> str:
    return " x ".join(str(side) for side in sides)


def _count(layer: Any) -> int:
    return sum(math.prod(weight.shape) for weight in layer.weights if not is_scalar(weight))
