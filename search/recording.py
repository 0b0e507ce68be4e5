"""What single training steps are like: looked at before every N-th step, kept as a trial's `steps.csv`.

A look computes what the step will: the loss of its batch with the same dropout, accuracy, the gradient's norm. It
leaves the model as it was, so that a recorded trial is the trial, up to rounding.
"""

from __future__ import annotations

import csv
import io
import math
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from search.blobs import Blobs
from search.metrics import probabilities
from search.programs import DeviceArrays, Program, make_probe, read, write
from studies.steps import COLUMNS, FILE

Row = dict[str, float]


class Recorder:
    """The epochs of a program, which also keeps what it saw of the last one of every seed.

    Args:
        program: Trains.
        model: Its model.
        validation: The split on which accuracy is measured at every look; None for none.
        every: Steps from one look to the next, counted over all epochs from the first step.
        steps: Batches an epoch.
        class_weights: See `build_program`.
        jit_compile: See `build_program`.
    """

    def __init__(
        self,
        program: Program,
        model: keras.Model,
        validation: DeviceArrays | None,
        every: int,
        steps: int,
        class_weights: NDArray[np.float32] | None = None,
        *,
        jit_compile: bool,
    ) -> None:
        self._program = program
        self._model = model
        self._validation = validation
        self._every = every
        self._steps = steps
        self._probe = make_probe(model, class_weights, jit_compile=jit_compile)
        self._done = 0
        self._epochs: list[list[Row]] = []

    def begin(self, epoch: int) -> None:
        """Forget what was seen; the epoch of that number, from 1, comes next."""
        self._done, self._epochs = (epoch - 1) * self._steps, []

    def keep(self, blobs: Blobs, folder: str) -> None:
        """Write down what was seen of a trial's first seed, in place of what its file has of these steps and later."""
        key, epoch = f"{folder}/{FILE}", self._done // self._steps + 1
        kept = [row for row in _stored(blobs, key) if int(row[0]) < self._done]
        seen = [[str({"epoch": epoch, **row}[name]) for name in COLUMNS] for row in self._epochs[0]]
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *kept, *seen])
        blobs.put(key, file.getvalue().encode())

    def validate(self, data: DeviceArrays) -> dict[str, float]:
        """See `Epochs`."""
        return self._program.validate(data)

    def train(self, data: DeviceArrays, order: NDArray[np.int32]) -> dict[str, float]:
        """Train one epoch over the rows in `order`, looking at every so many-th step."""
        looks = [step for step in range(self._steps) if (self._done + step) % self._every == 0]
        rows: list[Row] = []
        self._epochs.append(rows)

        def look(x: Any, y: Any) -> None:
            rows.append({"step": self._done + looks[len(rows)], **self._seen(x, y)})

        return self._program.train_and_look(data, order, looks, look)

    def _seen(self, x: Any, y: Any) -> Row:
        """What the step with this batch is like."""
        variables = [*self._model.non_trainable_variables, *self._model.metrics_variables]
        before = read(variables)
        loss, outputs, norm = (np.asarray(found) for found in self._probe(x, y))
        write(variables, before)
        labels = np.asarray(y) if np.ndim(y) == 1 else np.argmax(y, axis=-1)  # of a loss that compares rows
        validated = {} if self._validation is None else self._program.validate(self._validation)
        write(variables, before)
        return {
            "train_loss": float(loss),
            "train_accuracy": float(np.mean(np.argmax(probabilities(outputs), axis=-1) == labels)),
            "val_accuracy": validated.get("accuracy", math.nan),
            "gradient_norm": float(norm),
        }


def _stored(blobs: Blobs, key: str) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(blobs.get(key).decode())))[1:]
    except KeyError:
        return []
