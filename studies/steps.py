"""What a study records of single training steps."""

import csv
from collections.abc import Sequence
from pathlib import Path

from studies.section import Count, Section

FILE = "steps.csv"
"""In a trial's folder."""

COLUMNS = ("step", "epoch", "train_loss", "train_accuracy", "val_accuracy", "gradient_norm")
"""`step` counts the updates made before; loss, accuracy and the norm of the first layer's gradient are the batch's
that comes next, the validation accuracy that of the weights it finds."""

Steps = dict[str, tuple[float, ...]]
"""By column, one value a recorded step."""


class Record(Section):
    """`[record]`: steps are looked at one by one, every so many.

    Attributes:
        every: How many.
    """

    every: Count


def read_steps(path: Path) -> Steps:
    """What a trial's file has.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no such file.
    """
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    if tuple(header) != COLUMNS:
        raise ValueError(f"{path}: must have the columns {', '.join(COLUMNS)} (came {', '.join(header)})")
    columns: Sequence[tuple[str, ...]] = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
    return {name: tuple(map(float, column)) for name, column in zip(COLUMNS, columns, strict=True)}
