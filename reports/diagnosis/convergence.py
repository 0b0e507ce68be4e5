"""How a training went: whether its loss has converged, and how far training and validation are apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from reports.gaps import gap_from_rates

History = Mapping[str, Sequence[float]]
Trend = Literal["falling", "converged", "overfit", "diverging"]
GapSize = Literal["none", "small", "moderate", "large", "reversed"]

STRIP = 5
ABOVE_LOWEST = 0.05
STILL_FALLING = 0.01
LEAST = 0.001
MODERATE, LARGE = 0.05, 0.10
ERRORS = 2.0


@dataclass(frozen=True, slots=True)
class Convergence:
    """How a loss ended.

    Attributes:
        trend: "falling", "converged", "overfit" or "diverging".
        metric: The loss that was judged: "val_loss", or "train_loss" where there is no validation.
        epochs: Completed epochs.
        strip: Epochs at the end that were taken together.
        lowest_epoch: The epoch, from 1, of the lowest value before them.
        change: The mean of the strip against that lowest value, relative: -0.1 is 10% below; None where that is 0.
    """

    trend: Trend
    metric: str
    epochs: int
    strip: int
    lowest_epoch: int
    change: float | None


@dataclass(frozen=True, slots=True)
class AccuracyGap:
    """Training against validation accuracy at one epoch.

    Attributes:
        epoch: From 1.
        value: Training minus validation, as a fraction.
        standard_error: Of the value; None where the sizes of the splits are not known.
        size: "none" where it cannot be told from chance; "small" below 5 points, "moderate" from there,
            "large" from 10; "reversed" where validation is ahead.
    """

    epoch: int
    value: float
    standard_error: float | None
    size: GapSize


def convergence(history: History) -> Convergence | None:
    """Whether the loss of a training has converged.

    The last five epochs (in a shorter training half of its epochs, at least two) are one strip, so that one noisy
    epoch decides nothing. The mean of the strip is compared with the lowest value before it, of the validation loss,
    else of the training loss:

    - More than 5% above it: "overfit" where the training loss did not rise as much from that epoch on, else
      "diverging", as is any loss that is not finite at the end.
    - More than 1% below it: still "falling".
    - Else "converged".

    Differences up to 0.001 never count. The first rule is the generalization loss of Prechelt, GL > 5, taken over a
    strip; 1% and 0.001 are conventions of this report.

    Args:
        history: "val_loss" and "train_loss", one value a completed epoch.
    Returns:
        None where there is no loss, or fewer than four epochs of it.
    Source:
        Prechelt (1998), Early Stopping - But When?, doi:10.1007/3-540-49430-8_3, section 2.
    """
    metric = "val_loss" if history.get("val_loss") else "train_loss"
    losses = history.get(metric, ())
    strip = min(STRIP, len(losses) // 2)
    if strip < 2:
        return None
    lowest, epoch = _lowest(losses, strip)
    change = (fmean(losses[-strip:]) - lowest) / abs(lowest) if lowest else None
    return Convergence(_trend(losses, history.get("train_loss", ()), strip), metric, len(losses), strip, epoch, change)


def accuracy_gap(history: History, epoch: int | None, rows: tuple[int, int] | None) -> AccuracyGap | None:
    """How far training and validation accuracy are apart.

    It is "none" within two standard errors (those of `reports.gaps.gap_from_rates`) of zero; 5 and 10 points are
    conventions of this report. Keras takes the training accuracy as the mean over an epoch while weights change and
    dropout and augmentation work, which makes it a little lower than that of the epoch's final weights.

    Args:
        history: "train_accuracy" and "val_accuracy", one value a completed epoch.
        epoch: The one to look at, from 1; None for the last.
        rows: Examples of the training and of the validation split, where they are known.
    Returns:
        None where one of the two was not measured.
    """
    pair = [history.get(name, ()) for name in ("train_accuracy", "val_accuracy")]
    epoch = min(map(len, pair)) if epoch is None else epoch
    if not 1 <= epoch <= min(map(len, pair)):
        return None
    train, validation = (values[epoch - 1] for values in pair)
    if not (0 <= train <= 1 and 0 <= validation <= 1):
        return None
    error = gap_from_rates(train, rows[0], validation, rows[1]).standard_error if rows and min(rows) else None
    return AccuracyGap(epoch, train - validation, error, _size(train - validation, error))


def _trend(losses: Sequence[float], train: Sequence[float], strip: int) -> Trend:
    if not all(math.isfinite(loss) for loss in losses[-strip:]):
        return "diverging"
    lowest, epoch = _lowest(losses, strip)
    if _rose(losses, strip, lowest):
        return "diverging" if train[epoch - 1 :] and _rose(train, strip, train[epoch - 1]) else "overfit"
    return "falling" if lowest - fmean(losses[-strip:]) > _margin(STILL_FALLING, lowest) else "converged"


def _rose(losses: Sequence[float], strip: int, before: float) -> bool:
    return fmean(losses[-strip:]) - before > _margin(ABOVE_LOWEST, before)


def _lowest(losses: Sequence[float], strip: int) -> tuple[float, int]:
    """The lowest value before the last strip, and its epoch; infinite where none is a number."""
    numbers = [(loss, epoch) for epoch, loss in enumerate(losses[:-strip], 1) if not math.isnan(loss)]
    return min(numbers, default=(math.inf, 1))


def _margin(share: float, of: float) -> float:
    return max(share * abs(of), LEAST)


def _size(value: float, error: float | None) -> GapSize:
    if error is not None and abs(value) <= ERRORS * error:
        return "none"
    if value < 0:
        return "reversed"
    return "small" if value < MODERATE else "moderate" if value < LARGE else "large"
