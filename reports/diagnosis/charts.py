"""A diagnosis in plots: confusion, classes, confidence, training, and the boundary between classes of points."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reports.canvas import (
    COLOURS,
    GREY,
    Chart,
    by_epoch,
    canvas,
    legend,
    legend_above,
    panels,
    percent,
    short_label,
    short_labels,
    split_curves,
)
from reports.diagnosis.scores import confused_pairs
from reports.diagnosis.tables import best_epochs, class_name
from reports.diagnosis.values import Boundary, Diagnosis
from reports.words import counted, listed, shown, spoken

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import MarkerType

MOST_NUMBERED = 25
MOST_BARS = 30
MOST_TOLD = 12
LONGEST_NAME = 16
WIDEST_NAMES = 50
CURVES = ("train", "val")
MARKERS: tuple[MarkerType, ...] = ("o", "^", "s", "D", "v", "P")


def confusion(diagnosis: Diagnosis) -> Chart:
    """The confusion matrix: colour is the share of the true class, numbers count examples where they fit."""
    total = len(diagnosis.class_names)
    figure, axes = canvas(height=5.0)
    shares = diagnosis.matrix / np.maximum(diagnosis.scores.support, 1)[:, None]
    _draw_shares(axes, shares)
    if total <= MOST_NUMBERED:
        _draw_counts(axes, diagnosis.matrix, shares)
    _name_axes(axes, diagnosis)
    return Chart("Confusion matrix", figure, _confusion_words(diagnosis), detailed=True)


def class_bars(diagnosis: Diagnosis) -> Chart:
    """F1 of each class as bars, its precision and recall as marks on them; of many classes the worst."""
    scores, total = diagnosis.scores, len(diagnosis.class_names)
    labels = scores.f1.argsort(kind="stable")[:MOST_BARS] if total > MOST_BARS else np.arange(total)
    figure, axes = canvas(height=1.3 + 0.27 * len(labels))
    places = np.arange(len(labels))
    axes.barh(places, scores.f1[labels], 0.6, color=COLOURS[5], label="F1")
    for place, value in enumerate(scores.f1[labels]):
        axes.text(1.04, place, f"{value:.3f}", va="center", fontsize="small")
    axes.plot(scores.precision[labels], places, "o", color=COLOURS[1], label="precision")
    axes.plot(scores.recall[labels], places, "D", color="black", fillstyle="none", label="recall")
    axes.set_yticks(places, _short_names(diagnosis, labels))
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(0, 1.15)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.grid(visible=False, axis="y")
    legend_above(axes, columns=3)
    title = "Scores by class" if len(labels) == total else f"The {len(labels)} classes with the lowest F1"
    return Chart(title, figure, _bar_words(diagnosis, labels), detailed=True)


def reliability(diagnosis: Diagnosis) -> Chart:
    """How often predictions are right against how sure they are; on the diagonal, confidence can be believed."""
    bins = diagnosis.calibration
    there = bins.rows > 0
    confidence, accuracy, rows = bins.confidence[there], bins.accuracy[there], bins.rows[there]
    figure, axes = canvas()
    axes.plot((0, 1), (0, 1), color=GREY, linestyle="--", linewidth=1, label="as sure as right")
    axes.plot(confidence, accuracy, color=COLOURS[0], linewidth=1)
    sizes = 20 + 180 * rows / rows.max()
    axes.scatter(confidence, accuracy, s=sizes, color=COLOURS[0], alpha=0.8, label="predictions, by size of bin")
    axes.set_xlabel("confidence")
    axes.set_ylabel("share that is right")
    percent(axes.xaxis)
    percent(axes.yaxis)
    axes.set_ylim(-0.05, 1.08)
    legend(axes)
    points = zip(confidence, accuracy, rows, strict=True)
    told = "; ".join(f"{sure:.0%} sure, {right:.0%} right ({counted(int(n), 'row')})" for sure, right, n in points)
    text = f"Confidence against accuracy, the expected calibration error being {bins.error:.1%}: {told}."
    return Chart("What confidence is worth", figure, text)


def training_curves(diagnosis: Diagnosis) -> Chart | None:
    """Accuracy and loss by epoch, in training and in validation, the best epochs marked; None without a history."""
    history = diagnosis.history
    metrics = [name for name in ("accuracy", "loss") if any(history.get(f"{split}_{name}") for split in CURVES)]
    if not metrics:
        return None
    figure, plots = panels(len(metrics))
    for axes, metric in zip(plots, metrics, strict=True):
        _draw_curves(axes, diagnosis, metric)
    by_epoch(axes)
    figure.align_ylabels()
    legend_above(plots[0], columns=2)
    return Chart("Learning curves", figure, _curve_words(diagnosis, metrics))


def decision_boundary(diagnosis: Diagnosis) -> Chart | None:
    """Which class is predicted where, with test examples upon it; None where inputs are no points of a plane."""
    boundary = diagnosis.boundary
    if boundary is None:
        return None
    figure, axes = canvas(height=4.8)
    _draw_regions(axes, boundary, len(diagnosis.class_names))
    _draw_points(axes, diagnosis, boundary.points)
    across, upwards = boundary.names or ("first input", "second input")
    axes.set_xlabel(short_label(across, 2 * LONGEST_NAME))
    axes.set_ylabel(short_label(upwards, 2 * LONGEST_NAME))
    axes.grid(visible=False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small")
    return Chart("Decision boundary", figure, _boundary_words(diagnosis, boundary))


def _draw_shares(axes: Axes, shares: NDArray[np.float64]) -> None:
    from matplotlib.colors import PowerNorm

    # The square root lets small confusions show beside a diagonal near 100%.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="none")
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.8, ticks=[0, 0.02, 0.1, 0.25, 0.5, 1])
    percent(bar.ax.yaxis)
    bar.set_label("share of the true class")
    axes.grid(visible=False)


def _draw_counts(axes: Axes, matrix: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    digits = len(str(matrix.max()))
    size = min(9.0, 220 / len(matrix) / max(digits, 2))
    for row, column in zip(*np.nonzero(matrix), strict=True):
        colour = "white" if shares[row, column] > 0.4 else "black"
        axes.text(column, row, str(matrix[row, column]), ha="center", va="center", fontsize=size, color=colour)


def _name_axes(axes: Axes, diagnosis: Diagnosis) -> None:
    total = len(diagnosis.class_names)
    places = np.arange(0, total, math.ceil(total / MOST_NUMBERED))
    names = _short_names(diagnosis, places)
    size = 9 if total <= 12 else 7
    flat = sum(map(len, names)) + 3 * len(names) <= WIDEST_NAMES
    axes.set_xticks(places, names, fontsize=size, rotation=0 if flat else 45, ha="center" if flat else "right")
    if not flat:
        for label in axes.get_xticklabels():
            label.set_rotation_mode("anchor")
    axes.set_yticks(places, names, fontsize=size)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_anchor("N")


def _short_names(diagnosis: Diagnosis, labels: NDArray[np.int64]) -> list[str]:
    names = short_labels(diagnosis.class_names, LONGEST_NAME)
    return [names[label] for label in labels.tolist()]


def _confusion_words(diagnosis: Diagnosis) -> str:
    scores, total = diagnosis.scores, len(diagnosis.class_names)
    hits = diagnosis.matrix.diagonal()
    order = range(total) if total <= MOST_TOLD else scores.recall.argsort(kind="stable")[:MOST_TOLD].tolist()
    told = ", ".join(f"{class_name(diagnosis, place)} {hits[place]} of {scores.support[place]}" for place in order)
    which = "Right by class" if total <= MOST_TOLD else f"The {MOST_TOLD} classes with the lowest recall"
    text = f"{hits.sum():,} of {len(diagnosis.labels):,} test examples in {total} classes are right. {which}: {told}."
    pairs = [
        f"{class_name(diagnosis, pair.true)} taken for {class_name(diagnosis, pair.predicted)} ({pair.count})"
        for pair in confused_pairs(diagnosis.matrix, 3)
    ]
    return f"{text} Most confused: {listed(pairs)}." if pairs else text


def _bar_words(diagnosis: Diagnosis, labels: NDArray[np.int64]) -> str:
    scores = diagnosis.scores
    told = "; ".join(
        f"{class_name(diagnosis, label)} {scores.f1[label]:.3f} "
        f"({scores.precision[label]:.3f}, {scores.recall[label]:.3f})"
        for label in labels
    )
    return f"F1 by class, with precision and recall: {told}."


def _draw_curves(axes: Axes, diagnosis: Diagnosis, metric: str) -> None:
    split_curves(axes, diagnosis.history, metric)
    styles = {"val_accuracy": (COLOURS[2], "-.", "highest accuracy"), "val_loss": (COLOURS[3], ":", "lowest loss")}
    for name, epoch in best_epochs(diagnosis).items():
        colour, dashes, words = styles[name]
        axes.axvline(epoch, color=colour, linestyle=dashes, label=f"{words}: epoch {epoch}")


def _curve_words(diagnosis: Diagnosis, metrics: list[str]) -> str:
    every = [f"{split}_{metric}" for metric in metrics for split in CURVES]
    names = [name for name in every if diagnosis.history.get(name)]
    told = "; ".join(_ends(name, np.array(diagnosis.history[name])) for name in names)
    best = [f"{spoken(name.replace('val', 'validation'))} at epoch {at}" for name, at in best_epochs(diagnosis).items()]
    epochs = max(len(diagnosis.history[name]) for name in names)
    return f"By epoch, {epochs} in all: {told}.{f' Best {listed(best)}.' if best else ''}"


def _ends(name: str, values: NDArray[np.float64]) -> str:
    """The first and the last finite value in words."""
    finite = values[np.isfinite(values)]
    words = spoken(name.replace("train_", "training_").replace("val_", "validation_"))
    if not finite.size:
        return f"{words} never finite"
    return f"{words} from {shown(name, float(finite[0]))} to {shown(name, float(finite[-1]))}"


def _draw_regions(axes: Axes, boundary: Boundary, classes: int) -> None:
    """Each class in its colour, the paler the less sure, and a line where the prediction changes."""
    from matplotlib.colors import to_rgb

    colours = np.array([to_rgb(COLOURS[label % len(COLOURS)]) for label in range(classes)])
    sure = np.clip((boundary.confidence.astype(float) - 1 / classes) / (1 - 1 / classes), 0, 1)
    strength = 0.1 + 0.4 * sure[..., None]
    x, y = boundary.x, boundary.y
    extent = (float(x[0]), float(x[-1]), float(y[0]), float(y[-1]))
    image = strength * colours[boundary.predicted] + 1 - strength
    axes.imshow(image, extent=extent, origin="lower", aspect="auto", interpolation="none")
    for label in np.unique(boundary.predicted)[1:]:
        axes.contour(x, y, boundary.predicted >= label, levels=[0.5], colors="black", linewidths=1)


def _draw_points(axes: Axes, diagnosis: Diagnosis, points: NDArray[np.float32]) -> None:
    labels, hits = diagnosis.labels[: len(points)], diagnosis.hits[: len(points)]
    names = short_labels(diagnosis.class_names, LONGEST_NAME)
    for label in np.unique(labels):
        own = points[labels == label]
        style = label % len(COLOURS)
        look: dict[str, Any] = {"c": COLOURS[style], "marker": MARKERS[style], "edgecolors": "black", "linewidths": 0.5}
        axes.scatter(own[:, 0], own[:, 1], s=18, **look, label=names[label])
    if not hits.all():
        axes.scatter(points[~hits, 0], points[~hits, 1], s=60, facecolors="none", edgecolors="black", label="wrong")


def _boundary_words(diagnosis: Diagnosis, boundary: Boundary) -> str:
    shares = np.bincount(boundary.predicted.ravel(), minlength=len(diagnosis.class_names)) / boundary.predicted.size
    parts = [f"{class_name(diagnosis, label)} on {share:.0%}" for label, share in enumerate(shares) if share]
    hits = diagnosis.hits[: len(boundary.points)]
    sides = f"{hits.sum():,} of {len(hits):,} test examples lie on their own side"
    return f"Predicted class over the plane of the two inputs: {listed(parts)} of it; {sides}."
