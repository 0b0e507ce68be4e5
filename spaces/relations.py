"""What parameters demand of each other: who repeats whom, who exists only with whom, and in which order."""

import re
from collections.abc import Collection, Iterator, Mapping

from spaces.errors import did_you_mean, key_path, listed, shown
from spaces.parameters import Fixed, Float, Parameter, Scalar, extremes, same

Law = tuple[str, str]
"""The path of a key below the parameters, and the law broken there."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_REPEAT = re.compile(r"_\d+$")
_MOST_REPEATS = 1_000


def per(parameter: Parameter) -> str | None:
    """The parameter that says how often this one is repeated, if any."""
    return None if isinstance(parameter, Fixed) else parameter.per


def parents(parameter: Parameter) -> list[str]:
    """The parameters that must have a value before this one can."""
    repeat = per(parameter)
    return [*parameter.when, *([repeat] if repeat else [])]


def counts(parameter: Parameter) -> tuple[int, int] | None:
    """The smallest and the largest number of times it can stand for; None where it is no whole number."""
    values = extremes(parameter)
    whole = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    return (min(whole), max(whole)) if len(whole) == len(values) else None


def repeats(name: str, parameters: Mapping[str, Parameter]) -> list[str]:
    """All names that a parameter can be drawn under: its own or, of a repeated one, name_0, name_1, ..."""
    repeat = per(parameters[name])
    if repeat is None:
        return [name]
    _, most = counts(parameters[repeat]) or (0, 0)
    return [f"{name}_{index}" for index in range(most)]


def base_name(full: str) -> str:
    """The parameter that a name would be a repeat of: "units" for "units_1"; other names as they are."""
    return _REPEAT.sub("", full)


def parents_first(parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """The parameters as they were written, but none before its parents; without those in a circle."""
    ordered: dict[str, Parameter] = {}
    waiting = dict(parameters)
    while free := [name for name in waiting if not _among(waiting, waiting[name])]:
        ordered[free[0]] = waiting.pop(free[0])
    return ordered


def broken_laws(parameters: Mapping[str, Parameter], names: Collection[str], *, any_name: bool = False) -> list[Law]:
    """The laws that parameters break together.

    Args:
        parameters: The parameters that are sound in themselves.
        names: The names of all parameters, also of those that are not.
        any_name: Whether names may have any letters, as a Keras Tuner hypermodel gives them.
    """
    laws = [
        (key_path([name]), 'a name has letters, digits and "_" only, and begins with a letter')
        for name in names
        if not any_name and not _NAME.fullmatch(name)
    ]
    for name, parameter in parameters.items():
        laws += _per_laws(name, parameter, parameters, names)
        laws += _when_laws(name, parameter, parameters, names)
    laws += _circle_laws(parameters)
    if not laws and len(parameters) == len(names):
        laws = [*_clash_laws(parameters), *_contradictions(parameters)]
    return laws


def _per_laws(
    name: str, parameter: Parameter, parameters: Mapping[str, Parameter], names: Collection[str]
) -> Iterator[Law]:
    repeat = per(parameter)
    if repeat is None:
        return
    key = key_path([name, "per"])
    if repeat not in names:
        yield key, _unknown(repeat, names, name)
    elif repeat in parameters:
        parent = parameters[repeat]
        count = counts(parent)
        if per(parent):
            yield key, f"must name a parameter that is not repeated itself (came {shown(repeat)})"
        elif count is None or count[0] < 0 or count[1] > _MOST_REPEATS:
            law = f"must name a parameter of whole numbers from 0 to {_MOST_REPEATS}"
            yield key, f"{law} (came {shown(repeat)})"


def _when_laws(
    name: str, parameter: Parameter, parameters: Mapping[str, Parameter], names: Collection[str]
) -> Iterator[Law]:
    for parent, values in parameter.when.items():
        key = key_path([name, "when", parent])
        if parent not in names:
            yield key_path([name, "when"]), _unknown(parent, names, name)
        elif parent in parameters:
            yield from ((key, law) for law in _condition_laws(parent, parameters[parent], values, parameter))


def _condition_laws(name: str, parent: Parameter, values: tuple[Scalar, ...], child: Parameter) -> Iterator[str]:
    """What is wrong with a parameter that exists only where its parent has one of some values."""
    repeat = per(parent)
    if repeat and repeat != per(child):
        yield f'{name} is drawn per {repeat}, so what depends on it needs per = "{repeat}" too'
    if isinstance(parent, Float) and parent.step is None and parent.low < parent.high:
        yield f"{name} is continuous and almost never has one certain value; give it a step"
        return
    yield from filter(None, map(parent.problem, values))


def _circle_laws(parameters: Mapping[str, Parameter]) -> Iterator[Law]:
    ordered = parents_first(parameters)
    stuck = {name: parameter for name, parameter in parameters.items() if name not in ordered}
    path = list(stuck)[:1]
    while path and path[-1] not in path[:-1]:
        path.append(_among(stuck, stuck[path[-1]])[0])
    if path:
        circle = path[path.index(path[-1]) :]
        yield key_path(circle[:1]), f"depends on itself ({' needs '.join(circle)})"


def _clash_laws(parameters: Mapping[str, Parameter]) -> Iterator[Law]:
    taken = set(parameters)
    for name, parameter in parameters.items():
        if per(parameter):
            for repeat in repeats(name, parameters):
                if repeat in taken:
                    yield key_path([name]), f"its repeat {repeat} has the name of another parameter"
                taken.add(repeat)


def _contradictions(parameters: Mapping[str, Parameter]) -> Iterator[Law]:
    """Parameters that are never drawn, since they and their ancestors ask different values of one parent."""
    demands: dict[str, dict[str, tuple[Scalar, ...]]] = {}
    for name, parameter in parents_first(parameters).items():
        asked = demands[name] = {}
        sources = [parameter.when, *(demands[parent] for parent in parents(parameter))]
        for parent, values in (item for source in sources for item in source.items()):
            before = asked.get(parent, values)
            asked[parent] = tuple(value for value in values if any(same(value, other) for other in before))
            if not asked[parent]:
                both = f"{listed(before)} and also {listed(values)}"
                yield key_path([name]), f"is never drawn: {parent} would have to be {both}"


def _among(names: Collection[str], parameter: Parameter) -> list[str]:
    return [parent for parent in parents(parameter) if parent in names]


def _unknown(parent: str, names: Collection[str], child: str) -> str:
    others = [name for name in names if name != child]
    return f"unknown parameter {shown(parent)}{did_you_mean(parent, others)}"
