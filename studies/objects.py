"""A study from Python objects: a plan or tables, and a space, instead of files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spaces import InputError, Space, find, read_toml, shown, validate
from spaces.parameters import plain
from studies import overrides as command_line
from studies.plan import CATALOG, GIVEN, LoadedStudy, StudyPlan, study_from


def study_of(
    study: str | Path | Mapping[str, Any] | StudyPlan,
    space: str | Path | Mapping[str, Any] | Space | None = None,
    overrides: Sequence[str] = (),
) -> LoadedStudy:
    """A study from Python objects, checked as a file is; relative paths in it start in the current folder.

    Args:
        study: A plan, or the tables of a study file; or one's path or name, whose enqueued params go with its space.
        space: A space, its tables, or a path or a name of the catalog; None for the one that the study names.
        overrides: See `load_study`.
    Raises:
        InputError: All problems at once.
    """
    place, tables = Path.cwd() / "study", study
    if isinstance(study, str | Path):
        place = find("study", str(study), CATALOG)
        tables = {**read_toml(place), "enqueue": []}
    elif isinstance(study, StudyPlan):
        tables = study.model_dump(mode="json", exclude_unset=True)
    if not isinstance(tables, Mapping):
        raise InputError("study", [f"must be a file, a name, tables or a plan (came {shown(tables)})"])
    if isinstance(space, str | Path):
        tables, space = {**tables, "space": str(space)}, None
    elif space is not None:
        tables = {**tables, "space": GIVEN}
    if isinstance(space, Mapping):
        space = validate(Space, plain(space), "space")
    if space is not None and not isinstance(space, Space):
        raise InputError("space", [f"must be a file, a name, tables or a space (came {shown(space)})"])
    changes, problems = command_line.parse(overrides)
    changed, misplaced = command_line.apply(plain(tables), changes)
    if problems or misplaced:
        raise InputError(command_line.WHERE, problems + misplaced)
    return study_from(changed, place, space)
