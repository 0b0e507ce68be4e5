"""Scalar parameters of a model and its optimizer: as variables of a compiled program, or as plain numbers.

A program that was traced for one trial serves every trial of equal structure if the numbers in which they differ
(dropout, penalties, learning rate, momentum, weight decay) are variables of it. Every such variable is tracked by
a layer or the optimizer that uses it, so that JAX's stateless calls see it; none of them is trained.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from search.errors import SearchError
from search.models.laws import KINDS, Kind
from search.optimizers import OPTIMIZERS, VariableRMSprop, VariableSGD, keras_optimizer, variable_of
from search.schedules import NUMBERS, Schedule, Span
from spaces.errors import did_you_mean, shown
from spaces.parameters import Params

_PREFIX = "scalar_"
_DEFAULTS: dict[str, float] = {"learning_rate": 0.001, "momentum": 0.0}
_KINDS_OF_SCHEDULE: dict[str, Kind] = {
    "learning_rate": "positive",
    "schedule_every": "count",
    "schedule_factor": "share",
    "schedule_times": "count",
}


class Scalars:
    """Makes the layers, penalties and the optimizer of one model, whose numbers are variables that can be assigned.

    Parameters are named as in the space ("dropout", "dropout_0", "dense_dropout"); those of one name share a variable.
    """

    def __init__(self, params: Params) -> None:
        self._params = dict(params)
        self._kinds: dict[str, Kind] = {}
        self._variables: dict[str, Any] = {}

    @staticmethod
    def plain(params: Params) -> Scalars:
        """For ordinary Keras layers, with the numbers written into them."""
        return _Plain(params)

    @staticmethod
    def variable(params: Params) -> Scalars:
        """For layers and an optimizer whose numbers can be assigned later, without a new trace."""
        return Scalars(params)

    def __contains__(self, name: object) -> bool:
        return name in self._params

    @property
    def names(self) -> Collection[str]:
        """The parameters that the model depends on as numbers, so far."""
        return self._kinds.keys()

    def dropout(self, name: str, *, layer_name: str) -> Any:
        """A dropout layer with the rate of that name."""
        return VariableDropout(self.number(name, "dropout"), name=layer_name)

    def penalise(self, layer: Any, *, l1: str | None = None, l2: str | None = None) -> None:
        """Add the kernel's absolute values times l1 and its squares times l2 to the loss.

        Args:
            layer: Dense or a convolution, not built yet.
            l1: Name of the parameter; None for no such penalty.
            l2: See `l1`.
        """
        rates = self._rates(l1, l2)
        if rates:
            layer.kernel_regularizer = VariablePenalty(**rates)
            layer.penalties = list(rates.values())  # Keras tracks a layer's variables, not a regularizer's

    def activity_penalty(self, *, l1: str | None = None, l2: str | None = None, layer_name: str) -> Any:
        """A layer that adds its absolute inputs times l1 and their squares times l2 to the loss, in float32.

        Args:
            l1: Name of the parameter; None for no such penalty.
            l2: See `l1`.
            layer_name: Of the layer.
        """
        return VariableActivityPenalty(self._rates(l1, l2), dtype="float32", name=layer_name)

    def number(self, name: str, kind: Kind) -> Any:
        """The number of that name, or a variable that holds it.

        The layer that computes with it keeps it as an attribute, so that Keras tracks it.
        """
        if name not in self._variables:
            # float32 whatever the precision of the layers: 1e-7 is no number of float16
            self._variables[name] = keras.Variable(
                _stored(kind, self._number(name, kind)),
                dtype="float32",
                trainable=False,
                autocast=False,
                name=_PREFIX + name,
            )
        return self._variables[name]

    def optimizer(self, name: str, *, nesterov: bool) -> Any:
        """A Keras optimizer by its Keras name, one of `OPTIMIZERS`."""
        rate = self._number("learning_rate", "positive")
        momentum = ("momentum" in self) and name in ("sgd", "rmsprop")
        if momentum and name == "sgd":
            optimizer = VariableSGD(rate, self._number("momentum", "share"), nesterov=nesterov)
        elif momentum:
            optimizer = VariableRMSprop(rate, self._number("momentum", "share"))
        else:
            optimizer = keras_optimizer(name)(learning_rate=rate)
        self._variables["learning_rate"] = optimizer.learning_rate
        if momentum:
            self._variables["momentum"] = optimizer.momentum_variable
        if "weight_decay" in self:  # Keras casts it where it reads it
            optimizer.weight_decay = self._of_optimizer(optimizer, "weight_decay", "penalty")
        return optimizer

    def schedule(self, optimizer: Any, span: Span) -> None:
        """Let the learning rate of an optimizer go as the parameter `schedule` says."""
        kind = str(self._params.get("schedule", "none"))
        if kind != "none":
            names = ["learning_rate", *(name for name in NUMBERS if name in self)]
            numbers = {name: self._of_optimizer(optimizer, name, _KINDS_OF_SCHEDULE[name]) for name in names}
            optimizer.learning_rate = Schedule(kind, span, self._params.get("schedule_unit") == "step", numbers)

    def assign(self, params: Params) -> None:
        """Give every variable the value that its parameter has in other params.

        Raises:
            SearchError: A value is missing or out of range; no variable is changed then.
        """
        values = {name: _value(params, name, self._kinds[name]) for name in self._variables}
        for name, value in values.items():
            self._variables[name].assign(_stored(self._kinds[name], value))

    def _rates(self, l1: str | None, l2: str | None) -> dict[str, Any]:
        """The rates of penalties by their kinds, for those that have a name."""
        return {kind: self.number(name, "penalty") for kind, name in (("l1", l1), ("l2", l2)) if name}

    def _of_optimizer(self, optimizer: Any, name: str, kind: Kind) -> Any:
        """A variable that an optimizer keeps with its own."""
        self._variables[name] = variable_of(optimizer, _PREFIX + name, self._number(name, kind))
        return self._variables[name]

    def _number(self, name: str, kind: Kind) -> float:
        """The value of a parameter that the model now depends on."""
        self._kinds[name] = kind
        return _value(self._params, name, kind)


class _Plain(Scalars):
    """For a model that is not trained: numbers written into ordinary Keras layers."""

    def dropout(self, name: str, *, layer_name: str) -> Any:
        return keras.layers.Dropout(self.number(name, "dropout"), name=layer_name)

    def penalise(self, layer: Any, *, l1: str | None = None, l2: str | None = None) -> None:
        rates = self._rates(l1, l2)
        if len(rates) == 2:
            layer.kernel_regularizer = keras.regularizers.L1L2(**rates)
        elif rates:
            one = keras.regularizers.L1 if "l1" in rates else keras.regularizers.L2
            layer.kernel_regularizer = one(**rates)

    def activity_penalty(self, *, l1: str | None = None, l2: str | None = None, layer_name: str) -> Any:
        return keras.layers.ActivityRegularization(**self._rates(l1, l2), dtype="float32", name=layer_name)

    def number(self, name: str, kind: Kind) -> Any:
        return self._number(name, kind)


def make_optimizer(name: str, params: Params, scalars: Scalars, span: Span | None = None) -> Any:
    """The optimizer of a trial.

    Args:
        name: One of `OPTIMIZERS`.
        params: `nesterov` is read from them; it changes the program.
        scalars: Gives `learning_rate` (0.001), for sgd and rmsprop `momentum` (0), and `weight_decay` (decoupled;
            none if it is not among the params, for adamw Keras's 0.004), and the numbers of a schedule.
        span: What a schedule is measured by; None for a training of one step.
    Raises:
        SearchError: An unknown name, or a number out of range.
    """
    if name not in OPTIMIZERS:
        raise SearchError(f"optimizer: unknown {shown(name)}{did_you_mean(str(name), OPTIMIZERS)}")
    optimizer = scalars.optimizer(name, nesterov=bool(params.get("nesterov", False)))
    scalars.schedule(optimizer, span or Span())
    return optimizer


def is_scalar(variable: Any) -> bool:
    """Whether a variable of a model is a scalar parameter rather than a weight."""
    return str(variable.name).startswith(_PREFIX)


def _value(params: Params, name: str, kind: Kind) -> float:
    value = params.get(name, _DEFAULTS.get(name))
    if value is None:
        raise SearchError(f"params.{name}: is missing; the model was built with it")
    if problem := KINDS[kind].problem(value):
        raise SearchError(f"params.{name}: {problem}")
    return float(value)


def _stored(kind: Kind, value: float) -> NDArray[np.float32]:
    """What a variable holds: the value; for dropout the rate, the share kept and what kept elements are scaled by.

    Keras writes the latter two into a plain program, rounded where its backend rounds constants: XLA divides by
    the share in float32, TensorFlow scales by a quotient of float64. With equal numbers, programs train equally.
    """
    if kind != "dropout":
        return np.array(value, np.float32)
    share = np.float32(1 - value) if keras.backend.backend() == "jax" else 1 - value
    return np.array([value, share, 1 / share], np.float32)


class VariableDropout(keras.layers.Layer):  # type: ignore[misc]
    """Dropout whose rate is a variable: `keras.layers.Dropout` compares its rate with 0 in Python.

    Drops what `keras.layers.Dropout` drops with an equal seed generator.

    Args:
        numbers: Variable of shape (3,): the rate, the share kept, the factor of kept elements.
    """

    def __init__(self, numbers: Any, **options: Any) -> None:
        super().__init__(**options)
        self.numbers = numbers
        self.seed_generator = keras.random.SeedGenerator()
        self.supports_masking = True

    @property
    def rate(self) -> float:
        """The share that is dropped."""
        return float(keras.ops.convert_to_numpy(self.numbers)[0])

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Set elements to 0 at random and divide the others by the share kept; nothing outside training."""
        if not training:
            return inputs
        kept = self._kept_as_in_jax(inputs) if keras.backend.backend() == "jax" else self._kept_as_in_tensorflow(inputs)
        factor = keras.ops.cast(self.numbers[2], inputs.dtype)
        return keras.ops.where(kept, inputs * factor, keras.ops.zeros_like(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Dropout keeps the shape."""
        return input_shape

    def _kept_as_in_jax(self, inputs: Any) -> Any:
        draws = keras.random.uniform(keras.ops.shape(inputs), dtype="float32", seed=self.seed_generator)
        return draws < self.numbers[1]

    def _kept_as_in_tensorflow(self, inputs: Any) -> Any:
        draws = keras.random.uniform(keras.ops.shape(inputs), dtype=inputs.dtype, seed=self.seed_generator)
        return draws >= keras.ops.cast(self.numbers[0], inputs.dtype)


class VariablePenalty(keras.regularizers.Regularizer):  # type: ignore[misc]
    """The sum of absolute values times l1 and of squares times l2, where both are variables."""

    def __init__(self, l1: Any = None, l2: Any = None) -> None:
        self.l1 = l1
        self.l2 = l2

    def __call__(self, x: Any) -> Any:
        """The penalty, a scalar of the weights' type."""
        terms = []
        if self.l1 is not None:
            terms.append(keras.ops.cast(self.l1, x.dtype) * keras.ops.sum(keras.ops.absolute(x)))
        if self.l2 is not None:
            terms.append(keras.ops.cast(self.l2, x.dtype) * keras.ops.sum(keras.ops.square(x)))
        return sum(terms[1:], terms[0])


class VariableActivityPenalty(keras.layers.Layer):  # type: ignore[misc]
    """An identity that adds its absolute inputs, their squares, or both, times variables to the loss."""

    def __init__(self, rates: Mapping[str, Any], **options: Any) -> None:
        super().__init__(activity_regularizer=VariablePenalty(**rates), **options)
        self.penalties = list(rates.values())
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """The inputs; Keras applies the penalty."""
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """An identity keeps the shape."""
        return input_shape
