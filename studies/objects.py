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
        study: A plan, or the tables of a study file; or the path or the name of one, of which enqueued params are left
            out: they are of the space that is replaced.
        space: A space, its tables, or a path or a name of the catalog; None for the one that the study names.
        overrides: See `load_study`.
    Raises:
        InputError: All problems at once.
    """
    tables, place = _tables(study)
    given: Space | None = None
    if isinstance(space, str | Path):
        tables = {**tables, "space": str(space)}
    elif space is not None:
        tables, given = {**tables, "space": GIVEN}, _space(space)
    changes, problems = command_line.parse(overrides)
    changed, misplaced = command_line.apply(plain(tables), changes)
    if problems or misplaced:
        raise InputError(command_line.WHERE, problems + misplaced)
    return study_from(changed, place, given)


def _tables(study: str | Path | Mapping[str, Any] | StudyPlan) -> tuple[Mapping[str, Any], Path]:
    """The tables of a study, and the path that its relative paths start beside."""
    if isinstance(study, str | Path):
        path = find("study", str(study), CATALOG)
        return {**read_toml(path), "enqueue": []}, path
    tables = study.model_dump(mode="json", exclude_unset=True) if isinstance(study, StudyPlan) else study
    if not isinstance(tables, Mapping):
        raise InputError("study", [f"must be a file, a name, tables or a plan (came {shown(tables)})"])
    return tables, Path.cwd() / "study"


def _space(space: Mapping[str, Any] | Space) -> Space:
    found = validate(Space, plain(space), "space") if isinstance(space, Mapping) else space
    if not isinstance(found, Space):
        raise InputError("space", [f"must be a file, a name, tables or a space (came {shown(space)})"])
    return found
