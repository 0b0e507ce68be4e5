"""What is kept of a chosen classifier: its predictions on the test split, a few samples, its weights in short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.diagnosis.convergence import AccuracyGap, Convergence, accuracy_gap, convergence
from reports.diagnosis.scores import Calibration, ClassScores, calibration, class_scores, confusion_matrix


@dataclass(frozen=True, eq=False, slots=True)
class Samples:
    """Rows of the test split that are shown.

    Attributes:
        rows: Shape (k,): their numbers in the test split.
        inputs: Shape (k, ...): what the model was given; None where it was not kept.
    """

    rows: NDArray[np.int64]
    inputs: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class ModelLayer:
    """A layer of a model.

    Attributes:
        name: Its own name.
        kind: What it is, with its settings: "Dropout 0.3".
        output: The shape of what it gives, "16 x 16 x 64"; empty where it is not known.
        weights: How many it has.
    """

    name: str
    kind: str
    output: str
    weights: int


@dataclass(frozen=True, slots=True)
class WeightStatistics:
    """One array of weights.

    Attributes:
        layer: Name of its layer.
        name: Its own name: "kernel", "bias", "gamma", ...
        shape: Of the array.
        mean: Of its numbers.
        deviation: Their standard deviation (that of the population: divided by their count).
    """

    layer: str
    name: str
    shape: tuple[int, ...]
    mean: float
    deviation: float

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, eq=False, slots=True)
class FirstWeights:
    """Kernels of the layer that sees the images, as images.

    Attributes:
        layer: Name of the layer.
        units: How many filters or units it has.
        shown: Shape (k,): which of them are kept.
        images: Shape (k, height, width), or (k, height, width, 3) for colour; weights, not pixels.
    """

    layer: str
    units: int
    shown: NDArray[np.int64]
    images: NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class Boundary:
    """What a model predicts over the plane of two inputs.

    Attributes:
        x: Shape (side,): values of the first input.
        y: Shape (side,): values of the second.
        predicted: Shape (side, side): the class at (y, x).
        confidence: Shape (side, side), float16: the probability of that class.
        points: Shape (k, 2): the first k rows of the test split.
        names: What the two inputs are called; empty where they have no names.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    predicted: NDArray[np.int32]
    confidence: NDArray[np.float16]
    points: NDArray[np.float32]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """A classifier and what it does on the test split.

    Attributes:
        class_names: Of the labels 0, 1, ...
        labels: Shape (n,), int32: the true classes.
        predicted: Shape (n,), int32.
        confidence: Shape (n,), float32: the probability of the predicted class.
        probabilities: Shape (n, classes), float16: rounded, for a closer look.
        right: Samples whose prediction was right.
        wrong: Samples whose prediction was wrong.
        subject: Which model it is, in a few words.
        model: Its layers in their order, those without weights too; empty where they are not known.
        layers: Every array of weights in short, in the order of layers.
        first_weights: None where they are no images.
        splits: Split to examples of each class: {"training": (48, 52), ...}; the test split is not among them.
        history: Each metric's values, one a completed epoch; of the training that the curves show.
        best_epoch: The epoch whose weights were kept, from 1; None for the last.
        boundary: Where the inputs are points of a plane.
        examples: The first sample of each class, whatever was predicted of it; None of many classes.
        scale: With `offset`: the model computes x * scale + offset first; one number, or one a last-axis entry.
        offset: See `scale`.
    """

    class_names: tuple[str, ...]
    labels: NDArray[np.int32]
    predicted: NDArray[np.int32]
    confidence: NDArray[np.float32]
    probabilities: NDArray[np.float16]
    right: Samples
    wrong: Samples
    subject: str = ""
    model: tuple[ModelLayer, ...] = ()
    layers: tuple[WeightStatistics, ...] = ()
    first_weights: FirstWeights | None = None
    splits: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    history: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    best_epoch: int | None = None
    boundary: Boundary | None = None
    examples: Samples | None = None
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        problem = next((text for is_so, text in self._laws() if not is_so), None)
        if problem:
            raise ValueError(problem)

    def _laws(self) -> list[tuple[bool, str]]:
        rows, classes = self.labels.shape, len(self.class_names)
        return [
            (classes >= 2, f"class_names must name at least two classes ({classes} came)"),
            (len(rows) == 1 and rows[0] > 0, f"labels must have shape (n,), n above 0 (shape {rows})"),
            (_within(self.labels, classes), f"labels must be from 0 to {classes - 1}"),
            (self.predicted.shape == rows, f"predicted must have shape {rows} (shape {self.predicted.shape})"),
            (_within(self.predicted, classes), f"predicted must be from 0 to {classes - 1}"),
            (self.confidence.shape == rows, f"confidence must have shape {rows} (shape {self.confidence.shape})"),
            (
                self.probabilities.shape == (*rows, classes),
                f"probabilities must have shape {(*rows, classes)} (shape {self.probabilities.shape})",
            ),
            (
                all(_within(one.rows, rows[0]) for one in (self.right, self.wrong)),
                f"samples must be rows from 0 to {rows[0] - 1}",
            ),
            (
                self.best_epoch is None or self.best_epoch >= 1,
                f"best_epoch must be at least 1 ({self.best_epoch} came)",
            ),
            (
                all(len(counts) == classes for counts in self.splits.values()),
                f"splits must count each of the {classes} classes",
            ),
        ]

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Shape (n,): where the prediction was right."""
        hits: NDArray[np.bool_] = self.predicted == self.labels
        return hits

    @property
    def accuracy(self) -> float:
        """The share of right predictions."""
        return float(self.hits.mean())

    @cached_property
    def matrix(self) -> NDArray[np.int64]:
        """The confusion matrix, shape (classes, classes): rows are true classes, columns predictions."""
        return confusion_matrix(self.labels, self.predicted, len(self.class_names))

    @cached_property
    def scores(self) -> ClassScores:
        """Precision, recall, F1 and support of each class, and their averages."""
        return class_scores(self.matrix)

    @cached_property
    def calibration(self) -> Calibration:
        """Confidence against accuracy, and the expected calibration error."""
        return calibration(self.confidence, self.hits)

    @property
    def confidence_right(self) -> float | None:
        """Mean confidence of the right predictions; None where there are none."""
        return _mean(self.confidence[self.hits])

    @property
    def confidence_wrong(self) -> float | None:
        """Mean confidence of the wrong predictions; None where there are none."""
        return _mean(self.confidence[~self.hits])

    @property
    def convergence(self) -> Convergence | None:
        """Whether the loss has converged; None where the history is too short to tell."""
        return convergence(self.history)

    @property
    def accuracy_gap(self) -> AccuracyGap | None:
        """Training against validation accuracy at the best epoch; None where one was not measured."""
        sizes = [sum(self.splits.get(name, ())) for name in ("training", "validation")]
        return accuracy_gap(self.history, self.best_epoch, (sizes[0], sizes[1]) if all(sizes) else None)


def _within(numbers: NDArray[Any], limit: int) -> bool:
    return not numbers.size or bool(numbers.min() >= 0 and numbers.max() < limit)


def _mean(values: NDArray[np.float32]) -> float | None:
    return float(values.mean(dtype=np.float64)) if values.size else None
