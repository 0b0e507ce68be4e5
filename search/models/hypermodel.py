"""Keras Tuner hypermodels, unmodified: a `build_model(hp)` function or a `HyperModel`, its own `fit` too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import keras
import numpy as np
from keras_tuner import HyperModel, HyperParameters
from numpy.typing import NDArray

from search.errors import SearchError, Unusable
from search.models.custom import complete, count_names_afresh, import_named, refuse_other_outputs, remember_builder
from search.models.purpose import Purpose
from search.programs import JIT_COMPILE
from spaces.keras_tuner import to_values
from spaces.parameters import Params
from spaces.space import HYPERMODEL


@dataclass(frozen=True, eq=False)
class Built:
    """A hypermodel's model for one trial.

    Attributes:
        hypermodel: Keras Tuner's.
        hp: What it was built with, and is fitted with.
        given: The values that the trial has for it; what else it asks for takes its default.
        inner: The model as it was built.
        model: The same with the rescaling of the arrays in front.
        classes: Number of classes.
    """

    hypermodel: Any
    hp: Any
    given: Params
    inner: Any
    model: Any
    classes: int

    @property
    def fits_itself(self) -> bool:
        """Whether its way of training is its own: a `fit` of the hypermodel, or a training step of the model."""
        own_step = type(self.inner).train_step is not keras.Model.train_step
        return own_step or has_own_fit(self.hypermodel)

    @property
    def one_hot(self) -> bool:
        """Whether its loss compares outputs with one-hot rows rather than with class numbers."""
        return self.inner.compiled and self.model.output_shape[-1] > 1 and wants_rows(self.inner.loss)

    @property
    def loss_weights(self) -> Any:
        """What its loss is multiplied by; None for 1."""
        return _single(getattr(self.inner._compile_loss, "_user_loss_weights", None))

    @property
    def defaults(self) -> Params:
        """What it asked for that its space has not, and the defaults that it got."""
        return {name: value for name, value in self.hp.values.items() if name not in self.given}

    def labels(self, y: NDArray[np.int32]) -> NDArray[Any]:
        """Class numbers as its loss takes them."""
        return np.eye(self.classes, dtype=np.float32)[y] if self.one_hot else y

    def compile(self, metrics: list[Any]) -> None:
        """Compile `model` as the hypermodel compiled its own, with some metrics if it has none of that name.

        Raises:
            Unusable: It isn't compiled, and has no `fit` of its own.
        """
        if not self.inner.compiled and not self.fits_itself:
            raise Unusable("model: build must return a compiled model, as Keras Tuner wants it")
        of_user = getattr(self.inner, "_compile_metrics", None)
        own = list(_flat(of_user._user_metrics)) if of_user is not None else []
        names = {metric if isinstance(metric, str) else getattr(metric, "name", "") for metric in own}
        missing = [metric for metric in metrics if (metric if isinstance(metric, str) else metric.name) not in names]
        self.model.compile(
            optimizer=self.inner.optimizer if self.inner.compiled else "sgd",
            loss=_single(self.inner.loss) if self.inner.compiled else self._usual_loss(),
            loss_weights=self.loss_weights,
            metrics=[*own, *missing],
            run_eagerly=bool(self.inner.compiled and self.inner.run_eagerly),
            jit_compile=JIT_COMPILE,
        )
        if self.one_hot:
            self.model._compile_metrics.build(keras.KerasTensor((2, self.classes)), self.model.output)

    def _usual_loss(self) -> str:
        """A loss for a model that trains without one of Keras's, to be evaluated by."""
        return "binary_crossentropy" if self.model.output_shape[-1] == 1 else "sparse_categorical_crossentropy"


def build_hypermodel(name: str, params: Params, purpose: Purpose) -> Built:
    """Build a hypermodel for a trial, with the rescaling of the arrays in front of its model.

    Args:
        name: "keras_tuner:package.module:build_model".
        params: The trial's, of its space.
        purpose: What the model is for.
    Raises:
        SearchError: It cannot be imported. What it raises itself is passed on.
        Unusable: It builds something else than a model of one input with one output a class (of two classes, one or
            two).
    """

    def again() -> Any:
        built = _built(name, params, purpose)
        if built.inner.compiled:
            built.model.compile(built.inner.optimizer, jit_compile=False)
        return built.model

    built = _built(name, params, purpose)
    remember_builder(built.model, again)
    return built


@cache
def find_hypermodel(name: str) -> Any:
    """The hypermodel of a name: a function, a class that needs no arguments, or a `HyperModel` of a module.

    Raises:
        SearchError: It cannot be imported, or is none of these.
    """
    _, found = import_named(name.removeprefix(HYPERMODEL))
    if isinstance(found, type) and issubclass(found, HyperModel):
        try:
            found = found()
        except TypeError as problem:
            law = "must need no arguments; make an instance of it in its module, and name that"
            raise SearchError(f"model: {name}: the class {law} ({problem})") from None
    if not isinstance(found, HyperModel) and not callable(found):
        raise SearchError(f"model: {name} is neither a function nor a HyperModel (came {type(found).__name__})")
    return found if isinstance(found, HyperModel) else _OfFunction(found)


def has_own_fit(hypermodel: HyperModel) -> bool:
    """Whether a hypermodel brings a `fit` of its own."""
    return type(hypermodel).fit is not HyperModel.fit


class _OfFunction(HyperModel):  # type: ignore[misc]
    """The hypermodel of a `build_model(hp)` function."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        super().__init__()

    def build(self, hp: Any) -> Any:
        """Call the function."""
        return self._function(hp)


def wants_rows(loss: Any) -> bool:
    """Whether a loss is one of Keras's for labels in the shape of the outputs; others get class numbers."""
    loss = _single(loss)
    known = keras.losses.get(loss) if isinstance(loss, str) else loss
    kind = known if hasattr(known, "__name__") else type(known)
    return str(kind.__module__).startswith("keras.") and "sparse" not in kind.__name__.lower()


def _built(name: str, params: Params, purpose: Purpose) -> Built:
    hypermodel, hp = find_hypermodel(name), HyperParameters()
    given = to_values(dict(params))
    hp.values = dict(given)
    hypermodel.declare_hyperparameters(hp)
    count_names_afresh()
    inner = hypermodel.build(hp)
    if isinstance(inner, keras.Sequential) and not inner.built:
        inner.build((None, *purpose.input_shape))
    model = complete(name, _plain(inner, purpose), purpose)
    allowed = {purpose.classes, 1} if purpose.classes == 2 else {purpose.classes}
    refuse_other_outputs(name, model, allowed, "one probability a class")
    return Built(hypermodel, hp, given, inner, model, purpose.classes)


def _plain(model: Any, purpose: Purpose) -> Any:
    """The same layers in a model that isn't compiled, for evaluation and export, and without a step of its own."""
    if not isinstance(model, keras.Model):
        return model
    if type(model).__module__.startswith("keras."):  # sequential or functional
        return keras.Model(model.inputs, model.outputs)
    inputs = keras.Input(purpose.input_shape)
    return keras.Model(inputs, model(inputs))


def _single(given: Any) -> Any:
    """What `compile` was given for the one output, be it in a list or a dict."""
    entries = list(given.values()) if isinstance(given, dict) else given
    return entries[0] if isinstance(entries, list | tuple) and len(entries) == 1 else entries


def _flat(metrics: Any) -> Iterator[Any]:
    for metric in metrics.values() if isinstance(metrics, dict) else metrics or ():
        yield from metric if isinstance(metric, list | tuple) else [metric]
