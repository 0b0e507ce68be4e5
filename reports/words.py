"""Numbers and names as a person reads them: percent for accuracies, points for their differences."""

import math
from collections.abc import Sequence

from spaces.parameters import Scalar

GAP_METRIC = "accuracy"  # what gaps are measured in, whatever a study monitors
SPLITS = {"train": "training", "val": "validation", "test": "test"}
"""What the splits are called in a sentence, by what metrics begin with."""


def spoken(metric: str) -> str:
    """A metric's name in a sentence: "F1" for "f1", "top k accuracy" for "top_k_accuracy"."""
    return {"f1": "F1", "auc": "AUC"}.get(metric, metric.replace("_", " "))


def is_share(metric: str) -> bool:
    """Whether people read the metric, or a monitor, in percent."""
    return metric.endswith("accuracy")


def shown(metric: str, value: float | None) -> str:
    """The value of a metric or a monitor: "94.17%" for an accuracy, "0.2134" for anything else, "" for none."""
    if value is None or math.isnan(value):
        return ""
    return f"{value * 100:.2f}%" if is_share(metric) else f"{value:#.4g}".rstrip(".")


def difference(metric: str, value: float) -> str:
    """The size of a difference between two values of the metric, without a sign: "1.11 points"."""
    return f"{abs(value) * 100:.2f} points" if is_share(metric) else f"{abs(value):#.3g}".rstrip(".")


def signed(metric: str, value: float | None, error: float | None = None) -> str:
    """A signed difference with its standard error: "+1.11 ±0.94" in points for an accuracy."""
    if value is None or math.isnan(value):
        return ""
    scale, form = (100, ".2f") if is_share(metric) else (1, ".4f")
    text = f"{value * scale:+{form}}"
    return text if error is None or math.isnan(error) else f"{text} ±{error * scale:{form}}"


def trained_on(data: str) -> str:
    """What a retraining had, in a sentence: "training and validation data" for "train+validation"."""
    return f"{data.replace('train', 'training', 1).replace('+', ' and ')} data"


def counted(number: int, noun: str) -> str:
    """A number and its noun: "1 seed", "1,620 epochs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(items: Sequence[str]) -> str:
    """Items in a sentence: "a, b and c"."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def scalar(value: Scalar) -> str:
    """A parameter's value: three significant digits for a float, text made safe to print."""
    return f"{value:.3g}" if isinstance(value, float) else printable(str(value))


def cut(text: str, longest: int) -> str:
    """The text, or its beginning and an ellipsis, in at most so many letters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"


def printable(text: str) -> str:
    """The text with everything that could steer a terminal (escapes, line ends, overrides) replaced."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
