"""Builds of a hypermodel, one after the other, and what each asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from keras_tuner import HyperParameters
from keras_tuner.engine import hyperparameters as kt

from spaces.keras_tuner.convert import to_parameter
from spaces.parameters import Float, Int, Scalar

MOST_BUILDS = 300
_MOST_VALUES = 33  # of a parameter, that are all tried where its ends ask for different things

Values = dict[str, Scalar]
Attempt = Callable[[HyperParameters], None]
"""Builds a model (and fits it for a moment) with hyperparameters, which note what it asks for."""


class Key(NamedTuple):
    """What Keras Tuner knows a parameter by."""

    name: str
    conditions: tuple[tuple[str, tuple[Scalar, ...]], ...]

    def parent(self, place: int) -> "Key":
        """The parameter that a condition is about, which lies under the conditions before it."""
        return Key(self.conditions[place][0], self.conditions[:place])


@dataclass(frozen=True)
class Build:
    """What one build asked for; `failed` is why it ended early."""

    asked: dict[Key, Any]
    values: Values  # of active parameters
    active: frozenset[Key]
    failed: Exception | None


@dataclass
class Walk:
    """All builds so far, and what they showed."""

    attempt: Attempt
    builds: list[Build] = field(default_factory=list)
    done: dict[frozenset[tuple[str, Scalar]], Build] = field(default_factory=dict)  # by values given, and by all values
    known: dict[Key, Any] = field(default_factory=dict)
    beside: dict[Key, Values] = field(default_factory=dict)  # the values of the first build in which it was active
    found_by: dict[Key, Key] = field(default_factory=dict)  # whose other values brought it up
    trials: dict[Key, dict[Scalar, Build]] = field(default_factory=dict)  # of a parameter's values

    @property
    def exhausted(self) -> bool:
        """Whether there have been enough builds."""
        return len(self.builds) >= MOST_BUILDS

    def build(self, values: Mapping[str, Scalar], by: Key | None = None) -> Build:
        """Build with these values and defaults for all others, unless that was done before."""
        mark = frozenset(values.items())
        if mark not in self.done:
            self.builds.append(_build(self.attempt, dict(values)))
            self.done[mark] = self.builds[-1]
            if self.builds[-1].failed is None:
                self.done.setdefault(frozenset(self.builds[-1].values.items()), self.builds[-1])
        found = self.done[mark]
        for key, hp in found.asked.items():
            if key not in self.known:
                self.known[key] = hp
                if by is not None:
                    self.found_by[key] = by
        for key in found.active:
            self.beside.setdefault(key, found.values)
        return found

    def probe(self, key: Key) -> None:
        """Build with other values of a parameter: all of a few, or only the ends if these ask for the same."""
        base = self.beside[key]
        tried = self.trials[key] = {base[key.name]: self.build(base)}
        every = values_of(self.known[key])
        asked_by_children = {v for other in self.known for name, vs in other.conditions if name == key.name for v in vs}
        some = every if isinstance(self.known[key], kt.Choice | kt.Boolean) else (*every[:1], *every[-1:])
        for value in (*some, *(value for value in every if value in asked_by_children)):
            self._try(key, value, base, tried)
        if len({frozenset(build.asked) for build in tried.values()}) > 1:
            for value in every:
                self._try(key, value, base, tried)

    def _try(self, key: Key, value: Scalar, base: Values, tried: dict[Scalar, Build]) -> None:
        if value not in tried and not self.exhausted:
            tried[value] = self.build(self._still_active({**base, key.name: value}), by=key)

    def _still_active(self, values: Values) -> Values:
        """Without the values of parameters that the others have made inactive."""
        kept = dict(values)
        for key in self.known:
            others = [other for other in self.known if other.name == key.name]
            if not any(_is_active(other, kept) for other in others):
                kept.pop(key.name, None)
        return kept


def _build(attempt: Attempt, values: Values) -> Build:
    hp, failed = HyperParameters(), None
    hp.values = dict(values)
    try:
        attempt(hp)
    except Exception as problem:
        failed = problem
    asked = {_key(one): one for one in hp.space}
    active = {key: one for key, one in asked.items() if hp.is_active(one)}
    return Build(asked, {key.name: hp.values[key.name] for key in active}, frozenset(active), failed)


def _key(hp: Any) -> Key:
    return Key(hp.name, tuple((one.name, tuple(one.values)) for one in hp.conditions))


def _is_active(key: Key, values: Values) -> bool:
    return all(values.get(parent) in asked for parent, asked in key.conditions)


def values_of(hp: Any) -> tuple[Scalar, ...]:
    """The values that are tried: all of a few, else the ends."""
    if isinstance(hp, kt.Fixed):
        return ()
    parameter = to_parameter(hp)
    values = parameter.grid()
    if isinstance(parameter, Int) and values is None:
        values = tuple(range(parameter.low, min(parameter.high, parameter.low + _MOST_VALUES) + 1))
    if values is not None and (len(values) <= _MOST_VALUES or isinstance(hp, kt.Choice)):
        return values
    assert isinstance(parameter, Int | Float)
    return parameter.low, parameter.high
