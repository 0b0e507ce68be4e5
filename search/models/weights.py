"""Initial weights from a seed, and weights from one model to another of equal structure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np
from numpy.typing import NDArray

from search.errors import SearchError
from search.models.custom import builder_of
from search.models.drawing import draw
from search.programs import write
from search.scalars import is_scalar
from search.seeds import derive

_WEIGHT, _SEED_STATE = 0, 1  # of a layer's streams of seeds
_KEPT: WeakKeyDictionary[Any, list[NDArray[Any]]] = WeakKeyDictionary()


def keep(model: Any) -> None:
    """Let `initialise` give a part of a model the weights that it has now, which were trained elsewhere."""
    _KEPT[model] = [np.array(keras.ops.convert_to_numpy(variable)) for variable in model.weights]


def initialise(model: Any, seed: int) -> None:
    """Initial weights, generator states and optimizer state, all from the seed and the place in the model.

    Every weight is drawn anew from the initializer that its layer declares, but for those that are kept; a model of
    the user's own is built once more and copied, since it may load weights or declare nothing.
    """
    again = builder_of(model)
    if again is not None:
        keras.utils.set_random_seed(seed)
        fresh = again()
        _copy(fresh.variables, model.variables)
        if getattr(fresh, "optimizer", None) is not None:  # compiled by the user, whose slots may not begin at zero
            fresh.optimizer.build(fresh.trainable_variables)
            _copy(fresh.optimizer.variables, model.optimizer.variables)
            return
    else:
        for index, layer in enumerate(_layers(model)):
            if layer in _KEPT:
                _copy(_KEPT[layer], layer.weights)
            else:
                _initialise_layer(layer, seed, index)
    if getattr(model, "optimizer", None) is not None:
        _reset(model.optimizer)


def copy_weights(source: Any, target: Any) -> None:
    """Copy all weights but scalar parameters, which have no place in the target.

    Args:
        source: A model with the target's layers, plain or variable.
        target: A plain model.
    """
    _copy(_weights(source), _weights(target))


@contextmanager
def precision_of(model: Any) -> Iterator[None]:
    """Within it, layers are made with the model's dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(model.dtype_policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _copy(source: list[Any], target: list[Any]) -> None:
    if [tuple(variable.shape) for variable in source] != [tuple(variable.shape) for variable in target]:
        raise SearchError("model: equal params must give equal models (the shapes of their weights differ)")
    for new, old in zip(source, target, strict=True):
        old.assign(new)


def _layers(model: Any) -> Iterator[Any]:
    """All layers in their order; a model among them is one if its weights are kept, else it is taken apart."""
    for layer in model.layers:
        if isinstance(layer, keras.Model) and layer not in _KEPT:
            yield from _layers(layer)
        else:
            yield layer


def _weights(layer: Any) -> list[Any]:
    """Of a layer or a model, without scalar parameters."""
    return [variable for variable in layer.weights if not is_scalar(variable)]


def _initialise_layer(layer: Any, seed: int, index: int) -> None:
    weights = _weights(layer)
    draws = [
        draw(_initializer(layer, variable), tuple(variable.shape), (seed, index, _WEIGHT, number))
        for number, variable in enumerate(weights)
    ]
    generators = [variable for variable in layer.variables if variable.name.endswith("seed_generator_state")]
    starts = [np.array([derive(seed, index, _SEED_STATE, number), 0]) for number in range(len(generators))]
    _set([*weights, *generators], [*draws, *starts])


def _initializer(layer: Any, variable: Any) -> Any:
    """What a layer keeps as `kernel_initializer`, `gamma_initializer`, ... for its kernel, its gamma, ..."""
    found = getattr(layer, f"{variable.name}_initializer", None) or getattr(layer, "depthwise_initializer", None)
    if found is None:
        raise SearchError(f"model: {layer.name}: no initializer is known for {variable.name}", exit_code=1)
    return found


def _reset(optimizer: Any) -> None:
    """Zero iterations and slots, which all start there; rates stay."""
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None and optimizer.built:  # the loss scale of mixed_float16
        optimizer.step_counter.assign(0)
        optimizer.dynamic_scale.assign(optimizer.initial_scale)
    slots = [v for v in (inner or optimizer).variables if v.name != "learning_rate" and not is_scalar(v)]
    _set(slots, [np.zeros(variable.shape, variable.dtype) for variable in slots])


def _set(variables: Sequence[Any], values: Sequence[NDArray[Any]]) -> None:
    pairs = zip(variables, values, strict=True)
    write(variables, [value.astype(variable.dtype, copy=False) for variable, value in pairs])
