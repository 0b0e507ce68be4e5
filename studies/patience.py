"""When a trial's training ends by itself and when its learning rate is reduced, as its history says."""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from spaces import shown
from studies.records import Direction, direction_of, sign_of
from studies.schedule import Choices
from studies.section import Count, Section

History = Mapping[str, Sequence[float]]
"""Per metric, one value a completed epoch."""

_LEAST_GAIN = 1e-4  # ReduceLROnPlateau's own `min_delta`


class _Waiting(Section):
    """What both sections have.

    Attributes:
        monitor: The metric that should get better.
        patience: Epochs without a new best value until something happens.
    """

    monitor: Literal["val_loss", "val_accuracy", "val_f1"] = "val_loss"
    patience: Count

    @property
    def direction(self) -> Direction:
        """Which way is better."""
        return direction_of(self.monitor)

    def _ends(self, history: History, least_gain: float = 0.0) -> Iterator[int]:
        """The epochs, from 1, at which patience ends; it begins anew after each."""
        sign = -sign_of(self.direction)
        best, waited = math.inf, 0
        for epoch, value in enumerate(history.get(self.monitor, ()), start=1):
            waited += 1
            if _float32(sign * value + least_gain) < best:
                best, waited = _float32(sign * value), 0
            elif waited >= self.patience:
                yield epoch
                waited = 0


class EarlyStopping(_Waiting):
    """`[early_stopping]`: a trial ends when its monitor has not got better for `patience` epochs.

    The rule of `keras.callbacks.EarlyStopping`. What a trial is kept by is its best epoch in any case.
    """

    def stopped(self, history: History) -> int | None:
        """The epoch after which a trial with this history ends; None if it goes on."""
        return next(self._ends(history), None)


class Plateau(_Waiting):
    """`[plateau]`: the learning rate is reduced when the monitor has not got better for `patience` epochs.

    The rule of `keras.callbacks.ReduceLROnPlateau`, by which only a gain of 1e-4 or more is one.

    Attributes:
        factor: What the rate is multiplied by.
        min_learning_rate: Where that ends.
    """

    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    min_learning_rate: Annotated[float, Field(ge=0)] = 0.0

    def reductions(self, history: History) -> list[int]:
        """The epochs after which the rate was reduced."""
        return list(self._ends(history, _LEAST_GAIN))

    def rate(self, learning_rate: float, times: int) -> float:
        """What so many reductions leave of a learning rate, which Keras keeps in float32."""
        rate = _float32(learning_rate)
        for _ in range(times):
            if rate > _float32(self.min_learning_rate):
                rate = _float32(max(rate * self.factor, self.min_learning_rate))
        return rate


def _float32(value: float) -> float:
    """The nearest number of the kind in which Keras compares; NumPy, which has it too, takes long to import."""
    nearest: float = struct.unpack("f", struct.pack("f", value))[0]
    return nearest


def waiting_problems(
    early_stopping: EarlyStopping | None, plateau: Plateau | None, epochs: int, monitor: str, choices: Choices
) -> Iterator[str]:
    """What keeps the sections from ever doing anything, one line each.

    Args:
        early_stopping: See `StudyPlan`.
        plateau: See `StudyPlan`.
        epochs: Of a complete trial.
        monitor: The study's.
        choices: The values of the keys of [training].
    """
    for name, plan in (("early_stopping", early_stopping), ("plateau", plateau)):
        if plan is not None and plan.patience > epochs - 2:
            law = (
                f"must be at most {epochs - 2}, to do anything in"
                if epochs > 2
                else "needs a run of 3 epochs or more, not"
            )
            yield f"{name}.patience: {law} {epochs} epochs (came {plan.patience})"
        if plan is not None and plan.monitor == "val_f1" != monitor:
            yield f'{name}.monitor: "val_f1" is measured only where it is objective.monitor (which is {shown(monitor)})'
    if plateau is not None:
        yield from _contradictions(plateau, choices)


def _contradictions(plateau: Plateau, choices: Choices) -> Iterator[str]:
    """Between a plateau and the keys of [training]."""
    if set(choices["schedule"]) != {"none"}:
        yield "plateau: excludes a schedule of the learning rate; leave out [plateau] or training.schedule"
    highest = max(rate for rate in choices["learning_rate"] if not isinstance(rate, str))
    if plateau.min_learning_rate >= highest:
        came = f"came {shown(plateau.min_learning_rate)}, learning_rate = {shown(highest)}"
        yield f"plateau.min_learning_rate: must be below the learning rate ({came})"
