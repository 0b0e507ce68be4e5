"""An epoch as one JAX program: `lax.scan` over `model.train_step`, and `vmap` of that for a cohort of trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from search.metrics import numbers
from search.programs import (
    COHORT,
    VALIDATION_BATCH,
    DeviceArrays,
    Kin,
    Look,
    Tensors,
    create_variables,
    stretches,
)
from search.programs.fit import making as making  # this backend's as well
from search.programs.fit import write as write

_LANES = (1, 4, COHORT)  # a cohort is filled up to one of these numbers, so that few programs are compiled

Values = list[Any]  # of the program's variables, in their order


class JaxProgram:
    """Jitted epochs over stacked values of the model's variables: the first axis counts the trials of a cohort.

    Attributes:
        variables: All that a trial has for itself, scalar parameters and the optimizer's variables among them.
        epochs: From stacked values, a split and an order a trial to metrics and new values, stacked.
        validations: From stacked values and a split to metrics, stacked.
    """

    capacity = COHORT

    def __init__(self, model: keras.Model, batch_size: int, class_weights: NDArray[np.float32] | None = None) -> None:
        create_variables(model)
        model.reset_metrics()
        self.variables = [*model.trainable_variables, *model.non_trainable_variables, *model.optimizer.variables]
        self._model = model
        self._batch_size = batch_size
        self._class_weights = None if class_weights is None else jnp.asarray(class_weights)
        self._fresh_metrics = [variable.value for variable in model.metrics_variables]
        self._stretch = jax.jit(self._steps)
        self.epochs = jax.jit(_for_each_lane(self._epoch, (0, None, None, 0)))
        self.validations = jax.jit(_for_each_lane(self._validation, (0, None, None)))

    def to_device(self, x: NDArray[Any], y: NDArray[np.int32]) -> DeviceArrays:
        """Copy a split to the device."""
        return DeviceArrays(jnp.asarray(np.asarray(x)), jnp.asarray(np.asarray(y)), len(x))

    def train(self, data: DeviceArrays, order: NDArray[np.int32]) -> dict[str, float]:
        """Train the model one epoch over the rows in `order`."""
        cohort = self._model_alone()
        (metrics,) = cohort.train(data, [order])
        write(self.variables, cohort.read(self.variables)[0])
        return metrics

    def train_and_look(
        self, data: DeviceArrays, order: NDArray[np.int32], looks: Sequence[int], look: Look
    ) -> dict[str, float]:
        """Train one epoch, stopping for a look before some of its steps."""
        values, metrics = [variable.value for variable in self.variables], list(self._fresh_metrics)
        for looked, rows in stretches(order, self._batch_size, looks):
            if looked:
                batch = rows[: self._batch_size]
                look(data.x[batch], data.y[batch])
            values, metrics = self._stretch(values, metrics, data.x, data.y, rows)
            write(self.variables, values)
        return numbers(self._logs(metrics))

    def validate(self, data: DeviceArrays) -> dict[str, float]:
        """The model's metrics on all rows of `data`."""
        return self._model_alone().validate(data)[0]

    def cohort(self) -> JaxCohort:
        """A cohort without trials."""
        return JaxCohort(self)

    def _model_alone(self) -> JaxCohort:
        cohort = self.cohort()
        cohort.enter()
        return cohort

    def _epoch(self, values: Values, x: Any, y: Any, order: Any) -> tuple[dict[str, Any], Values]:
        values, metrics = self._steps(values, list(self._fresh_metrics), x, y, order)
        return self._logs(metrics), values

    def _steps(self, values: Values, metrics: Values, x: Any, y: Any, order: Any) -> tuple[Values, Values]:
        """New values, and metrics that count these steps as well."""
        full, remainder = divmod(order.shape[0], self._batch_size)

        def step(state: Any, rows: Any) -> tuple[Any, None]:
            weights = () if self._class_weights is None else (self._class_weights[y[rows]],)
            _, state = self._model.train_step(state, (x[rows], y[rows], *weights))
            return state, None

        state = (*self._groups(values), metrics)
        if full:
            batches = order[: full * self._batch_size].reshape(full, self._batch_size)
            state, _ = jax.lax.scan(step, state, batches)
        if remainder:
            state, _ = step(state, order[-remainder:])
        trainable, non_trainable, optimizer, metrics = state
        return [*trainable, *non_trainable, *optimizer], metrics

    def _validation(self, values: Values, x: Any, y: Any) -> dict[str, Any]:
        trainable, non_trainable, _ = self._groups(values)

        def step(state: Any, batch: Any) -> tuple[Any, None]:
            _, (_, *state) = self._model.test_step((trainable, *state), batch)
            return state, None

        state = [non_trainable, list(self._fresh_metrics)]
        full = x.shape[0] // VALIDATION_BATCH * VALIDATION_BATCH
        if full:
            batches = [array[:full].reshape(-1, VALIDATION_BATCH, *array.shape[1:]) for array in (x, y)]
            state, _ = jax.lax.scan(step, state, tuple(batches))
        if full < x.shape[0]:
            state, _ = step(state, (x[full:], y[full:]))
        return self._logs(state[1])

    def _logs(self, metrics: list[Any]) -> dict[str, Any]:
        pairs = list(zip(self._model.metrics_variables, metrics, strict=True))
        with keras.StatelessScope(state_mapping=pairs):
            return dict(self._model.get_metrics_result())

    def _groups(self, values: Values) -> tuple[Values, Values, Values]:
        """The values of trainable, of other and of the optimizer's variables."""
        first = len(self._model.trainable_variables)
        second = first + len(self._model.non_trainable_variables)
        return values[:first], values[first:second], values[second:]


class JaxCohort:
    """Trials in training; what they have for themselves stays on the device, stacked, from epoch to epoch."""

    def __init__(self, program: JaxProgram) -> None:
        self._program = program
        self._size = 0
        self._entered: list[Tensors] = []  # until they are stacked
        self._stacked: Values = []
        self._places = {id(variable): place for place, variable in enumerate(program.variables)}

    def enter(self) -> None:
        """Take in a trial: the values that the model's variables have now."""
        self._entered.append(jax.device_get([variable.value for variable in self._program.variables]))
        self._size += 1

    def train(self, data: DeviceArrays, orders: Sequence[NDArray[np.int32]]) -> list[dict[str, float]]:
        """Train each trial one epoch over the rows in its order; each one's metrics."""
        logs, self._stacked = self._program.epochs(self._values(), data.x, data.y, self._stack(orders))
        return self._each(logs)

    def validate(self, data: DeviceArrays) -> list[dict[str, float]]:
        """Each trial's metrics on all rows of `data`."""
        return self._each(self._program.validations(self._values(), data.x, data.y))

    def assign(self, variable: Any, values: Sequence[NDArray[Any]]) -> None:
        """Set a variable of each trial."""
        self._values()[self._places[id(variable)]] = self._stack(values)

    def read(self, variables: Sequence[Any]) -> list[Tensors]:
        """The values of variables, for each trial."""
        values = self._values()
        stacked = jax.device_get([values[self._places[id(variable)]] for variable in variables])
        return [[array[lane] for array in stacked] for lane in range(self._size)]

    def _values(self) -> Values:
        """The values of all trials; stacked by NumPy, for JAX would compile a program for every shape."""
        if self._entered:
            self._stacked = [self._stack(values) for values in zip(*self._entered, strict=True)]
            self._entered = []
        return self._stacked

    def _stack(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """One array with a row a lane; the lanes that no trial needs repeat the first trial."""
        lanes = next(lanes for lanes in _LANES if lanes >= len(values))
        return np.stack([*values, *[values[0]] * (lanes - len(values))])

    def _each(self, logs: dict[str, Any]) -> list[dict[str, float]]:
        found = jax.device_get(logs)
        return [numbers({name: values[lane] for name, values in found.items()}) for lane in range(self._size)]


def make(
    model: keras.Model,
    batch_size: int,
    *,
    jit_compile: bool,
    class_weights: NDArray[np.float32] | None,
    kin: Kin,
) -> JaxProgram:
    """The program of a compiled model; JAX compiles always, for shapes that it knows."""
    return JaxProgram(model, batch_size, class_weights)


def make_probe(
    model: keras.Model, class_weights: NDArray[np.float32] | None, *, jit_compile: bool
) -> Callable[[Any, Any], tuple[Any, Any, Any]]:
    """See `search.programs.make_probe`."""
    by_class = None if class_weights is None else jnp.asarray(class_weights)

    def loss_of(trainable: Values, rest: tuple[Values, Values, Values], x: Any, y: Any) -> tuple[Any, Any]:
        other, metrics, optimizer = rest
        weights = None if by_class is None else by_class[y]
        options = {"training": True, "optimizer_variables": optimizer}
        _, (loss, outputs, *_) = model.compute_loss_and_updates(trainable, other, metrics, x, y, weights, **options)
        return loss, outputs

    def probe(trainable: Values, rest: tuple[Values, Values, Values], x: Any, y: Any) -> tuple[Any, Any, Any]:
        (loss, outputs), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable, rest, x, y)
        return loss, outputs, jnp.linalg.norm(gradients[0])

    compiled = jax.jit(probe)

    def look(x: Any, y: Any) -> tuple[Any, Any, Any]:
        groups = (model.non_trainable_variables, model.metrics_variables, model.optimizer.variables)
        rest = tuple([variable.value for variable in group] for group in groups)
        return compiled([variable.value for variable in model.trainable_variables], rest, x, y)  # type: ignore[no-any-return]

    return look


def read(variables: Sequence[Any]) -> Tensors:
    """Copies of the values of Keras variables."""
    return [np.array(value) for value in jax.device_get([variable.value for variable in variables])]


def limit_threads(threads: int) -> None:
    """JAX takes its threads from the environment; see `search.devices.worker_environment`."""


def accelerators() -> list[str]:
    """The devices that JAX sees beside the processor."""
    return [device.device_kind for device in jax.devices() if device.platform != "cpu"]


def _for_each_lane(function: Callable[..., Any], in_axes: tuple[int | None, ...]) -> Callable[..., Any]:
    """`function` of every lane, the first axis of the arguments that have one; a single lane needs no `vmap`."""

    def run(*arguments: Any) -> Any:
        if len(arguments[0][0]) > 1:
            return jax.vmap(function, in_axes)(*arguments)
        pairs = zip(arguments, in_axes, strict=True)
        alone = (one if axis is None else jax.tree.map(lambda lanes: lanes[0], one) for one, axis in pairs)
        return jax.tree.map(lambda leaf: jnp.expand_dims(leaf, 0), function(*alone))

    return run
