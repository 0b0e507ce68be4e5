"""The space of a hypermodel: built again and again, with other values, until it asks for nothing new."""

from collections.abc import Iterator
from dataclasses import dataclass

from spaces.errors import InputError, in_a_line
from spaces.keras_tuner.convert import own_name, to_parameter
from spaces.keras_tuner.tables import tables
from spaces.keras_tuner.walk import MOST_BUILDS, Attempt, Key, Walk
from spaces.space import HYPERMODEL, Space
from spaces.validation import validate


@dataclass(frozen=True)
class Discovered:
    """A hypermodel's space, and what a user should know about how it was found."""

    space: Space
    notes: list[str]


def discover(name: str, attempt: Attempt) -> Discovered:
    """The space of a hypermodel.

    It is built with its defaults, then with other values of each parameter in turn: every choice, both ends of a
    range, and every value of a range between whose ends something appears. What is under a conditional scope exists
    under its conditions; what appears by itself (`for i in range(hp.Int("layers", 1, 4))`) exists for the values
    that brought it up. A build that fails is passed over. The walk ends after 300 builds.

    Args:
        name: "package.module:build_model".
        attempt: Builds the model once.
    Raises:
        InputError: It has no parameters, or some with names or ranges that cannot be.
    """
    walk = Walk(attempt)
    try:
        _walk(walk)
    except InputError:
        raise InputError(f"{HYPERMODEL}{name}", list(_broken_laws(walk))) from None
    return Discovered(_space(name, walk), list(_notes(walk)))


def _walk(walk: Walk) -> None:
    first = walk.build({})
    if first.failed is not None:
        raise first.failed
    done: set[Key] = set()
    while (key := _next(walk, done)) and not walk.exhausted:
        if key in walk.beside:
            walk.probe(key)
            done.add(key)
        else:  # it never was active: build once with what its conditions ask for, as Keras Tuner does
            walk.build({parent: values[0] for parent, values in key.conditions})
            if key not in walk.beside:
                done.add(key)


def _broken_laws(walk: Walk) -> Iterator[str]:
    """Why parameters that are known so far are none of a space's."""
    for hp in walk.known.values():
        try:
            to_parameter(hp)
        except InputError as error:
            yield from (f"{error.where}: {law}" for law in error.problems)


def _next(walk: Walk, done: set[Key]) -> Key | None:
    """The parameter that was found first among those left; of those that never were active only when no other is."""
    left = [key for key in walk.known if key not in done]
    return next((key for key in left if key in walk.beside), left[0] if left else None)


def _notes(walk: Walk) -> Iterator[str]:
    failures = [build.failed for build in walk.builds if build.failed is not None]
    if failures:
        first = in_a_line(failures[0])
        yield f"{len(failures)} of {len(walk.builds)} builds failed while its space was looked for; the first: {first}"
    if walk.exhausted:
        yield f"its space was looked for in {MOST_BUILDS} builds; what only others show takes its default"


def _space(name: str, walk: Walk) -> Space:
    where = f"{HYPERMODEL}{name}"
    wrong = [key.name for key in walk.known if own_name(key.name) != key.name]
    if wrong:
        raise InputError(where, [f'{one}: a parameter\'s name must not end in "[...=...]"' for one in wrong])
    if not walk.known:
        raise InputError(where, ["asks for no parameter; there is nothing to search"])
    return validate(Space, {"model": where, "parameters": tables(walk)}, where)
