"""Single training steps in pictures: loss, accuracy and the first layer's gradient, trial by trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports.canvas import COLOURS, Chart, legend_outside, panels, percent, whole_numbers
from reports.comparison import label, look, side_by_side
from reports.errors import ReportError
from reports.leaderboard import usable
from studies.files import trial_folder
from studies.records import StudyRecord
from studies.steps import FILE, Steps, read_steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 300  # a curve; more are averaged
FAR = 100  # times apart
PANELS = (
    ("train_loss", "loss of the batch"),
    ("train_accuracy", "accuracy of the batch"),
    ("val_accuracy", "validation accuracy"),
    ("gradient_norm", "norm of the first\nlayer's gradient"),
)


def recorded_steps(study: StudyRecord, folder: Path) -> dict[int, Steps]:
    """What was recorded of the best six trials, or of all that are compared without pruning: by number, the best first.

    Args:
        study: What happened.
        folder: The study's, with a folder a trial.
    Raises:
        ReportError: A file isn't what it should be.
    """
    found: dict[int, Steps] = {}
    most = max(len(COLOURS), len(side_by_side(study)))
    for trial in usable(study):
        path = folder / trial_folder(trial.number) / FILE
        if len(found) < most and path.is_file():
            try:
                found[trial.number] = read_steps(path)
            except (OSError, ValueError) as problem:
                raise ReportError(f"{path}: cannot be read ({problem})") from problem
    return found


def steps_chart(study: StudyRecord, recorded: Mapping[int, Steps]) -> Chart | None:
    """Loss, accuracies and the gradient's norm by step; None where nothing was recorded.

    Args:
        study: What happened.
        recorded: By trial.
    """
    curves = {_name(study, number): steps for number, steps in recorded.items() if steps["step"]}
    if not curves:
        return None
    figure, plots = panels(len(PANELS), height=2.0)
    for axes, (column, title) in zip(plots, PANELS, strict=True):
        for place, (name, steps) in enumerate(curves.items()):
            colour, dashes = look(place)
            points = _thinned(steps["step"], steps[column])
            axes.plot(*points, color=colour, linestyle=dashes, linewidth=1, label=name)
        axes.set_ylabel(title)
        if column.endswith("accuracy"):
            percent(axes.yaxis)
        else:
            _scale(axes, [value for steps in curves.values() for value in steps[column]])
    legend_outside(figure, axes)
    axes.set_xlabel("training step")
    whole_numbers(axes.xaxis)
    return Chart("Loss, accuracy and gradient", figure, _words(curves), detailed=True)


def _name(study: StudyRecord, number: int) -> str:
    trial = study.trial(number)
    return label(study, trial) if trial else f"trial {number}"


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """Powers of ten where values lie far apart, as losses and gradients of several trials may."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    positive = [value for value in values if 0 < value < math.inf]
    if positive and max(positive) > FAR * min(positive):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _thinned(steps: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """A curve of `MOST_POINTS` points or fewer, each the mean of a stretch of it."""
    import numpy as np

    size = math.ceil(len(steps) / MOST_POINTS)
    starts = np.arange(0, len(steps), max(1, size))
    counts = np.diff([*starts, len(steps)])
    means = [list(np.add.reduceat(np.asarray(column, float), starts) / counts) for column in (steps, values)]
    return means[0], means[1]


def _words(curves: Mapping[str, Steps]) -> str:
    said = [
        f"{name} from a loss of {steps['train_loss'][0]:.3g} at step {steps['step'][0]:.0f} to "
        f"{steps['train_loss'][-1]:.3g} at step {steps['step'][-1]:.0f}, gradient {steps['gradient_norm'][0]:.3g} to "
        f"{steps['gradient_norm'][-1]:.3g}"
        for name, steps in curves.items()
    ]
    return f"Training step by step: {'; '.join(said)}."
