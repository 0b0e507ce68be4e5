"""Whose files a study's folder holds."""

import pytest
from running import make_study, options, run, stored

from search.errors import SearchError
from search.folder import remove_study
from search.signals import StopRequest
from search.study import run_study
from search.telling import to_nobody
from studies.files import sqlite_url
from studies.locks import FileLock
from studies.plan import load_study

SMALL = ("budget.trials=3", "hyperband.max_resource=3", "retrain.seeds=1")


@pytest.fixture
def folder(tmp_path):
    """Of a study that has been run."""
    run(make_study(tmp_path), tmp_path / "runs", *SMALL)
    return tmp_path / "runs" / "tiny"


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def run_in_another_store(folder, *changes):
    """The same study in the same folder of runs, by another store."""
    where = options(folder.parent)
    other = type(where)(where.out, sqlite_url(folder.parent / "other.db"), worker_command=where.worker_command)
    study = load_study(str(folder.parent.parent / "study.toml"), [*SMALL, *changes])
    return run_study(study, other, StopRequest(), to_nobody)


def test_a_run_writes_nothing_over_the_files_of_another_stores_study(folder):
    before = files(folder)
    with pytest.raises(SearchError, match=r'tiny: holds files of another study "tiny", of another store or deleted'):
        run_in_another_store(folder)
    assert {path: data for path, data in files(folder).items() if path.parent.name != "workers"} == {
        path: data for path, data in before.items() if path.parent.name != "workers"
    }
    assert not (folder.parent / "other.db").exists()


def test_checkpoints_of_a_study_that_was_deleted_are_not_taken(folder):
    (folder.parent / "studies.db").unlink()
    with pytest.raises(SearchError, match="move or delete it"):
        run(folder.parent.parent / "study.toml", folder.parent, *SMALL, "data.seed=1")


def test_a_study_goes_on_in_a_folder_that_does_not_say_whose_it_is(folder):
    (folder / ".study").unlink()
    record = run(folder.parent.parent / "study.toml", folder.parent, *SMALL, "budget.trials=4")
    assert len(record.trials) == 4
    assert (folder / ".study").read_text() == record.uuid


def test_a_study_is_removed_with_its_own_folder_only(folder, tmp_path):
    made = tmp_path / "elsewhere"
    run(tmp_path / "study.toml", made, *SMALL)
    remove_study(options(made).store, "tiny", folder)
    assert (folder / "best.keras").exists()
    remove_study(options(folder.parent).store, "tiny", folder)
    assert not folder.exists()


def test_a_study_that_is_run_is_not_removed(folder):
    with FileLock(folder / ".lock").take(), pytest.raises(SearchError, match="is run by") as refused:
        remove_study(options(folder.parent).store, "tiny", folder)
    assert refused.value.exit_code == 3
    assert len(stored(folder.parent).trials) == 3


def test_the_test_split_that_a_killed_run_left_open_is_closed(folder):
    (folder / "sealed").mkdir()
    (folder / "sealed" / "x.npy").write_bytes(b"x")
    seen = []

    def observe(kind, **fields):
        if kind == "rung":
            seen.append((folder / "sealed").exists())

    run(folder.parent.parent / "study.toml", folder.parent, *SMALL, "budget.trials=4", observe=observe)
    assert seen
    assert not any(seen)
