"""From plain arrays to a diagnosis: what is worth keeping of predictions, samples, weights and a training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.diagnosis.values import Boundary, Diagnosis, FirstWeights, ModelLayer, Samples, WeightStatistics

MOST_SAMPLES = 12
MOST_EXAMPLES = 24
MOST_FIRST_WEIGHTS = 64
MOST_POINTS = 500
SIDE = 120
ROUNDING = 1e-3

NamedWeights = Iterable[tuple[str, str, NDArray[Any]]]


def diagnose(
    labels: NDArray[Any],
    probabilities: NDArray[Any],
    class_names: Sequence[str],
    inputs: NDArray[Any] | None = None,
    weights: NamedWeights = (),
    model: Iterable[tuple[str, str, str, int]] = (),
    *,
    history: Mapping[str, Sequence[float]] | None = None,
    best_epoch: int | None = None,
    splits: Mapping[str, NDArray[Any]] | None = None,
    grid_probabilities: NDArray[Any] | None = None,
    input_names: Sequence[str] = (),
    scale: float | Sequence[float] = 1.0,
    offset: float | Sequence[float] = 0.0,
    subject: str = "",
) -> Diagnosis:
    """Look at a classifier through what it says of the test split.

    Args:
        labels: Shape (n,): true classes from 0.
        probabilities: Shape (n, classes), each from 0 to 1; or (n, 1) or (n,) from one sigmoid unit, the probability
            of class 1. The largest is the prediction, the first of equals; of one unit class 1 above one half.
        class_names: Of the labels 0, 1, ...
        inputs: Shape (n, ...): all rows of the test split, as the model was given them; only those that are shown are
            kept. Images have shape (n, height, width) or (n, height, width, 1, 3 or 4).
        weights: (layer name, weight name, array), in the order of layers; scalar parameters and seeds left out.
        model: (name, kind, shape of the output, number of weights) of each layer, those without weights too.
        history: "train_loss", "val_accuracy", ... to one value a completed epoch.
        best_epoch: The epoch whose weights were kept, from 1; None for the last.
        splits: "training" and "validation" to the labels of those splits.
        grid_probabilities: What the model says of `boundary_grid(inputs)`, where inputs have shape (n, 2).
        input_names: What the two inputs are called; empty where they have no names.
        scale: With `offset`: the model computes x * scale + offset first; a number, or one a last-axis entry.
        offset: See `scale`.
        subject: Which model it is, in a few words.
    Raises:
        ValueError: Shapes that do not fit together, labels out of range, or numbers that are no probabilities.
    """
    shares = _probabilities("probabilities", probabilities)
    labels = np.asarray(labels).astype(np.int32)
    predicted, confidence = _chosen(shares)
    _require_rows(labels, inputs, predicted.shape)
    right, wrong = chosen_samples(predicted == labels, confidence)
    weights = [(layer, name.split("/")[-1], np.asarray(array)) for layer, name, array in weights]
    return Diagnosis(
        class_names=tuple(class_names),
        labels=labels,
        predicted=predicted,
        confidence=confidence,
        probabilities=shares.astype(np.float16),
        right=_samples(right, inputs),
        wrong=_samples(wrong, inputs),
        subject=subject,
        model=tuple(ModelLayer(*layer) for layer in model),
        layers=tuple(_statistics(*named) for named in weights if named[2].size),
        first_weights=_first_weights(weights, None if inputs is None else inputs.shape[1:]),
        splits=_class_counts(splits or {}, len(class_names)),
        history={name: tuple(map(float, values)) for name, values in (history or {}).items() if len(values)},
        best_epoch=best_epoch,
        boundary=_boundary(inputs, grid_probabilities, input_names),
        examples=_examples(labels, inputs),
        scale=tuple(np.atleast_1d(scale).tolist()),
        offset=tuple(np.atleast_1d(offset).tolist()),
    )


def _require_rows(labels: NDArray[Any], inputs: NDArray[Any] | None, shape: tuple[int, ...]) -> None:
    if inputs is not None and len(inputs) != len(labels):
        raise ValueError(f"inputs must have a row a label ({len(inputs)} and {len(labels)} came)")
    if labels.shape != shape:
        raise ValueError(f"labels must have shape {shape} (shape {labels.shape})")


def chosen_samples(hits: NDArray[np.bool_], confidence: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows to show: right ones from the surest to the least sure, and the surest of the wrong ones.

    Args:
        hits: Shape (n,): where the prediction was right.
        confidence: Shape (n,).
    Returns:
        At most 12 rows each, the surest first, earlier rows before later ones of equal confidence. The right ones lie
        at even steps along their order, the surest and the least sure among them.
    """
    order = np.argsort(-confidence, kind="stable").astype(np.int64)
    right, wrong = order[hits[order]], order[~hits[order]]
    count = min(MOST_SAMPLES, len(right))
    steps = np.linspace(0, max(len(right) - 1, 0), count).round().astype(np.int64)
    return right[steps], wrong[:MOST_SAMPLES]


def boundary_grid(inputs: NDArray[Any], side: int = SIDE) -> NDArray[np.float32]:
    """Points all over the plane of two inputs, for a model to judge.

    Args:
        inputs: Shape (n, 2).
        side: Points along each axis.
    Returns:
        Shape (side * side, 2): row by row from the lowest values on; a tenth of the range lies around the inputs.
    """
    x, y = _axes(inputs, side)
    return np.stack([axis.ravel() for axis in np.meshgrid(x, y)], axis=1)


def _probabilities(name: str, values: NDArray[Any]) -> NDArray[np.float32]:
    """Shape (n, classes), two columns for one sigmoid unit."""
    shares = np.asarray(values).astype(np.float32)
    shares = shares[:, None] if shares.ndim == 1 else shares
    if shares.ndim != 2 or not shares.size:
        raise ValueError(f"{name} must have shape (n, classes), none of them 0 (shape {np.shape(values)})")
    low, high = float(shares.min()), float(shares.max())
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # NaN is neither
        law = "put outputs that are no probabilities through a softmax first"
        raise ValueError(f"{name} must be from 0 to 1 (from {low:.4g} to {high:.4g} came); {law}")
    shares = shares.clip(0, 1)
    return np.concatenate([1 - shares, shares], axis=1) if shares.shape[1] == 1 else shares


def _chosen(shares: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    return shares.argmax(axis=1).astype(np.int32), shares.max(axis=1)


def _samples(rows: NDArray[np.int64], inputs: NDArray[Any] | None) -> Samples:
    return Samples(rows, None if inputs is None else np.array(inputs[rows]))


def _examples(labels: NDArray[np.int32], inputs: NDArray[Any] | None) -> Samples | None:
    found, rows = np.unique(labels, return_index=True)
    return _samples(rows.astype(np.int64), inputs) if len(found) <= MOST_EXAMPLES else None


def _statistics(layer: str, name: str, array: NDArray[Any]) -> WeightStatistics:
    numbers = array.astype(np.float64)
    return WeightStatistics(layer, name, array.shape, float(numbers.mean()), float(numbers.std()))


def _first_weights(
    weights: Sequence[tuple[str, str, NDArray[Any]]], shape: tuple[int, ...] | None
) -> FirstWeights | None:
    """The kernel nearest to the input as images: of a convolution, or of a dense layer that sees whole images."""
    kernels = [(layer, array) for layer, name, array in weights if name == "kernel"]
    if not kernels:
        return None
    layer, kernel = kernels[0]
    images = _filters(kernel) if kernel.ndim == 4 else _units(kernel, shape)
    if images is None:
        return None
    shown = _strongest(images)
    return FirstWeights(layer, len(images), shown, images[shown].astype(np.float32))


def _filters(kernel: NDArray[Any]) -> NDArray[Any] | None:
    """Shape (height, width, channels, filters) to (filters, height, width[, 3]); None for other channels."""
    return _coloured(np.moveaxis(kernel, -1, 0))


def _units(kernel: NDArray[Any], shape: tuple[int, ...] | None) -> NDArray[Any] | None:
    """Shape (pixels, units) to (units, height, width[, 3]); None where the inputs are no images."""
    if shape is None or kernel.ndim != 2 or len(shape) not in (2, 3) or kernel.shape[0] != np.prod(shape):
        return None
    return _coloured(kernel.T.reshape(-1, *shape[:2], shape[2] if len(shape) == 3 else 1))


def _coloured(images: NDArray[Any]) -> NDArray[Any] | None:
    if images.shape[-1] == 1:
        return images[..., 0]
    return images if images.shape[-1] == 3 else None


def _strongest(images: NDArray[Any]) -> NDArray[np.int64]:
    """All of them in their order, or the 64 with the largest norm."""
    if len(images) <= MOST_FIRST_WEIGHTS:
        return np.arange(len(images))
    norms = np.linalg.norm(images.reshape(len(images), -1).astype(np.float64), axis=1)
    return np.argsort(-norms, kind="stable")[:MOST_FIRST_WEIGHTS].astype(np.int64)


def _class_counts(splits: Mapping[str, NDArray[Any]], classes: int) -> dict[str, tuple[int, ...]]:
    counts = {name: np.bincount(np.asarray(labels), minlength=classes) for name, labels in splits.items()}
    return {name: tuple(count.tolist()) for name, count in counts.items()}


def _axes(inputs: NDArray[Any], side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    low, high = inputs.min(axis=0), inputs.max(axis=0)
    margin = np.where(high > low, 0.05 * (high - low), 0.5)
    x, y = (np.linspace(a, b, side, dtype=np.float32) for a, b in zip(low - margin, high + margin, strict=True))
    return x, y


def _boundary(
    inputs: NDArray[Any] | None, grid_probabilities: NDArray[Any] | None, names: Sequence[str]
) -> Boundary | None:
    if inputs is None or grid_probabilities is None:
        return None
    predicted, confidence = _chosen(_probabilities("grid_probabilities", grid_probabilities))
    side = round(len(predicted) ** 0.5)
    if inputs.ndim != 2 or inputs.shape[1] != 2 or side**2 != len(predicted):
        raise ValueError(
            f"grid_probabilities must be those of boundary_grid(inputs), inputs of shape (n, 2) "
            f"({len(predicted)} points and inputs of shape {inputs.shape} came)"
        )
    x, y = _axes(inputs, side)
    square = (side, side)
    points = np.array(inputs[:MOST_POINTS], np.float32)
    sure = confidence.reshape(square).astype(np.float16)
    return Boundary(x, y, predicted.reshape(square), sure, points, tuple(names))
