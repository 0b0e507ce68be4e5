"""Plain values as TOML text, which the standard library reads but does not write."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(table: Mapping[str, Any]) -> str:
    """The text of a file; what is None is left out, as TOML has no word for it.

    Args:
        table: Text, numbers, booleans, lists and tables of these.
    """
    return "\n".join(_lines(table, ())).strip() + "\n"


def space_to_toml(space: Mapping[str, Any]) -> str:
    """The text of a space file, a line a parameter; what says nothing is left out.

    Args:
        space: As `Space.model_dump` or `Space.canonical` has it.
    """
    told = {name: value for name, value in space.items() if name != "parameters" and value != ""}
    parameters = {key_text(name): _law(law) for name, law in (space.get("parameters") or {}).items()}
    width = max(map(len, parameters), default=0)
    lines = [f"{name:{width}} = {value_text(law)}\n" for name, law in parameters.items()]
    return to_toml(told) + ("\n[parameters]\n" + "".join(lines) if lines else "")


def key_text(key: str) -> str:
    """A key, in quotes where it needs some."""
    return key if _BARE_KEY.fullmatch(key) else value_text(key)


def value_text(value: Any) -> str:
    """A value in one line, tables too."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # JSON's strings are TOML's, but for the one control character that JSON lets through.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case Mapping():
            pairs = [f"{key_text(str(key))} = {value_text(one)}" for key, one in value.items() if one is not None]
            return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
        case list() | tuple():
            return f"[{', '.join(map(value_text, value))}]"
    return str(value)


def _law(parameter: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a parameter: its type first, its condition last."""
    told = {key: one for key, one in parameter.items() if key == "value" or not (one in (None, {}) or one is False)}
    when = {"when": told.pop("when")} if "when" in told else {}
    return {"type": told.pop("type", None), **told, **when}


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = []
    for key, value in table.items():
        if value is not None and not isinstance(value, Mapping) and not _is_tables(value):
            lines.append(f"{key_text(key)} = {value_text(value)}")
    for key, value in table.items():
        name = ".".join(map(key_text, (*path, key)))
        if isinstance(value, Mapping):
            lines += ["", f"[{name}]", *_lines(value, (*path, key))]
        elif _is_tables(value):
            for item in value:
                lines += ["", f"[[{name}]]", *_lines(item, (*path, key))]
    return lines


def _is_tables(value: Any) -> bool:
    return isinstance(value, Sequence) and bool(value) and all(isinstance(item, Mapping) for item in value)
