"""Models of the user's own: "package.module:function" with `function(params, input_shape, classes)`."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import keras
from keras.src.utils.naming import reset_uids

from search.errors import SearchError, Unusable
from search.models.parts import begin
from search.models.purpose import Purpose
from spaces.errors import did_you_mean, shown
from spaces.parameters import Params

_BUILDERS: WeakKeyDictionary[Any, Callable[[], Any]] = WeakKeyDictionary()


def build_custom(name: str, params: Params, purpose: Purpose) -> Any:
    """Call the user's function and put the rescaling in front of its model.

    The function's model takes float32 rows that have been rescaled, as the families' layers do. A model with a
    `train_step` of its own is taken as it is, and takes the arrays as they are. What the function raises is passed on.

    Raises:
        SearchError: It cannot be imported.
        Unusable: It returns something else than a model of one input with one output a class (of two classes with
            binary_crossentropy: one in all).
    """
    function = import_function(name)
    law = "one sigmoid unit for binary_crossentropy" if purpose.outputs == 1 else "one probability a class"

    def again() -> Any:
        count_names_afresh()
        model = complete(name, function(dict(params), purpose.input_shape, purpose.classes), purpose)
        refuse_other_outputs(name, model, (purpose.outputs,), law)
        model.optimizer = None  # if it has one: training brings its own
        return model

    model = again()
    remember_builder(model, again)
    return model


def count_names_afresh() -> None:
    """Let Keras name what has no name as in a new process: a metric is "auc" for every trial, not "auc_3" for one."""
    reset_uids()  # `clear_session` would forget the precision too


def builder_of(model: Any) -> Callable[[], Any] | None:
    """What makes a model of the user's own once more, with new initial weights; None for a family's model."""
    return _BUILDERS.get(model)


def remember_builder(model: Any, again: Callable[[], Any]) -> None:
    """Let `builder_of` know what makes a model once more."""
    _BUILDERS[model] = again


def import_function(name: str) -> Callable[..., Any]:
    """The function behind "package.module:function".

    Raises:
        SearchError: It cannot be imported, or is no function.
    """
    module, function = import_named(name)
    if not callable(function):
        raise SearchError(f"model: {module.__name__} has no function {shown(name.partition(':')[2])}")
    return function  # type: ignore[no-any-return]


def import_named(name: str) -> tuple[ModuleType, Any]:
    """The module of "package.module:name", and what has the name there.

    Raises:
        SearchError: The module cannot be imported, or has nothing of that name.
    """
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as problem:
        raise SearchError(f"model: cannot import {module_name} ({_with_place(problem)}); {name}") from problem
    if not hasattr(module, function_name):
        words = [word for word, what in vars(module).items() if callable(what) and not word.startswith("_")]
        hint = did_you_mean(function_name, words)
        raise SearchError(f"model: {module_name} has no function {shown(function_name)}{hint}")
    return module, getattr(module, function_name)


def _with_place(problem: Exception) -> str:
    told, place = f"{type(problem).__name__}: {problem}", traceback.extract_tb(problem.__traceback__)[-1]
    return told if place.filename.startswith("<frozen") else f"{told}, {place.filename} line {place.lineno}"


def complete(name: str, model: Any, purpose: Purpose) -> Any:
    """The model with the rescaling of the arrays in front, if it needs any.

    It is a functional one that isn't compiled, but where it has a `train_step` of its own.

    Raises:
        Unusable: See `refuse_what_takes_no_rows`.
    """
    refuse_what_takes_no_rows(name, model)
    ready = getattr(model, "inputs", None) and not (isinstance(model, keras.Sequential) or model.compiled)
    if type(model).train_step is keras.Model.train_step and (purpose.rescales or not ready):
        inputs, x = begin(purpose)
        model = keras.Model(inputs, model(x))
    return model


def refuse_what_takes_no_rows(name: str, model: Any) -> None:
    """Refuse what is no model, or has several inputs."""
    if not isinstance(model, keras.Model):
        raise Unusable(f"model: {name} must return a keras.Model (came {type(model).__name__})")
    if (count := len(getattr(model, "inputs", None) or [None])) > 1:
        raise Unusable(f"model: {name} must have one input, for the rows of the data ({count} came)")


def refuse_other_outputs(name: str, model: Any, allowed: Collection[int], law: str) -> None:
    """Refuse a model whose number of outputs is none of those allowed."""
    shape = tuple(model.output_shape) if getattr(model, "outputs", None) else None
    if shape is not None and (len(shape) != 2 or shape[1] not in allowed):
        raise Unusable(f"model: {name} must end in {law} ({max(allowed)}); shape {shape} came")
