"""What the builds of a hypermodel say of its parameters: their names in a space, and when they exist."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spaces.keras_tuner.convert import qualified, to_parameter
from spaces.keras_tuner.walk import Key, Values, Walk, values_of
from spaces.parameters import Parameter, Scalar

When = dict[Key, tuple[Scalar, ...]]
"""The parents' values that a parameter exists for."""


def tables(walk: Walk) -> dict[str, dict[str, Any]]:
    """A space's parameters as a file has them.

    Parameters of one name are one where they have the same values and exist for different values of one parent;
    else those under conditions have names that say so, as "units[model=cnn]".
    """
    parameters = {key: to_parameter(hp) for key, hp in walk.known.items()}
    whens = _conditions(walk, parameters)
    found: dict[str, dict[str, Any]] = {}
    names: dict[Key, str] = {}
    for group in _of_one_name(whens):
        are_alike = all(parameters[key] == parameters[group[0]] for key in group)
        joined = _joined([whens[key] for key in group]) if are_alike else None
        if joined is not None:
            names |= dict.fromkeys(group, group[0].name)
            whens[group[0]] = joined
        else:
            names |= {key: _qualified(key, whens[key]) for key in group}
    for key, name in names.items():
        when = {names[parent]: values for parent, values in whens[key].items()}
        found.setdefault(name, _table(parameters[key], when))
    return found


def _table(parameter: Parameter, when: Mapping[str, Sequence[Scalar]]) -> dict[str, Any]:
    table = {"type": parameter.type, **parameter.model_dump(exclude_defaults=True)}
    return table | ({"when": {name: list(values) for name, values in when.items()}} if when else {})


def _of_one_name(keys: Iterable[Key]) -> list[list[Key]]:
    """Parameters that share a name, together."""
    groups: dict[str, list[Key]] = {}
    for key in keys:
        groups.setdefault(key.name, []).append(key)
    return list(groups.values())


def _joined(whens: list[When]) -> When | None:
    """One condition for all; None if they differ in more than the values of one parent."""
    first, *others = whens
    parents = [{key.name for key in when} for when in whens]
    if any(names != parents[0] for names in parents):
        return None
    values = [{key.name: asked for key, asked in when.items()} for when in whens]
    differ = {name for one in values for name in one if one[name] != values[0][name]}
    if len(differ) > 1:
        return None
    union = {name: tuple(dict.fromkeys(value for one in values for value in one[name])) for name in parents[0]}
    return {key: union[key.name] for key in first} if others else first


def _qualified(key: Key, when: When) -> str:
    return qualified(key.name, ((parent.name, values) for parent, values in when.items()))


def _conditions(walk: Walk, parameters: Mapping[Key, Parameter]) -> dict[Key, When]:
    """The conditions of every parameter that can exist: those it was declared with, and those that were seen."""
    whens: dict[Key, When] = {}
    seen = _seen(walk)
    for key in walk.known:
        when = _declared(key, whens, parameters)
        if when is not None and key in seen:
            parent, values = seen[key]
            if parent in whens:
                both = tuple(value for value in values if value in when.get(parent, values))
                when = {**when, parent: both or values}
        if when is not None:
            whens[key] = when
    return whens


def _declared(key: Key, whens: Mapping[Key, When], parameters: Mapping[Key, Parameter]) -> When | None:
    """The conditions by conditional scopes; None where a parent never has one of the values, or no certain value."""
    when: When = {}
    for place, (_, asked) in enumerate(key.conditions):
        parent = key.parent(place)
        if parent not in whens:
            return None
        own = _own_values(parameters[parent], asked)
        if not own:
            return None
        when[parent] = own
    return when


def _own_values(parameter: Parameter, asked: Sequence[Scalar]) -> tuple[Scalar, ...]:
    """Those of the values that a parameter has, in its own kind: Keras Tuner takes 1 for true."""
    values = parameter.grid()
    if values is not None:
        return tuple(value for value in values if value in asked)
    return tuple(value for value in asked if parameter.type == "int" and parameter.problem(value) is None)


def _seen(walk: Walk) -> dict[Key, tuple[Key, tuple[Scalar, ...]]]:
    """For parameters that came up with other values of one that came before: that one, and the values.

    Only what holds in all builds: a parameter that was also asked for otherwise is always there.
    """
    seen: dict[Key, tuple[Key, tuple[Scalar, ...]]] = {}
    for key, parent in walk.found_by.items():
        tried = walk.trials[parent]
        every = values_of(walk.known[parent])
        brought = {value for value, build in tried.items() if key in build.asked or build.failed}
        values = tuple(value for value in every if value in brought)
        if _is_counted(walk, parent) and set(every) <= set(tried) and len(values) < len(tried):
            seen[key] = parent, values
    while wrong := [key for key, (parent, values) in seen.items() if _is_contradicted(walk, key, parent, values)]:
        for key in wrong:
            del seen[key]
    return seen


def _is_counted(walk: Walk, key: Key) -> bool:
    """Whether the values that were tried are all there are."""
    parameter = to_parameter(walk.known[key])
    values = parameter.grid()
    if values is None and parameter.type == "int":
        return parameter.high - parameter.low < len(walk.trials[key])
    return values is not None and len(values) <= len(walk.trials[key])


def _is_contradicted(walk: Walk, key: Key, parent: Key, values: Sequence[Scalar]) -> bool:
    def holds(active: frozenset[Key], there: Values) -> bool:
        return parent in active and there[parent.name] in values

    return any(key in build.active and not holds(build.active, build.values) for build in walk.builds)
