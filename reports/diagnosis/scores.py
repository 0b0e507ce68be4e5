"""How good predictions are, class by class: counts, the scores that follow from them, and what confidence is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True, slots=True)
class Average:
    """Scores of all classes in one: precision, recall and F1, from 0 to 1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, eq=False, slots=True)
class ClassScores:
    """Scores class by class, each of shape (classes,).

    With TP examples of a class that were predicted as such, FP of others predicted as it and FN of it predicted as
    others: precision = TP / (TP + FP), recall = TP / (TP + FN), F1 = 2 TP / (2 TP + FP + FN), the harmonic mean of
    both. What would divide by zero is 0, as with scikit-learn's `zero_division=0`.

    Attributes:
        precision: Of what was predicted as the class, the share that was.
        recall: Of the class, the share that was found.
        f1: Their harmonic mean.
        support: Examples of the class.
    Source:
        van Rijsbergen (1979), Information Retrieval, chapter 7; Sokolova and Lapalme (2009),
        doi:10.1016/j.ipm.2009.03.002, table 3.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]

    @property
    def macro(self) -> Average:
        """The mean over classes: each counts the same, however rare."""
        return Average(float(self.precision.mean()), float(self.recall.mean()), float(self.f1.mean()))

    @property
    def weighted(self) -> Average:
        """The mean over classes, each weighted by its support."""
        means = (float(np.average(x, weights=self.support)) for x in (self.precision, self.recall, self.f1))
        return Average(*means)

    @property
    def worst(self) -> int:
        """The class with the lowest F1, the first of equals; one without examples only where there is no other."""
        return int(np.argmin(np.where(self.support > 0, self.f1, np.inf)))


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """Examples of one class that were taken for another.

    Attributes:
        true: Their class.
        predicted: What they were taken for.
        count: How many.
        share: Of the examples of the true class, from 0 to 1.
    """

    true: int
    predicted: int
    count: int
    share: float


@dataclass(frozen=True, eq=False, slots=True)
class Calibration:
    """Whether predictions are right as often as they claim to be.

    Attributes:
        rows: Shape (bins,): predictions whose confidence is in the bin.
        confidence: Shape (bins,): their mean confidence; NaN in an empty bin.
        accuracy: Shape (bins,): the share of them that is right; NaN in an empty bin.
        error: The expected calibration error: the mean of |accuracy - confidence| over bins, weighted by rows.
    """

    rows: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    error: float


def confusion_matrix(labels: NDArray[Any], predicted: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Counts of shape (classes, classes): rows are true classes, columns what they were predicted as."""
    pairs = labels.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def class_scores(matrix: NDArray[np.int64]) -> ClassScores:
    """Precision, recall, F1 and support of each class of a confusion matrix."""
    hits, support, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    return ClassScores(
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, support + predicted),
        support=support,
    )


def confused_pairs(matrix: NDArray[np.int64], top: int) -> list[ConfusedPair]:
    """The pairs that were confused most often, at most `top`; equal counts in the order of classes."""
    wrong = matrix - np.diag(matrix.diagonal())
    shares = _ratio(wrong, matrix.sum(axis=1, keepdims=True))
    order = np.argsort(-wrong, axis=None, kind="stable")[:top]
    places = zip(*(axis.tolist() for axis in np.unravel_index(order, wrong.shape)), strict=True)
    return [ConfusedPair(t, p, int(wrong[t, p]), float(shares[t, p])) for t, p in places if wrong[t, p]]


def calibration(confidence: NDArray[Any], right: NDArray[np.bool_], bins: int = BINS) -> Calibration:
    """Accuracy against confidence in bins of equal width, and the expected calibration error.

    Args:
        confidence: Shape (n,): the probability of the predicted class.
        right: Shape (n,): whether it was the true one.
        bins: Bin m of M holds confidences in ((m - 1) / M, m / M].
    Source:
        Guo et al. (2017), On Calibration of Modern Neural Networks, arXiv:1706.04599, section 2 (with M = 15), after
        Naeini et al. (2015), doi:10.1609/aaai.v29i1.9602.
    """
    place = np.clip(np.ceil(confidence.astype(np.float64) * bins).astype(np.int64) - 1, 0, bins - 1)
    rows = np.bincount(place, minlength=bins)
    claimed, kept = (np.bincount(place, weights=values, minlength=bins) for values in (confidence, right))
    error = float(np.abs(kept - claimed).sum() / len(confidence))
    empty = np.where(rows > 0, rows, np.nan)
    return Calibration(rows.astype(np.int64), claimed / empty, kept / empty, error)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(np.broadcast_shapes(part.shape, whole.shape)), where=whole > 0)
