"""`--set section.key=value`: changes to a study from the command line."""

import copy
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spaces import shown
from spaces.space import is_hypermodel

WHERE = "--set"
_PATHS = {("data", "path"), ("data", "source"), ("space",)}  # relative to where the user stands, not to the file


class Override(NamedTuple):
    """One change: the keys from the top of the file, and the value that comes there."""

    keys: tuple[str, ...]
    value: Any

    def causes(self, problem: str) -> bool:
        """Whether a line of an error (`budget.trials: must be ...`) is about what was set here."""
        path = ".".join(self.keys)
        unknown = (
            f'{".".join(self.keys[:depth])}{": " if depth else ""}unknown key "{key}"'
            for depth, key in enumerate(self.keys)
        )
        return problem.startswith((f"{path}:", f"{path}.", f"{path}[", *unknown))


def parse(overrides: Iterable[str]) -> tuple[list[Override], list[str]]:
    """Read `section.key=value` items.

    Values are TOML (27, 0.5, true, ["a", "b"]); a bare word is text. Relative paths of data and spaces
    start in the current folder.

    Returns:
        The changes, and one line for each item that cannot be read.
    """
    changes, problems = [], []
    for item in overrides:
        name, equals, text = item.partition("=")
        keys = tuple(key.strip() for key in name.split("."))
        if equals and all(keys):
            changes.append(Override(keys, _from_here(keys, _value(text.strip()))))
        else:
            problems.append(f"must be section.key=value (came {shown(item)})")
    return changes, problems


def of_options(trials: int | None, minutes: float | None, seed: int | None) -> list[str]:
    """The items that say the same as options with names of their own; nothing for those that are None."""
    values = {"budget.trials": trials, "budget.minutes": minutes, "sampler.seed": seed}
    return [f"{key}={value}" for key, value in values.items() if value is not None]


def apply(data: Mapping[str, Any], changes: Sequence[Override]) -> tuple[dict[str, Any], list[str]]:
    """The file's tables with the changes made, later ones over earlier ones.

    Returns:
        New tables, and one line for each change whose section is no table.
    """
    changed, problems = copy.deepcopy(dict(data)), []
    for change in changes:
        *sections, last = change.keys
        table: Any = changed
        for section in sections:
            table = table.setdefault(section, {}) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table[last] = change.value
        else:
            problems.append(f"{'.'.join(change.keys)}: {'.'.join(sections)} is no table")
    return changed, problems


def _value(text: str) -> Any:
    try:
        tables = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return tables["value"] if len(tables) == 1 else text  # more than one: a line break in the text


def _from_here(keys: tuple[str, ...], value: Any) -> Any:
    if keys not in _PATHS or not isinstance(value, str):
        return value
    return str(Path(value).expanduser().absolute()) if keys[-1] == "path" or is_path(value) else value


def is_path(text: str) -> bool:
    """Whether a source of data or a space is a file or folder rather than a name."""
    suffixes = (".toml", ".npz", ".csv", ".tsv", ".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz")
    looks_so = "/" in text or "\\" in text or text.startswith(".") or text.lower().endswith((*suffixes, "-ubyte"))
    return looks_so and not is_hypermodel(text)
