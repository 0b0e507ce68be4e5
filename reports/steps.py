"""Single training steps in pictures: loss, accuracy and the first layer's gradient, trial by trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from reports.canvas import COLOURS, DASHES, Chart, legend, panels, percent, whole_numbers
from reports.errors import ReportError
from reports.leaderboard import usable
from studies.files import trial_folder
from studies.records import StudyRecord
from studies.steps import FILE, Steps, read_steps

MOST_POINTS = 300  # a curve; more are averaged
PANELS = (
    ("train_loss", "loss of the batch"),
    ("train_accuracy", "accuracy of the batch"),
    ("val_accuracy", "validation accuracy"),
    ("gradient_norm", "norm of the first\nlayer's gradient"),
)


def recorded_steps(study: StudyRecord, folder: Path, top: int = len(COLOURS)) -> dict[int, Steps]:
    """What was recorded of the best trials, by number, the best first.

    Args:
        study: What happened.
        folder: The study's, with a folder a trial.
        top: How many trials, at most 6: a chart tells no more apart.
    Raises:
        ReportError: A file isn't what it should be.
    """
    found: dict[int, Steps] = {}
    for trial in usable(study):
        path = folder / trial_folder(trial.number) / FILE
        if len(found) < min(top, len(COLOURS)) and path.is_file():
            try:
                found[trial.number] = read_steps(path)
            except (OSError, ValueError) as problem:
                raise ReportError(f"{path}: cannot be read ({problem})") from problem
    return found


def steps_chart(recorded: Mapping[int, Steps]) -> Chart | None:
    """Loss, accuracies and the gradient's norm by step; None where nothing was recorded.

    Args:
        recorded: By trial.
    """
    if not any(steps["step"] for steps in recorded.values()):
        return None
    figure, plots = panels(len(PANELS), height=2.0)
    for axes, (column, label) in zip(plots, PANELS, strict=True):
        for place, (number, steps) in enumerate(recorded.items()):
            points = _thinned(steps["step"], steps[column])
            axes.plot(*points, color=COLOURS[place], linestyle=DASHES[place], linewidth=1, label=f"trial {number}")
        axes.set_ylabel(label)
        if column.endswith("accuracy"):
            percent(axes.yaxis)
        elif any(value > 0 for steps in recorded.values() for value in steps[column]):
            axes.set_yscale("log")  # losses and gradients differ by powers of ten between trials
    legend(plots[0])
    plots[-1].set_xlabel("training step")
    whole_numbers(plots[-1].xaxis)
    return Chart("Step by step", figure, _words(recorded))


def _thinned(steps: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """A curve of `MOST_POINTS` points or fewer, each the mean of a stretch of it."""
    import numpy as np

    size = math.ceil(len(steps) / MOST_POINTS)
    starts = np.arange(0, len(steps), max(1, size))
    counts = np.diff([*starts, len(steps)])
    means = [list(np.add.reduceat(np.asarray(column, float), starts) / counts) for column in (steps, values)]
    return means[0], means[1]


def _words(recorded: Mapping[int, Steps]) -> str:
    said = [
        f"trial {number} from a loss of {steps['train_loss'][0]:.3g} at step {steps['step'][0]:.0f} to "
        f"{steps['train_loss'][-1]:.3g} at step {steps['step'][-1]:.0f}, gradient {steps['gradient_norm'][0]:.3g} to "
        f"{steps['gradient_norm'][-1]:.3g}"
        for number, steps in recorded.items()
        if steps["step"]
    ]
    return f"Training step by step, of the best trials: {'; '.join(said)}."
