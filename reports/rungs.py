"""How far the trials came: who reached which rung of which bracket."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from studies.records import StudyRecord, TrialRecord, best_of


@dataclass(frozen=True, slots=True)
class RungCount:
    """One rung of one bracket.

    Attributes:
        bracket: Number of the bracket.
        epochs: The rung, in completed epochs.
        reached: Trials that arrived there.
        went_on: Trials of these that arrived at the next rung of the bracket; None at its top rung.
        best: The best value on arrival.
        spent: Epochs that trials of the bracket trained after the rung below and up to this one; at the top rung those
            above it count as well.
    """

    bracket: int
    epochs: int
    reached: int
    went_on: int | None
    best: float | None
    spent: int


def rung_counts(study: StudyRecord) -> list[RungCount]:
    """The rungs that were reached, bracket by bracket, each from its lowest up; none where nothing is pruned."""
    if study.section("hyperband").get("mode") == "none":
        return []
    brackets: dict[int, list[TrialRecord]] = {}
    for trial in study.trials:
        if trial.bracket is not None:
            brackets.setdefault(trial.bracket, []).append(trial)
    return [count for bracket in sorted(brackets) for count in _counts(study, bracket, brackets[bracket])]


def by_bracket(counts: Iterable[RungCount]) -> list[list[RungCount]]:
    """What `rung_counts` gives, a list a bracket."""
    return [list(own) for _, own in groupby(counts, key=attrgetter("bracket"))]


def _counts(study: StudyRecord, bracket: int, trials: Sequence[TrialRecord]) -> list[RungCount]:
    arrivals: dict[int, list[float]] = {}
    for trial in trials:
        for epochs, value in trial.rungs.items():
            arrivals.setdefault(epochs, []).append(value)
    rungs = sorted(arrivals)
    above = [len(arrivals[epochs]) for epochs in rungs[1:]] + [None]
    steps = zip([0, *rungs], [*rungs[:-1], math.inf], strict=False)
    spent = [sum(round(min(trial.epochs, high)) - low for trial in trials if trial.epochs > low) for low, high in steps]
    return [
        RungCount(bracket, epochs, len(arrivals[epochs]), went_on, best_of(arrivals[epochs], study.direction), cost)
        for epochs, went_on, cost in zip(rungs, above, spent, strict=False)
    ]
