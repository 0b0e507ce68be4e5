from collections import Counter

import pytest

from studies.store import Store, sqlite_url
from tests.benchmarks.filling import fill
from tests.benchmarks.handling import searched
from tests.benchmarks.idling import Idling, _gaps, idle
from tests.benchmarks.samples import Median, Sample, median
from tests.benchmarks.scale import Handled, Idled, stores_table, workers_table


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    out = tmp_path_factory.mktemp("filled")
    return fill(out, 30), out


def test_a_filled_store_holds_trials_as_a_search_leaves_them(filled):
    _, out = filled
    with Store.open(sqlite_url(out / "studies.db"), create=False) as store:
        study = store.load("digits")
    assert [trial.number for trial in study.trials] == list(range(30))
    assert Counter(trial.state for trial in study.trials) == {"paused": 15, "complete": 6, "pruned": 6, "failed": 3}
    for trial in study.trials:
        assert {len(curve) for curve in trial.history.values()} == {trial.epochs}
        assert trial.value == max(trial.history["val_accuracy"]) == trial.metrics["val_accuracy"]
        assert trial.rungs[27] == max(trial.history["val_accuracy"][:27])
        assert trial.params["layers"] in (1, 2, 3)


def test_the_search_in_a_filled_store_asks_reports_and_tells_for_real(filled):
    loaded, out = filled
    samples = searched(loaded, out, 2)
    assert {name: len(found) for name, found in samples.items()} == {"resume": 1, "ask": 2, "report": 2, "tell": 2}
    with Store.open(sqlite_url(out / "studies.db"), create=False) as store:
        trials = store.load("digits").trials
    assert [trial.state for trial in trials[30:]] == ["running", "paused", "paused"]
    assert Counter(trial.state for trial in trials[:30])["complete"] == 8


def test_medians_are_of_each_time_by_itself():
    found = median([Sample(3.0, 0.1), Sample(1.0, 0.3), Sample(2.0, 0.2)])
    assert found == Median(wall=2.0, worst=3.0, cpu=0.2, count=3)


def test_a_worker_loses_the_time_between_its_jobs_while_there_is_work():
    jobs = [{"began": 0.0, "ended": 1.0}, {"began": 1.5, "ended": 2.0}, {"began": 4.0, "ended": 5.0}]
    assert _gaps(jobs, until=9.0) == 2.5
    assert _gaps(jobs, until=1.2) == 0.5


@pytest.mark.slow
def test_a_search_with_sleeping_workers_tells_what_they_lost():
    found = idle(workers=2, epoch_seconds=0.0, trials=4)
    assert found.epochs >= 4
    assert found.cpu_per_epoch > 0
    assert 0 <= found.lost < 1


def test_tables_have_a_column_a_size_and_a_line_a_number_of_workers():
    figures = {"ask": Median(0.02, 0.03, 0.01, 5)}
    table = stores_table([Handled(100, 0.5, figures), Handled(1000, 0.5, figures)])
    assert table.splitlines()[2] == "| ask | 20.0 / 10.0 | 20.0 / 10.0 |"
    assert "1,000 trials" in table.splitlines()[0]
    runs = [
        Idled(workers, 0.05, 0.5, Idling(100, 0.002, lost, 0.04)) for workers in (1, 2) for lost in (0.01, 0.03, 0.02)
    ]
    assert workers_table(runs).splitlines()[2:] == [
        "| 1 | 50 | 100 | 2.00 | 2.0 % | 4.0 % |",
        "| 2 | 50 | 100 | 2.00 | 2.0 % | 4.0 % |",
    ]
