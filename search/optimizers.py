"""Keras's optimizers by name, and those whose momentum is a variable."""

from __future__ import annotations

from typing import Any

import keras

OPTIMIZERS = ("sgd", "rmsprop", "adam", "adamw", "adamax", "lion")


def keras_optimizer(name: str) -> Any:
    """The class of an optimizer, one of `OPTIMIZERS`."""
    classes = keras.optimizers
    return {
        "sgd": classes.SGD,
        "rmsprop": classes.RMSprop,
        "adam": classes.Adam,
        "adamw": classes.AdamW,
        "adamax": classes.Adamax,
        "lion": classes.Lion,
    }[name]


def variable_of(optimizer: Any, name: str, value: float) -> Any:
    """A number as a variable that an optimizer keeps with its own, in float32 whatever the precision."""
    return optimizer.add_variable((), keras.initializers.Constant(value), dtype="float32", name=name)


class VariableSGD(keras.optimizers.SGD):  # type: ignore[misc]
    """Gradient descent whose momentum is a variable; with a momentum of 0 it is plain descent."""

    def __init__(self, learning_rate: float, momentum: float, *, nesterov: bool = False) -> None:
        super().__init__(learning_rate, nesterov=nesterov)
        self.momentum_variable = variable_of(self, "scalar_momentum", momentum)

    def build(self, variables: Any) -> None:
        """Create one velocity a weight."""
        if not self.built:
            super().build(variables)
            self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Keras's rule with momentum, whatever its value."""
        step = keras.ops.cast(gradient, variable.dtype) * keras.ops.cast(learning_rate, variable.dtype)
        momentum = keras.ops.cast(self.momentum_variable, variable.dtype)
        velocity = self.momentums[self._get_variable_index(variable)]
        self.assign(velocity, velocity * momentum - step)
        self.assign_add(variable, velocity * momentum - step if self.nesterov else velocity)


class VariableRMSprop(keras.optimizers.RMSprop):  # type: ignore[misc]
    """RMSprop whose momentum is a variable."""

    def __init__(self, learning_rate: float, momentum: float) -> None:
        super().__init__(learning_rate)
        self.momentum_variable = variable_of(self, "scalar_momentum", momentum)

    def build(self, variables: Any) -> None:
        """Create one mean square and one velocity a weight."""
        if not self.built:
            super().build(variables)
            self.increments = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Keras's rule with momentum, whatever its value."""
        gradient = keras.ops.cast(gradient, variable.dtype)
        index = self._get_variable_index(variable)
        mean_square, increment = self._velocities[index], self.increments[index]
        self.assign(mean_square, self.rho * mean_square + (1 - self.rho) * keras.ops.square(gradient))
        step = keras.ops.cast(learning_rate, variable.dtype) * gradient
        step = step / keras.ops.sqrt(mean_square + self.epsilon)
        momentum = keras.ops.cast(self.momentum_variable, variable.dtype)
        self.assign(increment, momentum * increment + step)
        self.assign_sub(variable, increment)
