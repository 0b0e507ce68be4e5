import ast
import math
from pathlib import Path

import numpy as np
import pytest

from search.blobs import FolderBlobs
from search.datasets import open_source
from search.errands import Crew
from search.errors import SearchError
from search.evaluation import Candidate, TestSplit, _test_score, opened_test_split, score
from search.messages import EVENTS, JobDone, Task
from search.pool import Pool
from studies.plan import DataPlan
from studies.records import TestScore

ROOT = Path(__file__).parent.parent
TRAINED_ON = np.zeros((1, 2, 2), np.uint8)


@pytest.fixture
def plan(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 2, 2), dtype=np.uint8), np.arange(40) % 2
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x[:10], y_test=y[:10])
    return DataPlan(source="d.npz")


def test_one_module_alone_knows_how_to_open_the_test_split():
    users = []
    for path in ROOT.glob("*/**/*.py"):
        if path.is_relative_to(ROOT / "tests") or "datasets" in path.parts or ".venv" in path.parts:
            continue
        names = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        users += [path.name for node in names if "test_split" in {alias.name for alias in node.names}]
    assert users == ["evaluation.py"]


def test_what_workers_run_never_imports_evaluation():
    for name in ("worker", "training", "checkpoints", "blobs", "messages", "progress"):
        tree = ast.parse((ROOT / "search" / f"{name}.py").read_text())
        modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert not {"search.evaluation", "search.datasets", "search.open_run", "search.study"} & set(modules)


def test_the_arrays_lie_in_the_folder_only_while_the_split_is_open(tmp_path, plan):
    blobs = FolderBlobs(tmp_path / "runs")
    with opened_test_split(open_source(plan, tmp_path), plan, blobs, TRAINED_ON, None) as test:
        assert test.rows == len(blobs.array("sealed/y.npy")) == 10
    assert blobs.keys("sealed") == []


def test_they_are_taken_away_when_scoring_fails(tmp_path, plan):
    blobs = FolderBlobs(tmp_path / "runs")
    with pytest.raises(RuntimeError), opened_test_split(open_source(plan, tmp_path), plan, blobs, TRAINED_ON, None):
        raise RuntimeError
    assert blobs.keys("sealed") == []


def test_a_test_metric_that_is_no_finite_number_is_left_out():
    candidate = Candidate("structure", Task(trial=0, folder="trials/00000", params={}, seed=0), 1, 0.9)
    metrics = {"loss": math.inf, "f1": math.nan, "accuracy": 0.8}
    assert _test_score(candidate, metrics, 10, 10).metrics == {"test_accuracy": 0.8}
    assert _test_score(candidate, {"accuracy": math.nan}, 10, 10) == TestScore({})


def test_a_worker_can_tell_of_a_metric_that_is_no_finite_number():
    done = EVENTS.validate_json(JobDone(metrics={"loss": math.inf, "f1": math.nan}).model_dump_json())
    assert done.metrics["loss"] == math.inf
    assert math.isnan(done.metrics["f1"])


def test_another_test_split_than_the_one_opened_before_is_refused(tmp_path, plan):
    source, blobs = open_source(plan, tmp_path), FolderBlobs(tmp_path / "runs")
    with opened_test_split(source, plan, blobs, TRAINED_ON, None) as test:
        pass
    with opened_test_split(source, plan, blobs, TRAINED_ON, test.hash):
        pass
    with pytest.raises(SearchError, match="not the one that was opened before"):  # noqa: SIM117
        with opened_test_split(source, plan, blobs, TRAINED_ON, "0" * 64):
            pass


def test_a_test_split_of_other_rows_than_those_of_training_is_refused(tmp_path, plan):
    blobs, brighter = FolderBlobs(tmp_path / "runs"), np.array([[[0, 1], [2, 300]]] * 2)
    law = r"^data: the test split must have rows of the shape \(5,\), as in training \(rows of shape \(2, 2\) came\)$"
    with pytest.raises(SearchError, match=law):  # noqa: SIM117
        with opened_test_split(open_source(plan, tmp_path), plan, blobs, np.zeros((1, 5)), None):
            pass
    np.savez(tmp_path / "d.npz", x_train=TRAINED_ON, y_train=[0, 1], x_test=brighter, y_test=[0, 1])
    law = r"^data: the test split must hold whole numbers from 0 to 255, as in training \(0 to 300 came\)$"
    with pytest.raises(SearchError, match=law):  # noqa: SIM117
        with opened_test_split(open_source(plan, tmp_path), plan, blobs, TRAINED_ON, None):
            pass
    assert blobs.keys("sealed") == []


class Scorer:
    """A worker that finds every second row of a split predicted right."""

    def __init__(self, post):
        self._post = post

    def send(self, order):
        self._post(JobDone(metrics={"accuracy": 0.5, "loss": 0.7}))


def test_a_score_s_gap_and_its_error_take_each_split_at_its_own_size():
    task = Task(trial=0, folder="trials/00000", params={}, seed=1)
    pool, candidate = Pool(lambda slot, post: Scorer(post), 1), Candidate("s", task, 3, val_accuracy=0.8)
    (found,) = score([candidate], TestSplit(6, "hash"), 10, Crew(pool))
    assert found.metrics == {"test_accuracy": 0.5, "test_loss": 0.7}
    assert found.gap == pytest.approx(0.3)
    # p1 = 9/12, p2 = 4/8: sqrt(0.75 * 0.25 / 12 + 0.5 * 0.5 / 8) = sqrt(0.015625 + 0.03125)
    assert found.gap_se == pytest.approx(math.sqrt(0.046875))
