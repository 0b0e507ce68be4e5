"""What a model is built for: the rows it takes, and the classes that it tells apart. No Keras in here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.datasets import Rescale


@dataclass(frozen=True)
class Purpose:
    """What a model is built for.

    Attributes:
        input_shape: Of one row, as the arrays have it.
        input_dtype: Of the arrays: the model takes them as they are.
        classes: Number of classes.
        scale: With `offset`: the model begins with x * scale + offset; a number or one a last-axis entry.
        offset: See `scale`.
        folder: What relative paths in params start from.
        augments: Whether the augmentation that params ask for is a part of the model; an exported one has none.
        sigmoid: Whether one unit gives the probability of the second of two classes.
    """

    input_shape: tuple[int, ...]
    input_dtype: str
    classes: int
    scale: Rescale = 1.0
    offset: Rescale = 0.0
    folder: Path = Path()
    augments: bool = True
    sigmoid: bool = False

    @property
    def outputs(self) -> int:
        """How many units the model ends in."""
        return 1 if self.sigmoid else self.classes

    @property
    def rescales(self) -> bool:
        """Whether the arrays must be changed before a layer can take them."""
        return self.scale != 1 or self.offset != 0 or not self.input_dtype.startswith("float")
