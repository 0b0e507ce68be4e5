"""Trials that all trained to the end, side by side: their curves, their test scores, what training promised."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from reports.canvas import (
    COLOURS,
    DASHES,
    GREY,
    Chart,
    Dashes,
    by_epoch,
    canvas,
    curve,
    legend,
    legend_above,
    legend_outside,
    panels,
    percent,
    scale,
    short_label,
)
from reports.leaderboard import usable
from reports.sections import Table, there
from reports.words import SPLITS, is_share, listed, printable, scalar, shown, spoken
from spaces.parameters import Scalar
from spaces.space import OF_HYPERMODELS, is_hypermodel
from studies.records import StudyRecord, TrialRecord

MOST_TRIALS = 24
MOST_NAMED = 4  # params that tell trials apart by more than a number
LONGEST_NAME = 34
ENDS = {"early_stopping": "early stopping", "plateau": "lower rate at plateaus"}


def comparison(study: StudyRecord) -> tuple[Chart, ...]:
    """The pictures of a study without pruning; none of one that prunes, or has too many trials to tell apart."""
    trials = side_by_side(study)
    if not trials:
        return ()
    return there(every_curve(study, trials), test_bars(study, trials), against_training(study, trials))


def side_by_side(study: StudyRecord) -> list[TrialRecord]:
    """The complete trials of a study without pruning, the best first; none of one that `comparison` does not show."""
    trials = [trial for trial in usable(study) if trial.state == "complete"]
    is_comparison = study.section("hyperband").get("mode") == "none" and 2 <= len(trials) <= MOST_TRIALS
    return trials if is_comparison else []


def every_curve(study: StudyRecord, trials: Sequence[TrialRecord]) -> Chart | None:
    """Training and validation by epoch, every trial in a look of its own; None where no history was kept."""
    metric = study.metric
    every = (f"train_{metric}", f"val_{metric}")
    names = [name for name in every if any(trial.history.get(name) for trial in trials)]
    if not names:
        return None
    figure, plots = panels(len(names), height=max(2.6, 0.1 * len(trials)))
    for axes, name in zip(plots, names, strict=True):
        for place, trial in enumerate(trials):
            colour, dashes = look(place)
            curve(axes, trial.history.get(name, ()), label(study, trial), colour=colour, dashes=dashes)
        split, _, _ = name.partition("_")
        values = [value for trial in trials for value in trial.history.get(name, ())]
        scale(axes, metric, values, maximize=study.direction == "maximize")
        axes.set_ylabel(f"{SPLITS[split]} {spoken(metric)}")
    by_epoch(axes)
    legend_outside(figure, axes)
    told = "; ".join(f"{label(study, trial)} {shown(metric, trial.value)}" for trial in trials)
    return Chart("All trials together", figure, f"By epoch, best validation {spoken(metric)}: {told}.", detailed=True)


def test_bars(study: StudyRecord, trials: Sequence[TrialRecord]) -> Chart | None:
    """Test scores as bars, in the order of validation, whose scores are marked; None where nothing was tested."""
    metric = study.metric
    tested = [(trial, trial.test.metrics.get(f"test_{metric}")) for trial in trials if trial.test]
    rows = [(trial, score) for trial, score in tested if score is not None and math.isfinite(score)]
    if not rows:
        return None
    figure, axes = canvas(height=1.3 + 0.24 * len(rows))
    places = range(len(rows))
    axes.barh(places, [score for _, score in rows], 0.6, color=COLOURS[5], label="test")
    axes.plot(
        [trial.value or 0.0 for trial, _ in rows], places, "D", color="black", fillstyle="none", label="validation"
    )
    axes.set_yticks(places, [label(study, trial) for trial, _ in rows], fontsize=8)
    axes.invert_yaxis()
    values = [value for trial, score in rows for value in (score, trial.value) if value is not None]
    margin = 0.1 * (max(values) - min(values)) or 0.01
    axes.set_xlim(max(0.0, min(values) - 5 * margin), max(values) + margin)
    axes.grid(visible=False, axis="y")
    left = axes.get_xlim()[0]
    axes.set_xlabel(f"{spoken(metric)}, from {shown(metric, left)} on" if left else spoken(metric))
    if is_share(metric):
        percent(axes.xaxis)
    legend_above(axes, columns=2)
    told = "; ".join(f"{label(study, trial)} {shown(metric, score)}" for trial, score in rows)
    return Chart(f"Test {spoken(metric)}", figure, f"In the order of validation: {told}.", detailed=True)


test_bars.__test__ = False  # type: ignore[attr-defined]  # its name begins with "test": pytest would collect it


def against_training(study: StudyRecord, trials: Sequence[TrialRecord]) -> Chart | None:
    """Validation and test against training, at each trial's best epoch; None where training was not measured."""
    metric = study.metric
    trained = [trial for trial in trials if trial.metrics.get(f"train_{metric}") is not None]
    if len(trained) < 2:
        return None
    figure, axes = canvas()
    values: list[float] = []
    for split, marker, colour in (("val", "o", COLOURS[0]), ("test", "^", COLOURS[1])):
        points = [point for trial in trained if (point := _point(trial, metric, split))]
        if points:
            axes.scatter(*zip(*points, strict=True), marker=marker, color=colour, label=SPLITS[split])
            values += [value for point in points for value in point]
    for trial in trained:
        if point := _point(trial, metric, "val"):
            axes.annotate(str(trial.number), point, (4, 3), textcoords="offset points", fontsize=7, color=GREY)
    low, high = min(values), max(values)
    axes.plot((low, high), (low, high), color=GREY, linestyle="--", linewidth=1, label="as good as in training")
    axes.set_xlabel(f"training {spoken(metric)}")
    axes.set_ylabel(spoken(metric))
    if is_share(metric):
        percent(axes.xaxis)
        percent(axes.yaxis)
    legend(axes)
    told = "; ".join(_told(study, trial, metric) for trial in trained)
    return Chart("Against training", figure, f"Training, validation and test {spoken(metric)}: {told}.")


def shared(study: StudyRecord) -> Table | None:
    """The hyperparameters that all trials have in common; the leaderboard has those in which they differ."""
    training = study.section("training")
    counts = OF_HYPERMODELS if is_hypermodel(str(study.space.get("model"))) else training
    training = {name: value for name, value in training.items() if name in counts and value is not None}
    names = {name for trial in study.trials for name in trial.params}
    common = {name: {trial.params.get(name) for trial in study.trials} for name in sorted(names)}
    fixed = {name: values.pop() for name, values in common.items() if len(values) == 1}
    rows = {name: value for name, value in training.items() if name not in names} | fixed
    rows |= {title: value for section, title in ENDS.items() if (value := _given(study.section(section)))}
    epochs = study.section("hyperband").get("max_resource")
    rows |= {"epochs at most": epochs} if epochs else {}
    if not study.trials or not rows:
        return None
    cells = tuple((printable(name), scalar(value)) for name, value in rows.items())
    return Table("Shared by all trials", ("hyperparameter", "value"), cells, names=2)


def look(place: int) -> tuple[str, Dashes]:
    """Colour and dashes of a curve among up to 36: the first six in full."""
    return COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)]


def label(study: StudyRecord, trial: TrialRecord) -> str:
    """A trial's number, and what it differs in where that is little."""
    names = list(dict.fromkeys(name for other in study.trials for name in other.params))
    varying = [name for name in names if len({other.params.get(name) for other in study.trials}) > 1]
    values = [scalar(trial.params[name]) for name in varying if name in trial.params]
    if not values or len(varying) > MOST_NAMED:
        return f"trial {trial.number}"
    return f"{trial.number}: {', '.join(_fitted(values, LONGEST_NAME - 2 * len(values)))}"


def _given(section: Mapping[str, Scalar]) -> str:
    """The keys of a section in one cell."""
    return ", ".join(f"{name} {scalar(value)}" for name, value in section.items())


def _fitted(values: Sequence[str], longest: int) -> list[str]:
    """Values in so many letters together: the short ones whole, the long ones cut to one length."""
    most = max(map(len, values))
    while most > 1 and sum(min(len(value), most) for value in values) > longest:
        most -= 1
    return [short_label(value, most) for value in values]


def _point(trial: TrialRecord, metric: str, split: str) -> tuple[float, float] | None:
    scores = trial.test.metrics if split == "test" and trial.test else trial.metrics
    pair = trial.metrics[f"train_{metric}"], scores.get(f"{split}_{metric}")
    return (pair[0], pair[1]) if pair[1] is not None and all(map(math.isfinite, (pair[0], pair[1]))) else None


def _told(study: StudyRecord, trial: TrialRecord, metric: str) -> str:
    values = [trial.metrics.get(f"train_{metric}"), trial.metrics.get(f"val_{metric}")]
    values += [trial.test.metrics.get(f"test_{metric}")] if trial.test else []
    return f"{label(study, trial)} {listed([shown(metric, value) for value in values if value is not None])}"
