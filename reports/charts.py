"""A study in pictures: learning curves, rungs, the way to the best value, gaps."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from reports.canvas import (
    COLOURS,
    DASHES,
    GREY,
    HATCHES,
    Chart,
    beyond,
    by_epoch,
    canvas,
    in_sight,
    legend,
    legend_above,
    panels,
    scale,
    split_curves,
    whole_numbers,
)
from reports.leaderboard import is_ranked, mean, other_metric, ranked, retrained_groups
from reports.rungs import RungCount, by_bracket, rung_counts
from reports.words import GAP_METRIC, counted, listed, shown, signed, spoken
from studies.records import StudyRecord, TrialRecord, sign_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = tuple[float, float]
MOST_GREY_CURVES = 200
MOST_GAPS = 20
MOST_VECTOR_POINTS = 2000
MARKERS = {"pruned": (GREY, "x"), "paused": (COLOURS[4], "d"), "complete": (COLOURS[0], "o")}


def learning_curves(study: StudyRecord, top: int = len(COLOURS)) -> Chart | None:
    """The monitor by epoch: the best trials in colour, the others in grey behind them.

    Args:
        study: What happened.
        top: How many trials to tell apart, at most 6.
    Returns:
        None where no ranked trial kept its history.
    """
    trials = [trial for trial in ranked(study) if trial.history.get(study.monitor)]
    best = [trial for trial in trials if is_ranked(trial)][: min(top, len(COLOURS))]
    if not best:
        return None
    figure, axes = canvas()
    others = [trial for trial in trials if trial not in best][:MOST_GREY_CURVES]
    for trial in others:
        axes.plot(*_curve(study, trial), color=GREY, alpha=0.3, linewidth=0.7)
    for place in reversed(range(len(best))):
        _draw_curve(axes, study, best[place], place)
    scale(axes, study.metric, _worth_seeing(study, best, others), maximize=study.direction == "maximize")
    by_epoch(axes)
    legend(axes, range(len(best))[::-1])
    values = ", ".join(f"trial {trial.number} {shown(study.metric, trial.value)}" for trial in best)
    text = f"Validation {spoken(study.metric)} by epoch, a dot at the best epoch. Best values: {values}."
    grey = f" {counted(len(others), 'other trial')} in grey." if others else ""
    return Chart("Learning curves", figure, text + grey)


def _worth_seeing(study: StudyRecord, best: Sequence[TrialRecord], others: Sequence[TrialRecord]) -> list[float]:
    """Values that the axis holds: the best curves from end to end, and how far the better half of the others came."""
    curves = [value for trial in best for value in trial.history[study.monitor]]
    return curves + [trial.value for trial in others[: len(others) // 2] if trial.value is not None]


def trial_curves(study: StudyRecord, trial: TrialRecord) -> Chart | None:
    """The study's metric and the other one by epoch, in training and validation; None without a history."""
    metrics = [name for name in (study.metric, other_metric(study)) if trial.history.get(f"val_{name}")]
    if not metrics:
        return None
    figure, plots = panels(len(metrics))
    for axes, metric in zip(plots, metrics, strict=True):
        split_curves(axes, trial.history, metric)
        if trial.best_epoch:
            axes.axvline(trial.best_epoch, color=GREY, linestyle=":", label=f"best epoch: {trial.best_epoch}")
    legend_above(plots[0], columns=3)
    by_epoch(axes)
    figure.align_ylabels()
    at = "" if trial.best_epoch is None else f" at epoch {trial.best_epoch} of {trial.epochs}"
    best = f"best {shown(metrics[0], trial.value)}{at}"
    text = f"Trial {trial.number} by epoch, in training and validation: {listed([spoken(name) for name in metrics])}"
    return Chart(f"Learning curve of trial {trial.number}", figure, f"{text}; {best}.")


def rungs(study: StudyRecord) -> Chart | None:
    """How many trials reached each rung, bracket by bracket; None where there are no rungs."""
    counts = rung_counts(study)
    if not counts:
        return None
    figure, axes = canvas()
    all_rungs = sorted({count.epochs for count in counts})
    brackets = by_bracket(counts)
    width = 0.8 / len(brackets)
    for own in brackets:
        _draw_bars(axes, own, [_centre(counts, count, all_rungs, width) for count in own], width)
    axes.set_xticks(range(len(all_rungs)), [str(rung) for rung in all_rungs])
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("rung, in epochs")
    axes.set_ylabel("trials that reached it")
    whole_numbers(axes.yaxis)
    if len(brackets) > 1:
        legend(axes)
    return Chart("Rungs", figure, f"Trials that reached each rung. {_rung_words(counts)}")


def progress(study: StudyRecord) -> Chart | None:
    """Values by the epochs that the search had trained by then, and the best complete one so far.

    The store does not tell when an epoch was trained. So all epochs of a trial are counted from its beginning on. A
    complete trial stands at the count when it ended, any other at the count when it began.

    Returns:
        None where fewer than two trials have a value.
    """
    points = _spending(study)
    if len(points) < 2:
        return None
    figure, axes = canvas()
    for state, (colour, marker) in MARKERS.items():
        own = [point for point, trial in points if trial.state == state]
        if own:
            x, y = zip(*own, strict=True)
            many = len(own) > MOST_VECTOR_POINTS
            axes.scatter(x, y, s=22, c=colour, marker=marker, label=state, alpha=0.8, rasterized=many)
    steps = _best_so_far(study, points)
    if steps:
        x, y = zip(*steps, (points[-1][0][0], steps[-1][1]), strict=True)
        axes.step(x, y, where="post", color=COLOURS[1], label="best complete so far")
    maximize = study.direction == "maximize"
    values = sorted((value for (_, value), _ in points), reverse=maximize)
    scale(axes, study.metric, in_sight(values), maximize=maximize)
    _tell_of_worse(axes, values, maximize=maximize)
    axes.set_xlabel("epochs of all trials begun by then")
    whole_numbers(axes.xaxis)
    legend(axes)
    return Chart("The way to the best", figure, _progress_words(study, points, steps))


def _tell_of_worse(axes: Axes, values: Sequence[float], *, maximize: bool) -> None:
    """Say over the plot, where no point can lie under it, how many points lie beyond its edge."""
    worse = beyond(axes, values)
    if worse:
        text = f"{counted(worse, 'trial')} {'below' if maximize else 'above'}, not shown"
        axes.set_title(text, loc="right", color=GREY, fontsize="small")


def gaps(study: StudyRecord) -> Chart | None:
    """Accuracy, validation minus test with standard errors, the best trial first; None where nothing was tested."""
    rows = gap_rows(study)
    if not rows:
        return None
    figure, axes = canvas(height=1.3 + 0.24 * len(rows))
    for place, (name, gap, error) in enumerate(rows):
        again = name.endswith("retrained")
        axes.errorbar(
            gap * 100,
            place,
            xerr=None if error is None else error * 100,
            fmt="D" if again else "o",
            color=COLOURS[1] if again else COLOURS[0],
            capsize=3,
        )
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    what = f"validation minus test, points of {GAP_METRIC}"
    axes.set_xlabel(f"{what} ± standard error\n(right of 0: test is worse)")
    words = "; ".join(f"{name} {signed(GAP_METRIC, gap, error)}" for name, gap, error in rows)
    return Chart("Gaps between validation and test", figure, f"{what.capitalize()}: {words}.")


def _curve(study: StudyRecord, trial: TrialRecord) -> tuple[range, tuple[float, ...]]:
    values = trial.history[study.monitor]
    return range(1, len(values) + 1), values


def _draw_curve(axes: Axes, study: StudyRecord, trial: TrialRecord, place: int) -> None:
    epochs, values = _curve(study, trial)
    colour = COLOURS[place]
    axes.plot(epochs, values, color=colour, linestyle=DASHES[place], label=f"trial {trial.number}")
    if trial.best_epoch and trial.best_epoch <= len(values):
        axes.plot(trial.best_epoch, values[trial.best_epoch - 1], "o", color=colour, markersize=5)


def _draw_bars(axes: Axes, counts: Sequence[RungCount], centres: Sequence[float], width: float) -> None:
    bracket = counts[0].bracket
    style = bracket % len(COLOURS)
    bars = axes.bar(
        centres,
        [count.reached for count in counts],
        width * 0.9,
        color=COLOURS[style],
        edgecolor="white",
        hatch=HATCHES[style],
        label=f"bracket {bracket}",
    )
    axes.bar_label(bars, fontsize="small")


def _centre(counts: Sequence[RungCount], count: RungCount, all_rungs: Sequence[int], width: float) -> float:
    """Where a bar stands: beside those of the other brackets that have its rung."""
    there = [other.bracket for other in counts if other.epochs == count.epochs]
    return all_rungs.index(count.epochs) + (there.index(count.bracket) - (len(there) - 1) / 2) * width


def _rung_words(counts: Sequence[RungCount]) -> str:
    told = ((own[0].bracket, [f"{count.reached} at {count.epochs}" for count in own]) for own in by_bracket(counts))
    return " ".join(f"Bracket {bracket}: {', '.join(texts)}." for bracket, texts in told)


def _spending(study: StudyRecord) -> list[tuple[Point, TrialRecord]]:
    begun = sorted(study.trials, key=_start)
    starts = [_start(trial) for trial in begun]
    spent = list(accumulate((trial.epochs for trial in begun), initial=0))
    usable = [trial for trial in begun if is_ranked(trial) and trial.value is not None and trial.state in MARKERS]
    points = [((float(spent[bisect_right(starts, _until(trial))]), trial.value or 0.0), trial) for trial in usable]
    return sorted(points, key=lambda point: (point[0][0], point[1].number))


def _start(trial: TrialRecord) -> tuple[float, int]:
    return (trial.started.timestamp() if trial.started else math.inf, trial.number)


def _until(trial: TrialRecord) -> tuple[float, float]:
    """Up to when trials must have begun to count: the end of a complete trial, the beginning of another."""
    ended = trial.state == "complete" and trial.ended
    return (ended.timestamp(), math.inf) if ended else _start(trial)


def _best_so_far(study: StudyRecord, points: Sequence[tuple[Point, TrialRecord]]) -> list[Point]:
    steps: list[Point] = []
    sign = sign_of(study.direction)
    for (spent, value), trial in points:
        if trial.state == "complete" and (not steps or sign * value > sign * steps[-1][1]):
            steps.append((spent, value))
    return steps


def _progress_words(study: StudyRecord, points: Sequence[tuple[Point, TrialRecord]], steps: Sequence[Point]) -> str:
    metric = study.metric
    text = f"Validation {spoken(metric)} of {counted(len(points), 'trial')} by the epochs of all trials begun by then."
    if not steps:
        return f"{text} No trial is complete."
    first, last = steps[0], steps[-1]
    found = f"The first complete one came after {counted(round(first[0]), 'epoch')} with {shown(metric, first[1])}"
    return f"{text} {found}, the best after {last[0]:,.0f} with {shown(metric, last[1])}."


def gap_rows(study: StudyRecord) -> list[tuple[str, float, float | None]]:
    """Each tested trial's name, its gap and the gap's standard error, the best first; then the retrained ones."""
    rows = [
        (f"trial {trial.number}", trial.test.gap, trial.test.gap_se)
        for trial in ranked(study)
        if trial.test and trial.test.gap is not None
    ][:MOST_GAPS]
    for group in retrained_groups(study):
        gap = mean(record.gap for record in group)
        if gap is not None:
            rows.append((f"trial {group[0].trial} retrained", gap, mean(record.gap_se for record in group)))
    return [row for row in rows if math.isfinite(row[1])]
