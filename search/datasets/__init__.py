"""Data sets: one file a kind of source, all of which end in `SearchSplits`; none of them imports Keras.

Example:
    source = open_source(plan.data, base=study.path.parent)
    splits = search_splits(source, plan.data)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from search.datasets.arrays import Arrays, Rescale, Source
from search.datasets.cifar import is_cifar, read_cifar
from search.datasets.generated import digits, xor
from search.datasets.idx import is_idx, prefix_of, read_idx
from search.datasets.images import images
from search.datasets.known import KNOWN, locate
from search.datasets.npz import read_npz
from search.datasets.splits import SearchSplits, search_splits, test_split
from search.datasets.subset import subset
from search.datasets.tables import read_csv
from search.datasets.trees import ARCHIVES, open_tree
from search.errors import SearchError
from spaces.errors import shown

if TYPE_CHECKING:
    from studies.plan import DataPlan

__all__ = [
    "Arrays",
    "Rescale",
    "SearchSplits",
    "Source",
    "open_source",
    "search_splits",
    "test_split",
]

_EMBEDDED = ("digits", "xor")
_FORMS = f".npz, .csv, .tsv, {', '.join(ARCHIVES)}, IDX files, or a folder of images by class or of CIFAR batches"


def open_source(plan: DataPlan, base: Path) -> Source:
    """The source that a study names, with the classes it asks for.

    Args:
        plan: The study's data section.
        base: What relative paths start from: the folder of the study's file.
    Raises:
        SearchError: Nothing of that name, no such file, or a file that cannot be used.
    """
    source = _opened(plan, base)
    return source if plan.classes is None else subset(source, plan.classes)


def _opened(plan: DataPlan, base: Path) -> Source:
    if plan.source in _EMBEDDED:
        if plan.path is not None:
            raise SearchError(f"data.path: {plan.source} needs no file (came {shown(plan.path)})")
        _refuse_target(plan.target, plan.source)
        return digits() if plan.source == "digits" else xor(plan.seed)
    names = KNOWN[plan.source].class_names if plan.source in KNOWN else None
    return _from_path(_place(plan, base), names, plan.target)


def _place(plan: DataPlan, base: Path) -> Path:
    """Where the data lies: the path that is given, a known data set's, or the source taken as a path."""
    if plan.path is not None:
        place = base / Path(plan.path).expanduser()
    elif plan.source in KNOWN:
        place = locate(plan.source)
    else:
        place = base / Path(plan.source).expanduser()
    if not place.exists():
        key, came = ("source", plan.source) if plan.path is None else ("path", plan.path)
        raise SearchError(f"data.{key}: no such file or folder ({shown(came)} came; {place} is not there)")
    return place


def _from_path(path: Path, class_names: Sequence[str] | None, target: str | None) -> Source:
    """The source for what lies at a path, by its ending or by the files in it."""
    name = path.name.lower()
    if name.endswith((".csv", ".tsv")):
        return read_csv(path, target)
    _refuse_target(target, path)
    if name.endswith(".npz"):
        return read_npz(path, class_names)
    prefix = None
    if path.is_file() and is_idx(path.name):
        prefix, path = prefix_of(path.name), path.parent
    elif not path.is_dir() and not name.endswith(ARCHIVES):
        raise SearchError(f"{path}: unknown kind of file; readable are {_FORMS}")
    tree = open_tree(path)
    if is_cifar(tree.names):
        return read_cifar(tree)
    if any(is_idx(name) for name in tree.names):
        return read_idx(tree, class_names, prefix)
    return images(tree)


def _refuse_target(target: str | None, source: str | Path) -> None:
    if target is not None:
        raise SearchError(f"data.target: is for a CSV file, not for {source}; leave it out")
