"""Which values the parameters of the families may have. No Keras in here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from search.models.architectures import ARCHITECTURES
from search.models.pretrained import BACKBONES
from spaces.errors import close_match, listed, shown
from spaces.parameters import Scalar

Kind = Literal["dropout", "penalty", "positive", "share", "angle", "count"]

_ACTIVATIONS = ("relu", "tanh", "sigmoid", "elu", "selu", "gelu", "silu", "leaky_relu", "softplus", "linear")
_INITIALIZERS = (
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
    "random_normal",
    "random_uniform",
    "truncated_normal",
    "orthogonal",
)


@dataclass(frozen=True)
class Law:
    """What a value must be.

    Attributes:
        text: In words, which follow "must be".
        holds: Whether a value keeps it.
        words: Of which a misspelt one may be meant.
    """

    text: str
    holds: Callable[[Scalar], bool]
    words: Sequence[str] = ()

    def problem(self, value: Scalar) -> str | None:
        """What is wrong with a value; None if nothing is."""
        if self.holds(value):
            return None
        return f"must be {self.text} (came {shown(value)}){close_match(str(value), self.words)}"


def _word(*choices: str) -> Law:
    """One of some words."""
    return Law(listed(choices), lambda value: value in choices, choices)


def _whole(low: int) -> Law:
    """A whole number of at least `low`."""

    def holds(value: Scalar) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= low

    return Law(f"a whole number of at least {low}", holds)


def _number(text: str, low: float, high: float = math.inf, *, low_allowed: bool = True) -> Law:
    """A number from `low` to below `high`."""

    def holds(value: Scalar) -> bool:
        if isinstance(value, bool | str):
            return False
        return low <= value < high and (low_allowed or value > low)

    return Law(f"a number {text}", holds)


_FLAG = Law("true or false", lambda value: isinstance(value, bool))
KINDS: dict[Kind, Law] = {
    "dropout": _number("at least 0 and below 1", 0, 1),
    "penalty": _number("at least 0 and finite", 0),
    "positive": _number("above 0 and finite", 0, low_allowed=False),
    "share": _number("at least 0 and below 1", 0, 1),
    "angle": _number("of degrees at least 0 and below 360", 0, 360),
    "count": _number("at least 1 and finite", 1),
}
LIMITS: dict[str, Kind] = {"rotation": "angle", "shift": "share", "shear": "share", "zoom": "share"}
"""How far augmentation goes: the kinds of its numbers."""

_LAWS = {
    "activation": _word(*_ACTIVATIONS),
    "architecture": _word(*ARCHITECTURES),
    "backbone": _word(*BACKBONES),
    "flip": _word("none", "horizontal", "vertical", "both"),
    "kernel_initializer": _word(*_INITIALIZERS),
    "padding": _word("same", "valid"),
    **dict.fromkeys(("batch_norm", "bias"), _FLAG),
    **dict.fromkeys(("filters", "kernel_size", "pool", "units"), _whole(1)),
    **dict.fromkeys(("blocks", "dense_layers", "fine_tune", "layers"), _whole(0)),
    **dict.fromkeys(("dropout", "dense_dropout"), KINDS["dropout"]),
    **dict.fromkeys(("l1", "l2", "activity_l1", "activity_l2"), KINDS["penalty"]),
    **{name: KINDS[kind] for name, kind in LIMITS.items()},
    "kernel_stddev": KINDS["positive"],
}


def law_of(family: str, base: str) -> Law | None:
    """The law of a family's parameter by its base name; None if any value may do, or if training has its law."""
    if base == "units" and family in ("cnn", "named"):
        return _whole(0)  # none of the dense layers
    return _LAWS.get(base)
