"""Training by a hypermodel's own `fit`: from rung to rung, an epoch reported by each call of its callbacks."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from search.datasets import Rescale
from search.errors import SearchError
from search.metrics import numbers
from search.models.custom import count_names_afresh
from search.models.hypermodel import Built, has_own_fit, wants_rows
from search.programs import JIT_COMPILE, VALIDATION_BATCH, Alone, DeviceArrays, Look, create_variables

Told = Callable[[dict[str, float], float], bool]
"""Takes the logs of an epoch and its seconds; says whether to go on."""

_TWICE = re.compile(r"multiple values for keyword argument '(\w+)'")


class OwnFit:
    """A hypermodel's model that only its own `fit` trains, behind the interface of a program.

    It is called as Keras Tuner calls it, with rescaled rows: `fit(hp, model, x, y, validation_data=..., epochs=...,
    initial_epoch=..., callbacks=..., verbose=0)`, but for what its signature has no place for or it sets itself.
    A call ends at the rung: by `epochs`, by `model.stop_training`, or where it minds neither, by an exception out of
    the callback. If it ends before the rung, it is called again.

    A model with a training step of its own, whose hypermodel has no `fit`, trains in batches of `batch_size`.
    """

    capacity = 1

    def __init__(self, built: Built, scale: Rescale, offset: Rescale, metrics: list[Any], batch_size: int) -> None:
        create_variables(built.model)
        self._built = built
        self._batch_size = batch_size
        self._scale = np.asarray(scale, np.float32)
        self._offset = np.asarray(offset, np.float32)
        inputs = keras.Input(built.model.input_shape[1:])
        self._judge = keras.Model(inputs, built.inner(inputs))
        options = {"loss_weights": built.loss_weights, "metrics": metrics, "jit_compile": JIT_COMPILE}
        self._judge.compile(loss=built.model.loss, **options)

    def to_device(self, x: NDArray[Any], y: NDArray[np.int32]) -> DeviceArrays:
        """The rows as the families' models begin with them, and labels as the loss takes them."""
        return DeviceArrays(np.asarray(x, np.float32) * self._scale + self._offset, np.asarray(y), len(x))

    def cohort(self) -> Alone:
        """A cohort of one trial."""
        return Alone(self)

    def train(self, data: DeviceArrays, order: NDArray[np.int32]) -> dict[str, float]:
        """No order can be asked of a `fit` that draws its own; see `stretch`."""
        raise SearchError("model: its own fit draws the order of its rows", exit_code=1)

    def train_and_look(
        self, data: DeviceArrays, order: NDArray[np.int32], looks: Sequence[int], look: Look
    ) -> dict[str, float]:
        """See `train`."""
        return self.train(data, order)

    def validate(self, data: DeviceArrays) -> dict[str, float]:
        """The metrics on all rows of `data`."""
        logs = self._judge.evaluate(data.x, data.y, batch_size=VALIDATION_BATCH, verbose=0, return_dict=True)
        return numbers(logs)

    def metrics(self, logs: dict[str, float], validation: DeviceArrays | None, monitor: str) -> dict[str, float]:
        """An epoch's metrics by toprung's names; those of validation are found where `fit` doesn't tell the monitor."""
        metrics = {name if name.startswith("val_") else f"train_{name}": value for name, value in logs.items()}
        if validation is None:
            return {name: value for name, value in metrics.items() if name.startswith("train_")}
        if monitor in metrics:
            return metrics
        return metrics | {f"val_{name}": value for name, value in self.validate(validation).items()}

    def stretch(
        self,
        train: DeviceArrays,
        validation: DeviceArrays,
        first: int,
        to_epoch: int,
        monitor: str,
        told: Told,
        seeded: Callable[[], None],
    ) -> None:
        """Train until so many epochs are completed.

        Args:
            train: What it learns from.
            validation: What it is handed as `validation_data`.
            first: Epochs that were completed before.
            to_epoch: Epochs to complete.
            monitor: What a number that `fit` returns is taken for.
            told: Called after each epoch.
            seeded: Sets what random numbers are drawn from; called before each call of `fit`, and where a loop of
                Keras's begins, which draws some before that only where it must build the model.
        Raises:
            SearchError: It reports no epoch to its callbacks and returns no metrics.
        """
        epoch, going = first, True
        while epoch < to_epoch and going:
            reporter = _Reporter(to_epoch - epoch, told, seeded)
            seeded()
            result = self._call(train, validation, epoch, to_epoch, reporter)
            epoch, going = epoch + reporter.epochs, reporter.going
            if reporter.epochs == 0:  # it went its own way: what it returns is one epoch's
                going = told(_logs_of(result, monitor), reporter.seconds())
                epoch += 1

    def _call(
        self, train: DeviceArrays, validation: DeviceArrays, epoch: int, to_epoch: int, reporter: _Reporter
    ) -> Any:
        """Call `fit` once, leaving out in turn what it says that it has been given twice."""
        built, fit = self._built, self._built.hypermodel.fit
        options: dict[str, Any] = {
            "validation_data": (validation.x, validation.y),
            "epochs": to_epoch,
            "initial_epoch": epoch,
            "callbacks": [reporter],
            "verbose": 0,
        }
        if not has_own_fit(built.hypermodel):
            options["batch_size"] = self._batch_size
        options = _accepted(fit, options)
        while True:
            count_names_afresh()
            try:
                return fit(built.hp, built.inner, train.x, train.y, **options)
            except _Enough:
                return None
            except TypeError as problem:
                twice = _TWICE.search(str(problem))
                if twice is None or options.pop(twice[1], None) is None or reporter.epochs:
                    raise
                if twice[1] == "epochs":
                    options.pop("initial_epoch", None)  # its own number of epochs counts from 0


class _Enough(BaseException):
    """Ends a `fit` that would go on; no Exception, since such a loop may catch these."""


class _Reporter(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells of epochs, and ends the training after so many.

    Attributes:
        epochs: Reported so far.
        going: Whether the trial goes on.
    """

    def __init__(self, most: int, told: Told, seeded: Callable[[], None]) -> None:
        super().__init__()
        self.epochs = 0
        self.going = True
        self._most = most
        self._told = told
        self._seeded = seeded
        self._began = time.perf_counter()

    def seconds(self) -> float:
        """Since this was last asked."""
        began, self._began = self._began, time.perf_counter()
        return self._began - began

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """A loop of Keras's begins."""
        self._seeded()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Tell of an epoch; the next one would be too many."""
        if self.epochs == self._most or not self.going:
            raise _Enough
        self.epochs += 1
        self.going = self._told(numbers(logs or {}), self.seconds())
        if self.epochs == self._most or not self.going:
            if not self.params:  # no loop of Keras's: it has nothing that stops it
                raise _Enough
            self.model.stop_training = True


def fit_briefly(hypermodel: Any, hp: Any, model: Any) -> None:
    """Let a `fit` ask for its parameters: with eight made-up rows, up to its first `model.fit` or epoch."""

    def enough(*_: Any, **__: Any) -> None:
        raise _Enough

    shape = tuple(size or 8 for size in model.input_shape[1:])
    one_hot = model.compiled and model.output_shape[-1] > 1 and wants_rows(model.loss)
    x = np.zeros((8, *shape), np.float32)
    y = np.zeros((8, model.output_shape[-1]), np.float32) if one_hot else np.zeros(8, np.int32)
    if one_hot:
        y[:, 0] = 1
    model.fit = enough
    reporter = _Reporter(1, lambda *_: False, lambda: None)
    options = {"validation_data": (x, y), "epochs": 1, "callbacks": [reporter], "verbose": 0}
    try:
        hypermodel.fit(hp, model, x, y, **_accepted(hypermodel.fit, options))
    except _Enough:
        return


def _accepted(fit: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """The options that a signature has a place for."""
    parameters = inspect.signature(fit).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return options
    return {name: value for name, value in options.items() if name in parameters}


def _logs_of(result: Any, monitor: str) -> dict[str, float]:
    """The metrics that a `fit` returns: a History's last, a dict, a number of the monitor, or the mean of several."""
    if isinstance(result, list) and result:
        each = [_logs_of(one, monitor) for one in result]
        return {name: float(np.mean([one[name] for one in each])) for name in each[0]}
    if isinstance(result, keras.callbacks.History):
        result = {name: values[-1] for name, values in result.history.items() if values}
    if isinstance(result, dict) and result:
        return numbers(result)
    if isinstance(result, int | float | np.number):
        return {monitor: float(result)}
    raise SearchError("model: its own fit reports no epoch to the callbacks, and returns no metrics")
