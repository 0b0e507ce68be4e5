"""Stores of other releases: those before go on, those after are refused and left as they are."""

import first_release
import pytest
from running import make_study, options, run, stored

from reports.leaderboard import leaderboard
from search.signals import StopRequest
from search.study import retrain_study
from search.telling import to_nobody
from studies.errors import StudyError
from studies.store import Store, formats, sqlite_url


@pytest.fixture
def folder(tmp_path):
    """A study file and, in `runs`, a way to make the store that an earlier run of it left."""
    make_study(tmp_path)
    (tmp_path / "runs").mkdir()
    return tmp_path


def of_first_release(folder, **attributes):
    first_release.write(folder / "runs" / "studies.db", folder, **attributes)


OVERRIDES = ("hyperband.max_resource=3", "retrain.seeds=1")


def test_a_store_of_the_first_release_is_read_in_full(folder):
    of_first_release(folder)
    record = stored(folder / "runs")
    assert [(trial.state, trial.params) for trial in record.trials] == [
        (state.lower(), params) for state, _, params in first_release.TRIALS
    ]
    assert record.trials[2].history["val_accuracy"] == (0.44, 0.52, 0.6)
    assert record.trials[2].rungs == {1: 0.44, 3: 0.6}
    assert record.trials[2].test.metrics["test_accuracy"] == 0.59
    assert list(leaderboard(record)["trial"]) == [2, 0, 1]


def test_a_study_of_the_first_release_goes_on_with_its_trials_kept(folder):
    of_first_release(folder)
    before = stored(folder / "runs")
    record = run(folder / "study.toml", folder / "runs", *OVERRIDES, "budget.trials=6")
    assert record.trials[:3] == before.trials
    assert [trial.number for trial in record.trials] == [0, 1, 2, 3, 4, 5]
    assert all(trial.finished for trial in record.trials)


def test_a_study_of_the_first_release_is_retrained_as_it_was_planned(folder):
    of_first_release(folder)
    record = retrain_study("tiny", options(folder / "runs"), 1, {"seeds": 2}, StopRequest(), to_nobody)
    assert [(again.trial, again.data) for again in record.retrained] == [(2, "train+validation")] * 2


def test_a_study_that_is_made_now_tells_its_format(tmp_path):
    run(make_study(tmp_path), tmp_path / "runs", "budget.trials=1")
    with Store.open(sqlite_url(tmp_path / "runs" / "studies.db")) as store:
        assert store.attribute("tiny", formats.KEY) == formats.CURRENT


@pytest.mark.parametrize("newer", [formats.CURRENT + 1, 0, "2.0", None])
def test_a_study_of_a_newer_release_is_refused_and_left_as_it_is(folder, newer):
    of_first_release(folder, **{formats.KEY: [newer] if newer is None else newer})
    path = folder / "runs" / "studies.db"
    before = path.read_bytes()
    with Store.open(sqlite_url(path)) as store:
        with pytest.raises(StudyError, match=r"version .* of the store's format; .*pip install -U toprung") as error:
            store.load("tiny")
        assert error.value.exit_code == 3
    with pytest.raises(StudyError, match="of the store's format") as error:
        run(folder / "study.toml", folder / "runs", *OVERRIDES, "budget.trials=6")
    assert error.value.exit_code == 3
    assert path.read_bytes() == before
