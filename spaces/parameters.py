"""What one parameter may be: a whole number, a number, a choice, an order or a fixed value.

Every kind answers the same four questions: which values it has (`grid`), what is wrong with a value
(`problem`), which of its own values a written one means (`settle`), and which lies in its middle (`middle`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from spaces import grids
from spaces.errors import LawError, close_match, listed, shown

Scalar = str | int | float | bool
Params = dict[str, Scalar]

SCALAR_NAMES = (
    *("dropout", "l1", "l2", "learning_rate", "momentum", "weight_decay", "label_smoothing"),
    *("schedule_every", "schedule_factor", "schedule_times"),
    *("rotation", "shift", "shear", "zoom"),
)
"""Names of numbers that are fed into a compiled program; all other parameters change the program itself."""

_LARGEST_GRID = 10_000
_LARGEST_INTEGER = 2**53  # Optuna keeps numbers as floats, which hold every whole number up to here
_KIND_OF_CHOICE = {str: "text", bool: "true or false", int: "number", float: "number"}


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def in_order(value: Any) -> Any:
    """A list, but no set, whose texts every process of Python has in an order of its own."""
    if isinstance(value, Set):
        raise ValueError(f"must be a list, which has an order (came {shown(value)})")
    return value


Whole = Annotated[int, Field(ge=-_LARGEST_INTEGER, le=_LARGEST_INTEGER)]
Choices = Annotated[tuple[Scalar, ...], Field(strict=False, min_length=1), BeforeValidator(in_order)]
OneOrMore = Annotated[Choices, BeforeValidator(_as_list)]


def plain(value: Any) -> Any:
    """What a file would have: no numbers or arrays of NumPy, which pydantic doesn't know, no paths and no ranges."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain(one) for one in value]
    if isinstance(value, Path):
        return str(value)
    return value.tolist() if hasattr(value, "tolist") else value


def same(one: Scalar, other: Scalar) -> bool:
    """Whether two values are one value in a file: 1 and 1.0 are, 1 and true are not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


class _Table(BaseModel, ABC):
    """A table of a file: frozen, no unknown keys, no kind taken for another ("3" and true are no numbers).

    Attributes:
        when: The parameter exists only where each of these parents has this value, or one of these.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    when: Mapping[str, OneOrMore] = {}

    @model_validator(mode="before")
    @classmethod
    def _take_plain_values(cls, table: Any) -> Any:
        return plain(table)

    @abstractmethod
    def grid(self) -> tuple[Scalar, ...] | None:
        """All values, in their order; None for a range without a step."""

    @abstractmethod
    def middle(self) -> Scalar:
        """The value that stands for the parameter before anything is known."""

    def problem(self, value: Scalar) -> str | None:
        """The law that a value breaks, and the value; None for a value of this parameter."""
        if self._meant(value) is not None:
            return None
        return f"must be {self._law()} (came {shown(value)}){self._guess(value)}"

    def settle(self, value: Scalar) -> Scalar:
        """The own value that a written one means, as 1 means 1.0 to a float; a foreign one as it is."""
        meant = self._meant(value)
        return value if meant is None else meant

    @abstractmethod
    def _meant(self, value: Scalar) -> Scalar | None: ...

    @abstractmethod
    def _law(self) -> str: ...

    def _guess(self, value: Scalar) -> str:
        return ""


class _Drawn(_Table):
    """A parameter that a sampler draws.

    Attributes:
        per: The parameter whose value says how many times this one is drawn; None draws it once.
    """

    per: str | None = None


class _Range(_Drawn):
    """The numbers from low to high, both included.

    Attributes:
        low: The smallest value.
        high: The largest value.
        step: What lies between neighbours: a difference, or a factor where `log` is true.
        log: Whether values are spread evenly over the orders of magnitude.
        reverse: With `log`: fine near high and coarse near low, where `log` alone is fine near low.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False
    reverse: bool = False

    @model_validator(mode="after")
    def _keep_laws(self) -> Self:
        if laws := [*self._bound_laws()] or [*self._grid_laws()]:
            raise LawError(("", law) for law in laws)
        return self

    def _bound_laws(self) -> Iterator[str]:
        if self.low > self.high:
            yield f"low must be at most high (low = {self.low}, high = {self.high})"
        if self.log and self.low <= 0:
            yield f"low must be above 0 when log = true (low = {self.low})"
        if self.step is not None and self.step <= (1 if self.log else 0):
            law = "above 1 when log = true, being a factor" if self.log else "above 0"
            yield f"step must be {law} (step = {self.step})"
        if self.reverse and not (self.log and self.step is None):
            yield f"reverse goes with log = true and without a step (log = {shown(self.log)}, step = {self.step})"

    def _grid_laws(self) -> Iterator[str]:
        """The steps must end at high, or the largest value would silently be a smaller one."""
        if self.step is None:
            return
        values = round(grids.steps_between(self.low, self.high, self.step, self.log)) + 1
        if values > _LARGEST_GRID:
            yield f"step must leave {_LARGEST_GRID} values or fewer, not {shown(values)} (step = {self.step})"
        elif self.high not in (ends := grids.ends(self.low, self.high, self.step, self.log)):
            way = "low times a power of step" if self.log else "low plus a multiple of step"
            came = f"low = {self.low}, high = {self.high}, step = {self.step}"
            yield f"high must be {way}, such as {listed(ends)} ({came})"

    def grid(self) -> tuple[float, ...] | None:
        """The values that the steps lead to; None without a step."""
        return None if self.step is None else grids.grid(self.low, self.high, self.step, self.log)

    def mirrored(self, value: float) -> float:
        """As far from high as the value is from low: what a reversed range has where a sampler drew the value."""
        return min(max(self.low + self.high - value, self.low), self.high)

    def middle(self) -> float:
        """The value halfway from low to high, between orders of magnitude where `log` is true."""
        if values := self.grid():
            return values[(len(values) - 1) // 2]
        middle = math.sqrt(self.low) * math.sqrt(self.high) if self.log else self.low / 2 + self.high / 2
        readable = float(f"{self.mirrored(middle) if self.reverse else middle:.12g}")  # 1e-05, not 9.99999999999e-06
        return min(max(readable, self.low), self.high)

    def _span(self) -> str:
        by = "" if self.step is None else f" in {'factors' if self.log else 'steps'} of {self.step}"
        return f"from {self.low} to {self.high}{by}"


class Int(_Range):
    """A whole number, such as a number of layers or, with `log` and a step of 2, of units."""

    type: Literal["int"] = "int"
    low: Whole
    high: Whole
    step: Whole | None = None

    def middle(self) -> int:
        """The whole number halfway from low to high; of two the lower one."""
        return math.ceil(super().middle() - 0.5)

    def _meant(self, value: Scalar) -> Scalar | None:
        if isinstance(value, bool) or not isinstance(value, int):
            return None
        values = self.grid()
        return value if (value in values if values else self.low <= value <= self.high) else None

    def _law(self) -> str:
        return f"a whole number {self._span()}"


class Float(_Range):
    """A number, such as a learning rate (with `log`) or, with a step, a share in tenths."""

    type: Literal["float"] = "float"

    def _meant(self, value: Scalar) -> Scalar | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if values := self.grid():
            nearest = min(values, key=lambda own: abs(own - value))
            return nearest if math.isclose(nearest, value) else None
        return float(value) if self.low <= value <= self.high else None

    def _law(self) -> str:
        return f"a number {self._span()}"


class _Chosen(_Drawn):
    """One of a few values.

    Attributes:
        choices: The values, all of one kind (text, numbers, or true and false), no two alike.
    """

    choices: Choices

    @model_validator(mode="after")
    def _keep_laws(self) -> Self:
        kinds = {_KIND_OF_CHOICE[type(choice)] for choice in self.choices}
        repeated = any(choice in self.choices[:place] for place, choice in enumerate(self.choices))
        laws = [
            *(["choices must all be text, all be numbers or all be true or false"] if len(kinds) > 1 else []),
            *(["choices must differ from each other"] if repeated else []),
        ]
        if laws:
            raise LawError(("", f"{law} (choices = {shown(self.choices)})") for law in laws)
        return self

    def grid(self) -> tuple[Scalar, ...]:
        """The choices."""
        return self.choices

    def _meant(self, value: Scalar) -> Scalar | None:
        return next((choice for choice in self.choices if same(choice, value)), None)

    def _law(self) -> str:
        return f"one of {listed(self.choices)}" if len(self.choices) > 1 else listed(self.choices)

    def _guess(self, value: Scalar) -> str:
        return close_match(value, map(str, self.choices)) if isinstance(value, str) else ""


class Categorical(_Chosen):
    """One of a few values without an order, such as the kind of optimizer."""

    type: Literal["categorical"] = "categorical"

    def middle(self) -> Scalar:
        """The first choice."""
        return self.choices[0]


class Ordinal(_Chosen):
    """One of a few values that rise in the order written, such as batch sizes of 24, 32 and 100."""

    type: Literal["ordinal"] = "ordinal"

    def middle(self) -> Scalar:
        """The choice in the middle."""
        return self.choices[(len(self.choices) - 1) // 2]


class Fixed(_Table):
    """A value that does not vary, written down all the same because the model needs it."""

    type: Literal["fixed"] = "fixed"
    value: Scalar

    def grid(self) -> tuple[Scalar, ...]:
        """The value alone."""
        return (self.value,)

    def middle(self) -> Scalar:
        """The value."""
        return self.value

    def _meant(self, value: Scalar) -> Scalar | None:
        return self.value if same(self.value, value) else None

    def _law(self) -> str:
        return f"{shown(self.value)}, which is fixed"


Parameter = Annotated[Int | Float | Categorical | Ordinal | Fixed, Field(discriminator="type")]


def extremes(parameter: Parameter) -> tuple[Scalar, ...]:
    """The values that break a law if any value does: both ends of a range, or all choices."""
    return (parameter.low, parameter.high) if isinstance(parameter, Int | Float) else parameter.grid()
