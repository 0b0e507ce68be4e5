"""The one door to the test split: opened after the search, for trials whose weights are final.

Trials never see these arrays. They lie in the run's folder only while weights are being scored, and what they
say is written down beside the trials; it never chooses anything.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.gaps import Gap, gap_from_rates
from search.blobs import SEALED, Blobs
from search.datasets import Source, test_split
from search.errands import Crew, run_errands
from search.errors import SearchError
from search.messages import EvaluateJob, PredictJob, Task
from search.pool import Pool
from studies.plan import DataPlan
from studies.records import TestScore


@dataclass(frozen=True)
class Candidate:
    """Final weights that are to be scored.

    Attributes:
        structure: Key of the compiled program.
        task: The trial, with the folder of its weights.
        best_epoch: The epoch of the weights.
        val_accuracy: On the validation split; None where it was trained on.
    """

    structure: str
    task: Task
    best_epoch: int
    val_accuracy: float | None

    @property
    def weights(self) -> dict[str, Any]:
        """What a `WeightsJob` has to say of them."""
        return {"structure": self.structure, "task": self.task, "best_epoch": self.best_epoch}


@dataclass(frozen=True)
class TestSplit:
    """The test split while it is open.

    Attributes:
        rows: Its size.
        hash: sha256 of its arrays.
    """

    __test__ = False  # its name begins with "Test": pytest would collect it

    rows: int
    hash: str


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model makes of the test split.

    Attributes:
        x: The rows.
        labels: Shape (rows,).
        probabilities: Shape (rows, classes).
        grid: Shape (points, classes), of points in the plane of rows with two numbers; None for other rows.
        weights: Layer, weight and values.
        layers: Name, kind, shape of the output and number of weights of each.
    """

    x: NDArray[Any]
    labels: NDArray[np.int32]
    probabilities: NDArray[Any]
    grid: NDArray[Any] | None
    weights: list[tuple[str, str, NDArray[Any]]]
    layers: list[tuple[str, str, str, int]]


@contextmanager
def opened_test_split(
    source: Source, plan: DataPlan, blobs: Blobs, trained_on: NDArray[Any], expected_hash: str | None
) -> Iterator[TestSplit]:
    """Put the test split where workers can evaluate weights on it, and take it away afterwards.

    Args:
        source: Has it.
        plan: Says how it is cut off.
        blobs: Where it is put.
        trained_on: The rows of the training split, shape (rows, ...).
        expected_hash: Of the split when it was opened before; None if it wasn't.
    Raises:
        SearchError: It is not the split that was opened before, or its rows have another shape or are no
            pixels where those are (exit code 2).
    """
    arrays = test_split(source, plan)
    if arrays.x.shape[1:] != trained_on.shape[1:]:
        law = f"must have rows of the shape {trained_on.shape[1:]}, as in training"
        raise SearchError(f"data: the test split {law} (rows of shape {arrays.x.shape[1:]} came)")
    if trained_on.dtype == np.uint8 != arrays.x.dtype:  # a model casts what it is given to bytes: 300 would be 44
        came = f"{arrays.x.min():g} to {arrays.x.max():g} came"
        raise SearchError(f"data: the test split must hold whole numbers from 0 to 255, as in training ({came})")
    digest = hashlib.sha256(arrays.x.tobytes() + arrays.y.tobytes()).hexdigest()
    if expected_hash not in (None, digest):
        raise SearchError(
            f"data: the test split is not the one that was opened before (sha256 {digest[:12]}); "
            f"it was {str(expected_hash)[:12]}: restore the file, or give the study another name"
        )
    try:
        blobs.put_array(f"{SEALED}/x.npy", arrays.x)
        blobs.put_array(f"{SEALED}/y.npy", arrays.y)
        yield TestSplit(len(arrays.y), digest)
    finally:
        blobs.delete(SEALED)


def score(candidates: Sequence[Candidate], test: TestSplit, n_validation: int, crew: Crew) -> list[TestScore]:
    """Score final weights on the open test split; one score a candidate, in order."""
    jobs = [EvaluateJob(**one.weights, x=f"{SEALED}/x.npy", y=f"{SEALED}/y.npy") for one in candidates]
    errands = run_errands(crew, jobs)
    return [
        _test_score(candidate, errand.done.metrics, test.rows, n_validation)
        for candidate, errand in zip(candidates, errands, strict=True)
    ]


def predictions(
    winner: Candidate, pool: Pool, blobs: Blobs, grid: Callable[[NDArray[Any]], NDArray[Any]]
) -> Predictions:
    """What a model makes of the open test split.

    Args:
        winner: Its weights.
        pool: Who computes.
        blobs: Where the split lies.
        grid: From rows of shape (rows, 2) to points of their plane, which the model is asked about as well.
    """
    x, y = np.array(blobs.array(f"{SEALED}/x.npy")), np.array(blobs.array(f"{SEALED}/y.npy"))
    found = _predicted(winner, pool, blobs, "x")
    weights = [(str(layer), str(name), found[f"weight:{place}"]) for place, (layer, name) in enumerate(found["names"])]
    of_grid = None
    if x.shape[1:] == (2,):
        blobs.put_array(f"{SEALED}/grid.npy", grid(x))
        of_grid = _predicted(winner, pool, blobs, "grid")["probabilities"]
    layers = [(name, kind, output, int(count)) for name, kind, output, count in found["layers"].tolist()]
    return Predictions(x, y, found["probabilities"], of_grid, weights, layers)


def _predicted(winner: Candidate, pool: Pool, blobs: Blobs, name: str) -> dict[str, NDArray[Any]]:
    job = PredictJob(**winner.weights, x=f"{SEALED}/{name}.npy", output=f"{SEALED}/predicted.npz")
    run_errands(Crew(pool), [job])
    with np.load(io.BytesIO(blobs.get(job.output)), allow_pickle=False) as file:
        return dict(file)


def _test_score(candidate: Candidate, metrics: dict[str, float], n_test: int, n_validation: int) -> TestScore:
    # A row of the test split may be too much for the model; JSON has no word for what comes out then.
    named = {f"test_{name}": value for name, value in metrics.items() if math.isfinite(value)}
    gap = _gap(candidate.val_accuracy, n_validation, named.get("test_accuracy"), n_test)
    if gap is None:
        return TestScore(metrics=named)
    return TestScore(metrics=named, gap=gap.value, gap_se=gap.standard_error)


def _gap(val_accuracy: float | None, n_validation: int, test_accuracy: float | None, n_test: int) -> Gap | None:
    if val_accuracy is None or test_accuracy is None:
        return None
    return gap_from_rates(val_accuracy, n_validation, test_accuracy, n_test)
