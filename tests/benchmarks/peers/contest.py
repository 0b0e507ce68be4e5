"""What a contestant is told by the benchmark, and what it tells: one JSON object a line, as `toprung run --json`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Contest:
    """One search.

    Attributes:
        space: "mlp" or "cnn", as in spaces/catalog, or "e2", as in e2.toml.
        data: An .npz file with x_train, y_train, x_val, y_val; x is float32 from 0 to 1.
        folder: An empty folder for what the tool keeps.
        max_resource: Epochs of a complete trial.
        reduction_factor: Hyperband's.
        batch_size: Rows a training step.
        seconds: The search may end by itself after this time; it is ended from outside before.
        seed: Of the search.
    """

    space: str
    data: str
    folder: str
    max_resource: int
    reduction_factor: int
    batch_size: int
    seconds: float
    seed: int

    def write(self, path: Path) -> None:
        """Keep it for another process."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @staticmethod
    def read(path: str) -> Contest:
        """What `write` has kept."""
        return Contest(**json.loads(Path(path).read_text(encoding="utf-8")))

    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
        """x and y of the training split, x and y of the validation split."""
        with np.load(self.data) as file:
            return file["x_train"], file["y_train"], file["x_val"], file["y_val"]


def tell_epoch(trial: int | str, epoch: int, value: float) -> None:
    """Say that a trial has completed an epoch, counted from 1, with this validation accuracy."""
    line = json.dumps({"event": "epoch", "trial": trial, "epoch": epoch, "value": float(value)})
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
