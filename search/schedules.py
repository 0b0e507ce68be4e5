"""How the learning rate goes while a model trains, as a part of its compiled program."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from search.errors import SearchError
from spaces.errors import did_you_mean, shown
from studies.schedule import KINDS

NUMBERS = ("schedule_every", "schedule_factor", "schedule_times")
"""Parameters that a schedule computes with, beside the learning rate it starts from."""


@dataclass(frozen=True)
class Span:
    """How long a trial trains that goes all the way.

    Attributes:
        epochs: Of such a trial.
        steps: Batches an epoch of the training split.
    """

    epochs: int = 1
    steps: int = 1


class Schedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A learning rate that follows from the steps done, so that a checkpoint knows it and a larger split keeps it.

    Epochs are counted in steps of the training split. With t epochs (or steps) done, n = floor(t / every), never
    more than times:

    - step: rate * factor**n
    - exponential: rate * factor**(t / every)
    - cosine: from rate to rate * factor, in half a wave from 0 to every (Loshchilov and Hutter, 2017, arXiv:1608.03983)

    Args:
        kind: One of `KINDS`.
        span: Gives an epoch its steps, and `every` its default: the whole span.
        by_step: Whether t counts steps.
        numbers: `learning_rate` and some of `NUMBERS`: floats, or variables of the optimizer.
    """

    def __init__(self, kind: str, span: Span, by_step: bool, numbers: Mapping[str, Any]) -> None:
        if kind not in KINDS:
            raise SearchError(f"schedule: unknown {shown(kind)}{did_you_mean(kind, KINDS)}")
        self._kind = kind
        self._unit = 1 if by_step else span.steps
        self._rate = numbers["learning_rate"]
        self._every = numbers.get("schedule_every", span.epochs * (span.steps if by_step else 1))
        self._factor = numbers.get("schedule_factor", 0.0 if kind == "cosine" else 0.1)
        self._times = numbers.get("schedule_times")

    def __call__(self, step: Any) -> Any:
        """The learning rate, float32, after so many steps."""
        rate, factor = (keras.ops.cast(number, "float32") for number in (self._rate, self._factor))
        done = keras.ops.floor_divide(keras.ops.cast(step, "int32"), self._unit)
        if self._kind == "step":
            return rate * keras.ops.power(factor, keras.ops.cast(self._acted(done), "float32"))
        share = keras.ops.cast(done, "float32") / keras.ops.cast(self._every, "float32")
        if self._kind == "exponential":
            return rate * keras.ops.power(factor, share)
        wave = (1 + keras.ops.cos(math.pi * keras.ops.minimum(share, 1.0))) / 2
        return rate * (factor + (1 - factor) * wave)

    def _acted(self, done: Any) -> Any:
        """How often a step schedule has acted: in whole numbers, which know no rounding."""
        acted = keras.ops.floor_divide(done, keras.ops.cast(self._every, "int32"))
        return acted if self._times is None else keras.ops.minimum(acted, keras.ops.cast(self._times, "int32"))
