"""What the parameters did: their importances, slices of the space, and trials as lines through all parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.canvas import COLOURS, DASHES, GREY, Chart, beyond, canvas, in_sight, percent, scale, short_label
from reports.leaderboard import usable
from reports.sections import Section, there
from reports.words import counted, listed, printable, scalar, shown, spoken
from spaces.parameters import Scalar
from studies.importance import Importances, importances, law_of, varying_params
from studies.records import StudyRecord, TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "What the parameters did"
BRIEFLY = "most trials were trained briefly"
LEARNED = "the sampler tried more of what looked good"
LEARNERS = ("tpe", "gp", "cmaes")
MOST_SLICES = 6
MOST_LINES = 200
MOST_AXES = 8
BEST = 5
MOST_TICKS = 5
LONGEST_NAME = 14
WORST_SHARE = 0.2
ROOM = 72  # letters side by side under a whole row of slices


@dataclass(frozen=True, slots=True)
class Dimension:
    """A parameter as an axis of a chart.

    Attributes:
        name: Of the parameter.
        log: Whether the axis is logarithmic.
        choices: Of a parameter that has some or is no number, each at its own place from 0.
    """

    name: str
    log: bool
    choices: tuple[Scalar, ...] = ()

    def place(self, value: Scalar) -> float:
        """Where a value lies, before logarithms."""
        return float(self.choices.index(value)) if self.choices else float(value)


def parameter_section(study: StudyRecord) -> Section:
    """Every picture of parameters for which the study has something to show."""
    found = importances(study)
    trials = usable(study)
    names = _in_order(varying_params(trials), found)
    if len(trials) < 2 or not names:
        return Section(TITLE)
    dimensions = [_dimension(study, name, trials) for name in names]
    drawn = there(_importance_bars(found), _slices(study, trials, dimensions), _lines(study, trials, dimensions))
    sentences = [_importance_words(found)] if found else []
    return Section(TITLE, (*sentences, *_caution(study, trials)), drawn)


def _caution(study: StudyRecord, trials: Sequence[TrialRecord]) -> list[str]:
    """Why parameters and values may go together by the way in which the study searched."""
    from studies.spread import START

    briefly = sum(trial.state != "complete" for trial in trials) > len(trials) / 2
    chosen = len(study.plan.get("enqueue") or ()) >= len(study.trials)
    learned = study.section("sampler").get("name") in LEARNERS and not chosen and len(trials) > START
    reasons = [reason for reason, holds in ((BRIEFLY, briefly), (LEARNED, learned)) if holds]
    return [f"{', and '.join(reasons)}: read these with care.".capitalize()] if reasons else []


def _in_order(names: Sequence[str], found: Importances | None) -> list[str]:
    shares = found.shares if found else {}
    return sorted(names, key=lambda name: -shares.get(name, 0.0))


def _dimension(study: StudyRecord, name: str, trials: Sequence[TrialRecord]) -> Dimension:
    law = law_of(study, name)
    values = [trial.params[name] for trial in trials if name in trial.params]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if numbers and not law.get("choices"):
        log = bool(law.get("log")) and not law.get("reverse")  # those are coarse near low, where logarithms spread
        return Dimension(name, log and min(float(value) for value in values) > 0)
    declared = [choice for choice in law.get("choices") or () if choice in values]
    return Dimension(name, False, tuple(dict.fromkeys([*declared, *sorted(values, key=str)])))


def _importance_bars(found: Importances | None) -> Chart | None:
    if found is None:
        return None
    shares = list(found.shares.items())[: 2 * MOST_AXES]
    figure, axes = canvas(height=1.2 + 0.3 * len(shares))
    places = range(len(shares))
    axes.barh(places, [share for _, share in shares], 0.6, color=COLOURS[0])
    for place, (_, share) in enumerate(shares):
        axes.text(share + 0.01, place, f"{share:.0%}", va="center", fontsize="small")
    axes.set_yticks(places, [_label(name) for name, _ in shares])
    axes.invert_yaxis()
    axes.set_xlim(0, max(share for _, share in shares) * 1.12)
    percent(axes.xaxis)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("share in what makes the best quarter of trials")
    return Chart("Importance of parameters", figure, _importance_words(found))


def _importance_words(found: Importances) -> str:
    after = "" if found.epochs is None else f" after {counted(found.epochs, 'epoch')}"
    compared = f"{counted(found.trials, 'trial')}{after}"
    told = listed([f"{printable(name)} {share:.0%}" for name, share in list(found.shares.items())[: 2 * MOST_AXES]])
    return f"How much each parameter decides whether a trial is in the best quarter of {compared} (PED-ANOVA): {told}."


def _slices(study: StudyRecord, trials: Sequence[TrialRecord], dimensions: Sequence[Dimension]) -> Chart:
    """Values against each parameter by itself, the most important ones first; the darker, the longer trained.

    The worst ones lie at the edge where they would press the others flat.
    """
    from matplotlib.figure import Figure

    drawn = dimensions[:MOST_SLICES]
    columns = min(3, len(drawn))
    lines = math.ceil(len(drawn) / columns)
    figure = Figure(figsize=(6.0, 0.5 + 2.0 * lines), layout="constrained")
    plots = list(figure.subplots(lines, columns, squeeze=False, sharey=True).flat)
    metric = study.metric
    maximize = study.direction == "maximize"
    values = sorted((trial.value for trial in trials if trial.value is not None), reverse=maximize)
    scale(plots[0], metric, in_sight(values), maximize=maximize)
    for axes, one in zip(plots, drawn, strict=False):
        _draw_slice(axes, trials, one, plots[0].get_ylim(), ROOM // columns)
    for axes in plots[len(drawn) :]:
        axes.set_axis_off()
    shades = len({trial.epochs for trial in trials}) > 1
    note = _slice_note(beyond(plots[0], values), maximize=maximize, shades=shades)
    figure.supxlabel(note, fontsize="small", color=GREY)
    for place, axes in enumerate(plots):
        axes.set_ylabel(spoken(metric) if place % columns == 0 else "")
    darkness = "; the darker a point, the longer the trial trained" if shades else ""
    words = [f"Validation {spoken(metric)} against each parameter{darkness}."]
    words += [_slice_words(trials, one) for one in drawn]
    if len(dimensions) > len(drawn):
        words.append(f"Not drawn: {counted(len(dimensions) - len(drawn), 'more parameter')}.")
    return Chart("Slices: one parameter at a time", figure, " ".join(words), detailed=True)


def _slice_note(worse: int, *, maximize: bool, shades: bool) -> str:
    """What stands below the slices: what shades mean, where there are any, and how many points lie at the edge."""
    edge, side = ("lower", "below") if maximize else ("upper", "above")
    notes = ["the darker, the longer trained"] if shades else []
    notes += [f"at the {edge} edge: {counted(worse, 'trial')} {side} it"] if worse else []
    return "; ".join(notes)


def _draw_slice(
    axes: Axes, trials: Sequence[TrialRecord], one: Dimension, ends: tuple[float, float], room: int
) -> None:
    from matplotlib.ticker import MaxNLocator

    most = max(trial.epochs for trial in trials) or 1
    own = sorted((trial for trial in trials if one.name in trial.params), key=lambda trial: trial.epochs)
    strength = [math.log1p(trial.epochs) / math.log1p(most) for trial in own]
    places = [one.place(trial.params[one.name]) for trial in own]
    values = [min(max(trial.value or 0.0, ends[0]), ends[1]) for trial in own]
    many = len(own) > MOST_LINES
    axes.scatter(places, values, c=strength, cmap="Blues", vmin=-0.5, vmax=1, s=14, edgecolors=GREY, linewidths=0.3,
                 rasterized=many, clip_on=False)  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_xlabel(_label(one.name), fontsize="small")
    axes.tick_params(labelsize="small")
    if one.log:
        _log_axis(axes, sorted(set(places)), room)
    if one.choices:
        _name_choices(axes, [_label(scalar(choice)) for choice in one.choices], room)
    elif not one.log:
        whole = all(place == round(place) for place in places)
        axes.xaxis.set_major_locator(MaxNLocator(MOST_TICKS, integer=whole))


def _name_choices(axes: Axes, names: Sequence[str], room: int) -> None:
    """Each choice by its name, aslant where the widest ones would touch."""
    flat = (max(map(len, names)) + 1) * len(names) <= room
    turned: dict[str, Any] = {} if flat else {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(names)), names, **turned)
    axes.set_xlim(-0.5, len(names) - 0.5)


def _log_axis(axes: Axes, places: Sequence[float], room: int) -> None:
    """A logarithmic axis; of a grid its own values, else powers of ten, or 1, 2 and 5 of few powers."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    marks = list(places)
    if len(places) <= MOST_TICKS:
        axes.xaxis.set_minor_locator(NullLocator())
    elif places[-1] < 100 * places[0]:
        marks = [mark for mark in _one_two_five(places[0]) if places[0] <= mark <= places[-1]]
        marks = marks if len(marks) > 1 else [places[0], places[-1]]
    else:
        axes.xaxis.set_major_locator(LogLocator(numticks=MOST_TICKS))
        return
    letters = 0.9 * room / (math.log(places[-1] / places[0]) or 1.0)  # by which a logarithm is wide
    apart = _apart([(scalar(mark if mark % 1 else int(mark)), letters * math.log(mark)) for mark in marks])
    axes.set_xticks([marks[place] for place in apart], [apart[place] for place in apart])


def _one_two_five(low: float) -> list[float]:
    """1, 2 and 5 times the power of ten below `low` and those above it, for numbers up to a hundred times as large."""
    power = math.floor(math.log10(low))
    return [float(f"{digit}e{power + more}") for more in range(4) for digit in (1, 2, 5)]


def _apart(names: Sequence[tuple[str, float]]) -> dict[int, str]:
    """Names by their place in the list, but those that would touch: both ends, and what fits between them.

    Args:
        names: Each with where its middle stands, in letters, from left to right.
    """
    *between, last = range(len(names))
    kept = between[:1]
    for place in between[1:]:
        if all(_gap(names[other], names[place]) >= 1 for other in (kept[-1], last)):
            kept.append(place)
    return {place: names[place][0] for place in [*kept, last]}


def _gap(one: tuple[str, float], other: tuple[str, float]) -> float:
    """The letters between two names."""
    return abs(one[1] - other[1]) - (len(one[0]) + len(other[0])) / 2


def _slice_words(trials: Sequence[TrialRecord], one: Dimension) -> str:
    """Where the best trials lie."""
    best = [trial for trial in trials if one.name in trial.params][:BEST]
    name, values = printable(one.name), [trial.params[one.name] for trial in best]
    if one.choices:
        return f"{name}: the best {len(best)} have {listed([printable(str(v)) for v in dict.fromkeys(values)])}."
    low, high = (scalar(end) for end in (min(values, key=float), max(values, key=float)))
    return f"{name}: the best {len(best)} from {low} to {high}." if low != high else f"{name}: the best have {low}."


def _lines(study: StudyRecord, trials: Sequence[TrialRecord], dimensions: Sequence[Dimension]) -> Chart | None:
    """Parallel coordinates: each trial a line through its parameters to its value, the best ones in colour."""
    shown_trials = trials[:MOST_LINES]
    # A line without a place on an axis passes it somewhere, so there are no axes that few have a place on.
    half = len(shown_trials) / 2
    often = [one for one in dimensions if sum(one.name in trial.params for trial in shown_trials) > half]
    drawn = often[: MOST_AXES - 1]
    if len(drawn) < 2:
        return None
    figure, axes = canvas(height=3.8)
    values = _Values(shown_trials, study.direction == "maximize")
    heights = [_heights(shown_trials, one) for one in drawn] + [values.heights]
    for place in reversed(range(len(shown_trials))):
        _draw_line(axes, shown_trials[place], [column[place] for column in heights], place)
    _label_lines(axes, drawn, shown_trials, spoken(study.metric), values.ends(study.metric))
    _name_lines(axes, min(BEST, len(shown_trials)))
    told = "; ".join(_line_words(study.metric, trial, drawn) for trial in shown_trials[:BEST])
    others = f", {counted(len(shown_trials) - BEST, 'other')} in grey" if len(shown_trials) > BEST else ""
    text = f"The best {min(BEST, len(shown_trials))} trials as lines through their parameters{others}: {told}."
    return Chart("Parallel coordinates", figure, text, detailed=True)


class _Values:
    """The axis of values, on which the worst fifth lies at the end: a few wild ones would flatten the rest."""

    def __init__(self, trials: Sequence[TrialRecord], maximize: bool) -> None:
        values = [trial.value for trial in trials if trial.value is not None]
        rising = sorted(values)
        cut = int(WORST_SHARE * (len(rising) - 1))
        self.low, self.high = (rising[cut], rising[-1]) if maximize else (rising[0], rising[-1 - cut])
        self.cut = (rising[0] < self.low, rising[-1] > self.high)
        self.heights = _from_0_to_1([min(max(value, self.low), self.high) for value in values])

    def ends(self, metric: str) -> tuple[str, str]:
        """What is written at its two ends."""
        below = "\N{LESS-THAN OR EQUAL TO} " if self.cut[0] else ""
        above = "\N{GREATER-THAN OR EQUAL TO} " if self.cut[1] else ""
        return f"{below}{shown(metric, self.low)}", f"{above}{shown(metric, self.high)}"


def _heights(trials: Sequence[TrialRecord], one: Dimension) -> list[float]:
    """From 0 to 1 on the parameter's axis; not a number where a trial has none."""
    raw = [one.place(trial.params[one.name]) if one.name in trial.params else math.nan for trial in trials]
    values = [math.log(value) if one.log else value for value in raw]
    return _from_0_to_1(values)


def _from_0_to_1(values: Sequence[float]) -> list[float]:
    known = [value for value in values if not math.isnan(value)]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    return [(value - low) / (high - low) if high > low else value - low + 0.5 for value in values]


def _draw_line(axes: Axes, trial: TrialRecord, heights: Sequence[float], place: int) -> None:
    if place < BEST:
        look: dict[str, Any] = {"color": COLOURS[place], "linestyle": DASHES[place], "linewidth": 1.8}
        look["label"] = f"trial {trial.number}"
    else:
        look = {"color": GREY, "alpha": 0.25, "linewidth": 0.7}
    known = [(place, height) for place, height in enumerate(heights) if not math.isnan(height)]
    axes.plot(*zip(*known, strict=True), marker="o", markersize=2.5, **look)


def _name_lines(axes: Axes, count: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    last = slice(None, -count - 1, -1)  # the best was drawn last, over the others
    axes.legend(handles[last], labels[last], loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=BEST, frameon=False,
                fontsize="small", handlelength=1.8, columnspacing=1.0)  # fmt: skip


def _label_lines(
    axes: Axes, dimensions: Sequence[Dimension], trials: Sequence[TrialRecord], metric: str, ends: tuple[str, str]
) -> None:
    names = [_label(one.name) for one in dimensions] + [metric]
    axes.set_xticks(range(len(names)), names, fontsize="small")
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(-0.12, 1.12)
    for place, (low, high) in enumerate([*(_ends(one, trials) for one in dimensions), ends]):
        axes.axvline(place, color="black", linewidth=0.8)
        axes.text(place, -0.03, low, ha="center", va="top", fontsize="x-small", backgroundcolor="white")
        axes.text(place, 1.03, high, ha="center", va="bottom", fontsize="x-small", backgroundcolor="white")


def _ends(one: Dimension, trials: Sequence[TrialRecord]) -> tuple[str, str]:
    values = [trial.params[one.name] for trial in trials if one.name in trial.params]
    low, high = min(values, key=one.place), max(values, key=one.place)
    return _label(scalar(low)), _label(scalar(high))


def _line_words(metric: str, trial: TrialRecord, dimensions: Sequence[Dimension]) -> str:
    names = [one.name for one in dimensions if one.name in trial.params]
    pairs = [f"{printable(name)} {scalar(trial.params[name])}" for name in names]
    return f"trial {trial.number}: {', '.join(pairs)}, {spoken(metric)} {shown(metric, trial.value)}"


def _label(name: str) -> str:
    """A name that is cut if it is long, but for its number: dense_dropo..._2."""
    stem, _, number = name.rpartition("_")
    tail = f"_{number}" if stem and number.isdigit() else ""
    return short_label(name.removesuffix(tail), LONGEST_NAME - len(tail)) + tail
