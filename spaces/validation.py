"""Data checked against a pydantic model, and pydantic's errors in the words of the house."""

import re
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from spaces.errors import InputError, LawError, did_you_mean, key_path, listed, shown

M = TypeVar("M", bound=BaseModel)

_LAWS = {
    "missing": "must be given",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "invalid_key": "must be text",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
}


class _Place(NamedTuple):
    """Where an error lies: the keys a user sees, the annotation there, the one that holds the last key."""

    keys: list[str | int]
    kind: Any
    holder: Any
    is_branch: bool  # one of the kinds that a union tried there


def validate(model: type[M], data: Mapping[str, Any], where: str) -> M:
    """The data as a model, or all that is wrong with it.

    Args:
        model: Any pydantic model, with lists, tables and unions of models inside it.
        data: What a file holds.
        where: The file's name, for the error.

    Raises:
        InputError: One line a problem: the key's path, the law, the value that came, and "did you
            mean" for an unknown key or word. A validator of the model raises `ValueError` for one
            broken law, `spaces.LawError` for several.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError(where, _lines(model, error)) from None


def _lines(model: type[BaseModel], error: ValidationError) -> list[str]:
    """One line a problem; the branches of a union, which fail one by one, become one line."""
    lines: dict[tuple[str, str, str], list[str]] = {}
    for problem in error.errors(include_url=False):
        place = _place(model, problem["loc"])
        for path, law, came in _told(place, problem):
            merged = place.is_branch and law.startswith("must be ")
            lines.setdefault((path, "" if merged else law, came), []).append(law)
    return [_line(path, laws, came) for (path, _, came), laws in lines.items()]


def _line(path: str, laws: list[str], came: str) -> str:
    laws = list(dict.fromkeys(laws))
    if any(law.endswith(" number") and "whole" not in law for law in laws):
        laws = [law for law in laws if law != "must be a whole number"]
    law = " or ".join([laws[0], *(law.removeprefix("must be ") for law in laws[1:])])
    return (f"{path}: " if path else "") + law + (f" (came {came})" if came else "")


def _told(place: _Place, problem: ErrorDetails) -> Iterator[tuple[str, str, str]]:
    """(key path, law, value that came) of one of pydantic's errors."""
    context, came, path = problem.get("ctx", {}), shown(problem["input"]), key_path(place.keys)
    match problem["type"]:
        case "value_error":
            broken = context["error"]
            for key, law in broken.problems if isinstance(broken, LawError) else [("", str(broken))]:
                dot = "." if path and key and not key.startswith("[") else ""
                yield f"{path}{dot}{key}", law, ""
        case "extra_forbidden":
            *above, unknown = place.keys
            law = f"unknown key {shown(unknown)}{did_you_mean(str(unknown), _keys(place.holder))}"
            yield key_path(above), law, ""
        case "union_tag_invalid" | "union_tag_not_found":
            key = context["discriminator"].strip("'")
            words = re.findall("'([^']*)'", context.get("expected_tags", "")) or _tags(place.kind, key)
            yield key_path([*place.keys, key]), *_unknown_word(problem["input"].get(key), words)
        case "literal_error" if isinstance(problem["input"], str) and not place.is_branch:
            yield path, *_unknown_word(problem["input"], re.findall("'([^']*)'", context["expected"]))
        case "literal_error":
            yield path, "must be " + context["expected"].replace("'", '"'), came
        case "missing":
            yield path, _LAWS["missing"], ""
        case "too_short" if len(problem["input"]) >= context["min_length"]:
            pass  # the values are there; pydantic counts those without a problem of their own
        case "too_short" | "string_too_short" if context["min_length"] == 1:
            yield path, "must not be empty", ""
        case known if known in _LAWS:
            yield path, _LAWS[known].format(**context), came
        case _:
            yield path, problem["msg"][:1].lower() + problem["msg"][1:], came


def _unknown_word(came: object, words: list[str]) -> tuple[str, str]:
    """The law and the value that came, where one of a few words is due."""
    if came is None:
        return f"must be given: {listed(words)}", ""
    if isinstance(came, str):
        return f"unknown word {shown(came)}{did_you_mean(came, words)}", ""
    return f"must be {listed(words)}", shown(came)


def _place(model: type[BaseModel], location: tuple[str | int, ...]) -> _Place:
    """Follow pydantic's location through the annotations, leaving out the names of union branches."""
    keys: list[str | int] = []
    kind: Any = model
    holder: Any = None
    is_branch = False
    for part in location:
        members = _members(kind)
        is_branch = len(members) > 1
        if is_branch:
            kind = _branch(members, str(part))
        elif part != "[key]":
            keys.append(part)
            holder, kind = members[0], _below(members[0], part)
    return _Place(keys, kind, holder, is_branch)


def _members(kind: Any) -> list[Any]:
    """The kinds that a union allows besides None; a kind that is no union is its own only member."""
    if get_origin(kind) is Annotated:
        return _members(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [member for part in get_args(kind) if part is not NoneType for member in _members(part)]
    return [kind]


def _branch(members: list[Any], label: str) -> Any:
    """The member of a union that pydantic calls by its name, as in list[str], or by its tag."""
    for member in members:
        name = getattr(get_origin(member) or member, "__name__", "")
        if name == label.partition("[")[0] or label in _tags(member):
            return member
    return None


def _below(kind: Any, part: str | int) -> Any:
    """The annotation of what lies under a key or a position."""
    if part in (fields := _fields(kind)):
        return fields[part]
    inner = [member for member in get_args(kind) if member is not Ellipsis]
    return inner[-1] if inner else None


def _fields(kind: Any) -> dict[str | int, Any]:
    """Keys and annotations of a model; none of anything else."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    return {}


def _keys(kind: Any) -> list[str]:
    return [str(key) for key in _fields(kind)]


def _tags(kind: Any, key: str | None = None) -> list[str]:
    """The words that the members of a union allow for a key, or for any key."""
    return [
        str(word)
        for member in _members(kind)
        for name, annotation in _fields(member).items()
        if get_origin(annotation) is Literal and key in (None, name)
        for word in get_args(annotation)
    ]
