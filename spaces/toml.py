"""A space as the text of a space file."""

import json
import re
from collections.abc import Mapping
from typing import Any

from spaces.parameters import Parameter
from spaces.space import Space

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(space: Space) -> str:
    """The text of a file that `load_space` reads as the same space, a line a parameter."""
    tables = {name: _table(parameter) for name, parameter in space.parameters.items()}
    keys = {name: _key(name) for name in tables}
    width = max(map(len, keys.values()), default=0)
    head = [f"description = {_value(space.description)}"] if space.description else []
    lines = [*head, f"model = {_value(space.model)}"]
    if tables:
        lines += ["", "[parameters]"]
    lines += [f"{keys[name]:{width}} = {_value(table)}" for name, table in tables.items()]
    return "\n".join(lines) + "\n"


def _table(parameter: Parameter) -> dict[str, Any]:
    told = parameter.model_dump(mode="json", exclude_defaults=True)
    when = {"when": told.pop("when")} if "when" in told else {}
    return {"type": parameter.type, **told, **when}


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
