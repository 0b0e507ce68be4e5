"""What it takes to run a study again: versions, seeds, the data's hash, and its two files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spaces.toml import space_to_toml, to_toml
from studies.records import StudyRecord
from studies.versions import versions as installed

_PACKAGES = ("toprung", "keras", "tensorflow", "jax", "optuna", "numpy", "scikit-learn")


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
        versions=versions or installed(_PACKAGES),
        versions_of="which trained the winner" if versions else "where this report was written",
        seeds=_seeds(study),
        data={name: _fact(value) for name, value in study.data.items() if name != "base"},  # somebody's own folder
        files={f"{name}.toml": to_toml(plan), f"{name}_space.toml": space_to_toml(study.space)},
        command=f"toprung run {name}.toml --out again --workers 1",
    )


def _fact(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _seeds(study: StudyRecord) -> dict[str, str]:
    sections = {"data split": "data", "search and training": "sampler"}
    known = {use: study.section(name).get("seed") for use, name in sections.items()}
    seeds = {use: str(seed) for use, seed in known.items() if seed is not None}
    retrained = sorted({record.seed for record in study.retrained})
    return seeds | ({"retraining": ", ".join(map(str, retrained))} if retrained else {})
