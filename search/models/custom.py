"""Models of the user's own: "package.module:function" with `function(params, input_shape, classes)`."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import keras

from search.errors import SearchError
from search.models.parts import Scalar, Task, begin
from spaces.errors import did_you_mean, shown

_BUILDERS: WeakKeyDictionary[Any, Callable[[], Any]] = WeakKeyDictionary()


def build_custom(name: str, params: Mapping[str, Scalar], task: Task) -> Any:
    """Call the user's function and put the rescaling in front of its model.

    The function's model takes float32 rows that have been rescaled, as the families' layers do. A model with a
    `train_step` of its own is taken as it is, and takes the arrays as they are. What the function raises is passed on.

    Raises:
        SearchError: It cannot be imported, or returns something else than a model with one output a class (of two
            classes with binary_crossentropy: one in all).
    """
    function = import_function(name)

    def again() -> Any:
        return _complete(name, function(dict(params), task.input_shape, task.classes), task)

    model = again()
    _BUILDERS[model] = again
    return model


def builder_of(model: Any) -> Callable[[], Any] | None:
    """What makes a model of the user's own once more, with new initial weights; None for a family's model."""
    return _BUILDERS.get(model)


def import_function(name: str) -> Callable[..., Any]:
    """The function behind "package.module:function".

    Raises:
        SearchError: It cannot be imported, or is no function.
    """
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as problem:
        raise SearchError(f"model: cannot import {module_name} ({_in_a_line(problem)}); {name}") from problem
    function = getattr(module, function_name, None)
    if not callable(function):
        hint = did_you_mean(function_name, [word for word in vars(module) if not word.startswith("_")])
        raise SearchError(f"model: {module_name} has no function {shown(function_name)}{hint}")
    return function  # type: ignore[no-any-return]


def _in_a_line(problem: Exception) -> str:
    place = traceback.extract_tb(problem.__traceback__)[-1]
    return f"{type(problem).__name__}: {problem}, {place.filename} line {place.lineno}"


def _complete(name: str, model: Any, task: Task) -> Any:
    if not isinstance(model, keras.Model):
        raise SearchError(f"model: {name} must return a keras.Model (came {type(model).__name__})")
    if type(model).train_step is keras.Model.train_step and (task.rescales or not getattr(model, "inputs", None)):
        inputs, x = begin(task)
        model = keras.Model(inputs, model(x))
    shape = tuple(model.output_shape) if getattr(model, "outputs", None) else None
    if shape is not None and shape[1:] != (task.outputs,):
        law = "one sigmoid unit for binary_crossentropy" if task.outputs == 1 else "one probability a class"
        raise SearchError(f"model: {name} must end in {law} ({task.outputs}); shape {shape} came")
    return model
