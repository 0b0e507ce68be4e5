"""What it takes to run a study again: versions, seeds, the data's hash, and its two files."""

from __future__ import annotations

import json
import math
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from studies.records import StudyRecord

PACKAGES = ("toprung", "keras", "tensorflow", "jax", "optuna", "numpy", "scikit-learn")


@dataclass(frozen=True, slots=True)
class Reproduction:
    """Everything a study depends on.

    Attributes:
        versions: Of Python and of packages.
        versions_of: Whose versions: those that made the winner, where they are known.
        seeds: What each seed is for, and the seed.
        data: The facts that are known about the data: hash, sizes, classes.
        files: Name to text of the study's TOML file and of its space's.
        command: What runs them.
    """

    versions: Mapping[str, str]
    versions_of: str
    seeds: Mapping[str, str]
    data: Mapping[str, str]
    files: Mapping[str, str]
    command: str


def reproduction(study: StudyRecord, versions: Mapping[str, str] | None = None) -> Reproduction:
    """What it takes to run `study` again.

    Args:
        study: What happened.
        versions: Of what made the winner; None takes those that are installed here.
    """
    name = re.sub(r"[^\w-]+", "_", study.name)
    plan = {**study.plan, "space": f"{name}_space.toml"}
    return Reproduction(
        versions=versions or {"Python": platform.python_version()} | _versions(),
        versions_of="which trained the winner" if versions else "where this report was written",
        seeds=_seeds(study),
        data={name: _fact(value) for name, value in study.data.items() if name != "base"},  # somebody's own folder
        files={f"{name}.toml": toml(plan), f"{name}_space.toml": space_toml(study.space)},
        command=f"toprung run {name}.toml --out again --workers 1",
    )


def toml(table: Mapping[str, Any]) -> str:
    """Plain values as TOML text; what is None is left out, as TOML has no word for it.

    Args:
        table: Text, numbers, booleans, lists and tables of these.
    """
    return "\n".join(_lines(table, ())).strip() + "\n"


def space_toml(space: Mapping[str, Any]) -> str:
    """A space as TOML text, a line a parameter; what says nothing is left out."""
    laws = {name: _inline(law) if isinstance(law, Mapping) else law for name, law in _laws(space).items()}
    others = {name: value for name, value in space.items() if name != "parameters"}
    lines = [f"{_key(name)} = {law if isinstance(law, str) else _value(law)}" for name, law in laws.items()]
    return toml(others) + "\n[parameters]\n" + "".join(f"{line}\n" for line in lines)


def _laws(space: Mapping[str, Any]) -> Mapping[str, Any]:
    return space.get("parameters") or {}


def _inline(law: Mapping[str, Any]) -> str:
    told = {key: value for key, value in law.items() if value is not None and value is not False and value != {}}
    told |= {"value": law["value"]} if law.get("value") is False else {}
    return _value({"type": told.pop("type", None), **told})


def _fact(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _seeds(study: StudyRecord) -> dict[str, str]:
    sections = {"data split": "data", "search and training": "sampler"}
    seeds = {use: str(study.plan[name]["seed"]) for use, name in sections.items() if _has_seed(study, name)}
    retrained = sorted({record.seed for record in study.retrained})
    return seeds | ({"retraining": ", ".join(map(str, retrained))} if retrained else {})


def _has_seed(study: StudyRecord, section: str) -> bool:
    return (study.plan.get(section) or {}).get("seed") is not None


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = []
    for key, value in table.items():
        if value is not None and not isinstance(value, Mapping) and not _is_tables(value):
            lines.append(f"{_key(key)} = {_value(value)}")
    for key, value in table.items():
        name = ".".join(map(_key, (*path, key)))
        if isinstance(value, Mapping):
            lines += ["", f"[{name}]", *_lines(value, (*path, key))]
        elif _is_tables(value):
            for item in value:
                lines += ["", f"[[{name}]]", *_lines(item, (*path, key))]
    return lines


def _is_tables(value: Any) -> bool:
    return isinstance(value, Sequence) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        pairs = [f"{_key(key)} = {_value(item)}" for key, item in value.items() if item is not None]
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(_value(item) for item in value)}]"
    # JSON's strings are TOML's, but for the one control character that JSON lets through.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
