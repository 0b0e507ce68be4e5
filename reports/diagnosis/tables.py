"""A diagnosis in sentences and tables of text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from reports.diagnosis.convergence import AccuracyGap, Convergence, Trend
from reports.diagnosis.scores import Average, confused_pairs
from reports.diagnosis.values import Diagnosis, Samples, WeightStatistics
from reports.sections import Table
from reports.words import SPLITS, counted, difference, listed, printable, shown, spoken

MOST_PAIRS = 10
MOST_CLASSES = 100
MOST_LAYERS = 40
METRICS = ("train_accuracy", "val_accuracy", "train_loss", "val_loss")

TRENDS: dict[Trend, str] = {
    "falling": "is still falling: more epochs may help",
    "converged": "has converged",
    "overfit": "rose again after its lowest: the model overfits",
    "diverging": "diverges: the learning rate may be too high",
}


def score_lines(diagnosis: Diagnosis) -> list[str]:
    """What the classifier scores on the test split, where it fails, and what its confidence is worth."""
    worst = [] if diagnosis.hits.all() else [_worst(diagnosis)]
    return [_scores(diagnosis), *worst, _confused(diagnosis), _confidence(diagnosis)]


def training_lines(diagnosis: Diagnosis) -> list[str]:
    """Whether the loss has converged, and how far training and validation are apart; [] where nothing is known."""
    found, gap = diagnosis.convergence, diagnosis.accuracy_gap
    return ([_converged(found)] if found else []) + ([_gap(gap)] if gap else [])


def class_name(diagnosis: Diagnosis, label: int) -> str:
    """A class's name, safe to print."""
    return printable(diagnosis.class_names[label])


def class_table(diagnosis: Diagnosis) -> Table:
    """Precision, recall, F1 and the examples of each class in each split, and the averages.

    Of more than 100 classes those with the lowest F1.
    """
    scores, total = diagnosis.scores, len(diagnosis.class_names)
    labels = range(total) if total <= MOST_CLASSES else scores.f1.argsort(kind="stable")[:MOST_CLASSES].tolist()
    rows = [
        (class_name(diagnosis, label), *_three(scores.precision[label], scores.recall[label], scores.f1[label]))
        + _counts(diagnosis, lambda counts, label=label: counts[label])  # type: ignore[misc]
        for label in labels
    ]
    sums = _counts(diagnosis, sum)
    rows += [_average("mean of classes", scores.macro, sums), _average("weighted by rows", scores.weighted, sums)]
    header = ("class", "precision", "recall", "F1", *(f"{name} rows" for name in diagnosis.splits), "test rows")
    left_out = f" The {MOST_CLASSES} of {total} classes with the lowest F1." if total > MOST_CLASSES else ""
    return Table("Classes", header, tuple(rows), note=_balance(diagnosis) + left_out)


def pair_table(diagnosis: Diagnosis) -> Table | None:
    """The pairs of classes that were confused most often; None where every prediction was right."""
    rows = tuple(
        (class_name(diagnosis, pair.true), class_name(diagnosis, pair.predicted), f"{pair.count:,}", _share(pair.share))
        for pair in confused_pairs(diagnosis.matrix, MOST_PAIRS)
    )
    header = ("true class", "taken for", "times", "of the true class")
    return Table("Most confused", header, rows, names=2) if rows else None


def sample_table(diagnosis: Diagnosis, title: str, samples: Samples) -> Table | None:
    """Samples row by row, for inputs that are no images; None where there are none."""
    rows = tuple(
        (
            class_name(diagnosis, diagnosis.labels[row]),
            class_name(diagnosis, diagnosis.predicted[row]),
            _share(float(diagnosis.confidence[row])),
            str(row),
        )
        for row in samples.rows.tolist()
    )
    return Table(title, ("true class", "predicted", "confidence", "test row"), rows, names=2) if rows else None


def epoch_table(diagnosis: Diagnosis) -> Table | None:
    """Accuracy and loss at the epochs that matter: the best ones, the one that was kept, the last."""
    columns = [name for name in METRICS if diagnosis.history.get(name)]
    if not columns:
        return None
    rows = tuple(
        (listed(reasons), str(epoch), *(_at(diagnosis, name, epoch) for name in columns))
        for epoch, reasons in _epochs(diagnosis)
    )
    header = (f"{SPLITS[split]} {spoken(metric)}" for split, _, metric in (name.partition("_") for name in columns))
    return Table("Epochs", ("", "epoch", *header), rows)


def best_epochs(diagnosis: Diagnosis) -> dict[str, int]:
    """The epoch, from 1, of the best validation accuracy and of the best validation loss, where they are known."""
    found = {}
    for metric, better in (("val_accuracy", max), ("val_loss", min)):
        finite = [value for value in diagnosis.history.get(metric, ()) if math.isfinite(value)]
        if finite:
            found[metric] = diagnosis.history[metric].index(better(finite)) + 1
    return found


def model_table(diagnosis: Diagnosis) -> Table | None:
    """The model in a summary: each layer, what it gives and its number of weights; None where it is not known."""
    layers = diagnosis.model
    if not layers:
        return None
    rows = _both_ends([(printable(one.name), printable(one.kind), one.output, f"{one.weights:,}") for one in layers])
    total = f"{sum(one.weights for one in layers):,}"
    return Table("The model", ("layer", "kind", "output", "weights"), (*rows, ("all", "", "", total)), names=3)


def weight_table(diagnosis: Diagnosis) -> Table | None:
    """Layer by layer the number of weights, and mean and standard deviation of kernels and of biases."""
    layers = [(layer, list(arrays)) for layer, arrays in groupby(diagnosis.layers, key=lambda array: array.layer)]
    if not layers:
        return None
    rows = _both_ends([_layer(layer, arrays) for layer, arrays in layers])
    total = sum(array.count for array in diagnosis.layers)
    header = ("layer", "weights", "kernels, mean ± deviation", "biases, mean ± deviation")
    others = "Scales, offsets and moving averages of a normalisation are counted, but neither kernels nor biases."
    note = others if any(array.name == "gamma" for array in diagnosis.layers) else ""
    return Table("Weights of layers", header, (*rows, ("all", f"{total:,}", "", "")), note=note)


def _scores(diagnosis: Diagnosis) -> str:
    scores = diagnosis.scores
    examples = counted(len(diagnosis.labels), "test example")
    averages = f"weighted F1 {shown('f1', scores.weighted.f1)}, macro F1 {shown('f1', scores.macro.f1)}"
    return f"Accuracy {shown('accuracy', diagnosis.accuracy)} on {examples}; {averages}."


def _worst(diagnosis: Diagnosis) -> str:
    scores, worst = diagnosis.scores, diagnosis.scores.worst
    names = ("precision", "recall")
    parts = [f"{name} {shown(name, float(getattr(scores, name)[worst]))}" for name in names]
    examples = counted(int(scores.support[worst]), "example")
    name, f1 = class_name(diagnosis, worst), shown("f1", float(scores.f1[worst]))
    return f"Worst class: {name}, F1 {f1} ({', '.join(parts)}, {examples})."


def _confused(diagnosis: Diagnosis) -> str:
    pairs = confused_pairs(diagnosis.matrix, 1)
    if not pairs:
        return "No example was taken for another class."
    pair = pairs[0]
    true, predicted = class_name(diagnosis, pair.true), class_name(diagnosis, pair.predicted)
    return f"Most confused: {true} taken for {predicted} ({_times(pair.count)}, {_share(pair.share)} of that class)."


def _confidence(diagnosis: Diagnosis) -> str:
    told = {"right": diagnosis.confidence_right, "wrong": diagnosis.confidence_wrong}
    means = listed([f"{_share(mean)} where it is {kind}" for kind, mean in told.items() if mean is not None])
    error = diagnosis.calibration.error
    excess = float(diagnosis.confidence.mean(dtype=float)) - diagnosis.accuracy
    bias = f", {'too sure' if excess > 0 else 'too cautious'} on the whole" if abs(excess) > error / 2 > 0.005 else ""
    off = f"{100 * error:.1f} points off the accuracy (expected calibration error)"
    return f"Mean confidence: {means}; on average it is {off}{bias}."


def _converged(found: Convergence) -> str:
    name = "validation loss" if found.metric == "val_loss" else "training loss"
    last = f"the last {found.strip} of {found.epochs} epochs"
    if found.change is None:
        return f"The {name} {TRENDS[found.trend]}."
    if not math.isfinite(found.change):
        return f"The {name} {TRENDS[found.trend]} ({last} are not finite)."
    relation = f"{abs(found.change):.1%} {'above' if found.change > 0 else 'below'} the lowest value before them"
    return f"The {name} {TRENDS[found.trend]} ({last} are {relation}, that of epoch {found.lowest_epoch})."


def _gap(gap: AccuracyGap) -> str:
    error = "" if gap.standard_error is None else f" ± {difference('accuracy', gap.standard_error)}"
    apart = f"{difference('accuracy', gap.value)}{error} at epoch {gap.epoch}"
    if gap.size == "none":
        return f"Training and validation accuracy cannot be told apart ({apart})."
    if gap.size == "reversed":
        reason = "the latter is taken over an epoch, while weights change and dropout and augmentation, if any, work"
        return f"Validation accuracy is above training accuracy by {apart}: {reason}."
    verdict = {"small": "a small gap", "moderate": "a moderate gap", "large": "a large gap: the model overfits"}
    return f"Training accuracy is above validation accuracy by {apart}, {verdict[gap.size]}."


def _balance(diagnosis: Diagnosis) -> str:
    sizes = {**diagnosis.splits, "test": tuple(diagnosis.scores.support.tolist())}
    name, counts = next(iter(sizes.items()))
    if min(counts) == max(counts):
        return f"Every class has {counted(counts[0], 'row')} in the {name} split."
    smallest, largest = (class_name(diagnosis, counts.index(limit)) for limit in (min(counts), max(counts)))
    relation = f"{max(counts) / min(counts):.1f} times the rows of" if min(counts) else "rows, and there are none of"
    return f"In the {name} split the largest class ({largest}) has {relation} the smallest ({smallest})."


def _counts(diagnosis: Diagnosis, take: Callable[[Sequence[int]], int]) -> tuple[str, ...]:
    return tuple(f"{take(counts):,}" for counts in [*diagnosis.splits.values(), diagnosis.scores.support.tolist()])


def _average(name: str, average: Average, counts: tuple[str, ...]) -> tuple[str, ...]:
    return (name, *_three(average.precision, average.recall, average.f1), *counts)


def _three(precision: float, recall: float, f1: float) -> tuple[str, str, str]:
    return f"{precision:.4f}", f"{recall:.4f}", f"{f1:.4f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _epochs(diagnosis: Diagnosis) -> Iterator[tuple[int, list[str]]]:
    """Epochs from the first to the last, each with what makes it matter."""
    words = {"val_accuracy": "highest validation accuracy", "val_loss": "lowest validation loss"}
    reasons: dict[int, list[str]] = {}
    for metric, epoch in best_epochs(diagnosis).items():
        reasons.setdefault(epoch, []).append(words[metric])
    if diagnosis.best_epoch is not None:
        reasons.setdefault(diagnosis.best_epoch, []).append("weights kept")
    reasons.setdefault(max(map(len, diagnosis.history.values())), []).append("last")
    yield from sorted(reasons.items())


def _at(diagnosis: Diagnosis, name: str, epoch: int) -> str:
    values = diagnosis.history[name]
    return shown(name, values[epoch - 1]) if epoch <= len(values) else ""


def _layer(layer: str, arrays: Sequence[WeightStatistics]) -> tuple[str, ...]:
    count = sum(array.count for array in arrays)
    kernels = [array for array in arrays if array.name.endswith("kernel")]
    biases = [array for array in arrays if array.name == "bias"]
    return printable(layer), f"{count:,}", _moments(kernels), _moments(biases)


def _both_ends(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """All rows, or of too many the first and the last ones."""
    left_out = len(rows) - MOST_LAYERS
    if left_out <= 0:
        return rows
    gap = (f"{counted(left_out, 'more layer')}", "", "", "")
    return [*rows[: MOST_LAYERS // 2], gap, *rows[-(MOST_LAYERS // 2) :]]


def _moments(arrays: Sequence[WeightStatistics]) -> str:
    # Adding zero takes the sign off a zero.
    return "; ".join(f"{round(array.mean, 4) + 0.0:+.4f} ± {array.deviation:.4f}" for array in arrays)
