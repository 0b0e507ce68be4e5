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
        versions: Of Python and the packages that are installed where the report is written.
        seeds: What each seed is for, and the seed.
        data: The facts that are known about the data: hash, sizes, classes.
        plan: The study's TOML file.
        space: The space's TOML file.
    """

    versions: Mapping[str, str]
    seeds: Mapping[str, str]
    data: Mapping[str, str]
    plan: str
    space: str


def reproduction(study: StudyRecord) -> Reproduction:
    """What it takes to run `study` again."""
    return Reproduction(
        versions={"Python": platform.python_version()} | _versions(),
        seeds=_seeds(study),
        data={name: str(value) for name, value in study.data.items() if not isinstance(value, Mapping)},
        plan=toml(study.plan),
        space=toml(study.space),
    )


def toml(table: Mapping[str, Any]) -> str:
    """Plain values as TOML text; what is None is left out, as TOML has no word for it.

    Args:
        table: Text, numbers, booleans, lists and tables of these.
    """
    return "\n".join(_lines(table, ())).strip() + "\n"


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
