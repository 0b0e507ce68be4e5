"""What a study came to, in plain words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from reports.gaps import gap_from_rates
from reports.leaderboard import retrained_groups, seeds_of, usable
from reports.words import (
    GAP_METRIC,
    SPLITS,
    counted,
    difference,
    is_share,
    listed,
    printable,
    scalar,
    shown,
    spoken,
    trained_on,
)
from spaces import Space, validate
from studies.grid import Grid, endless, key
from studies.importance import law_of
from studies.records import RetrainRecord, StudyRecord, TestScore, TrialRecord, TrialState, sign_of

STANDINGS: dict[TrialState, str] = {
    "complete": "trained to the end",
    "pruned": "pruned",
    "paused": "waiting at a rung",
    "running": "on the way to a rung",
    "failed": "failed",
}

ROUNDING = 1e-9  # what is left of 0.9 - 0.9 after a detour through other numbers


def summary(study: StudyRecord) -> list[str]:
    """The end of a run in sentences: who won, by how much, and what that is worth.

    Args:
        study: What happened; it may have no trials, no complete ones and no test scores.
    Returns:
        One sentence or two an item: the winner, a trial that had a better value sooner, how many configurations were
        compared, the winner's lead against its standard error, validation against test, the retrained score, and the
        epochs spent.
    """
    if not _begun(study):
        return [compared(study)]
    trials = usable(study)
    sentences = [_winner(study, trials), _better_but_shorter(study, trials), compared(study)]
    sentences += [_exhausted(study), _lead(study, trials), _test(study, trials), _picked_by_test(study, trials)]
    sentences += retrained_scores(study)
    return [sentence for sentence in [*sentences, _spent(study)] if sentence]


def _winner(study: StudyRecord, trials: Sequence[TrialRecord]) -> str:
    if not trials:
        waiting = any(not trial.finished for trial in study.trials)
        return "No trial has a usable value yet." if waiting else "No trial gave a usable value."
    best = trials[0]
    value = f"{shown(study.metric, best.value)} validation {spoken(study.metric)}"
    if best.state != "complete":
        return (
            "No trial with a usable value has trained to the end. Of those that came furthest, trial "
            f"{best.number} is the best: {value} after {counted(best.epochs, 'epoch')}{_params(study, best)}."
        )
    value += _over_seeds(study, best)
    verb = "won" if study.state == "finished" else "leads so far"
    at = "" if best.best_epoch is None else f" at epoch {best.best_epoch} of {best.epochs}"
    return f"Trial {best.number} {verb}: {value}{at}{_params(study, best)}."


def _better_but_shorter(study: StudyRecord, trials: Sequence[TrialRecord]) -> str:
    """A trial that looked better than the winner but was not trained as far."""
    sign = sign_of(study.direction)
    best = max(trials, key=lambda trial: sign * (trial.value or 0.0), default=None)
    if best is None or trials[0].state != "complete" or best.state == "complete":
        return ""
    value = f"{shown(study.metric, best.value)} after {counted(best.epochs, 'epoch')}"
    return f"Trial {best.number} had {value} ({STANDINGS[best.state]}); one that is trained to the end comes first."


def _over_seeds(study: StudyRecord, trial: TrialRecord) -> str:
    spread = trial.metrics.get(f"{study.monitor}_spread")
    if spread is None:
        return ""
    return f" (mean of {seeds_of(study)} seeds, standard deviation {difference(study.metric, spread)})"


def _params(study: StudyRecord, trial: TrialRecord) -> str:
    """What a trial was given; what the space fixes is no news, unless there is nothing else."""
    chosen = [name for name in trial.params if law_of(study, name).get("type") != "fixed"]
    pairs = [f"{printable(name)} = {scalar(trial.params[name])}" for name in chosen or trial.params]
    return f", with {', '.join(pairs)}" if pairs else ""


def compared(study: StudyRecord) -> str:
    """How many configurations were compared, and what that does to the best value."""
    begun, trials = _begun(study), usable(study)
    if not begun:
        return "No trial has been trained yet."
    counts = Counter(trial.state for trial in begun)
    states = listed([f"{counts[state]:,} {words}" for state, words in STANDINGS.items() if counts[state]])
    total = len(begun)
    if total == 1:
        return f"Only one configuration was tried ({states}): nothing was compared."
    if len(trials) < 2:
        return f"Of {total:,} configurations fewer than two have a value to compare: {states}."
    if len(trials) == total:
        return f"{total:,} configurations were compared: {states}. {_selection(study)}"
    return f"{len(trials):,} of {total:,} configurations could be compared: {states}. {_selection(study)}"


def _begun(study: StudyRecord) -> list[TrialRecord]:
    return [trial for trial in study.trials if trial.begun]


def _exhausted(study: StudyRecord) -> str:
    """Why a search ended before it had all the trials that it might have."""
    most: int = study.section("budget").get("trials") or 0
    tried = {key(trial.params) for trial in _begun(study)}
    if study.state != "finished" or len(tried) >= most:
        return ""
    space = validate(Space, study.space, study.name)
    if endless(space) or Grid(space, 0).next(tried):
        return ""
    return f"The space has {counted(len(tried), 'configuration')}: {'it was' if len(tried) == 1 else 'all were'} tried."


def _selection(study: StudyRecord) -> str:
    return f"Being picked as the best makes a validation {spoken(study.metric)} look a little better than it is."


def _lead(study: StudyRecord, trials: Sequence[TrialRecord]) -> str:
    complete = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
    values = [trial.value or 0.0 for trial in complete]
    if not values or len(study.trials) == 1:
        return ""
    if len(values) == 1:
        return "No other trial trained to the end with a usable value: there is no second to lead."
    second, lead = complete[1].number, abs(values[0] - values[1])
    if lead == 0:
        return f"Trial {second} reached exactly the same; the lower number is listed first."
    return f"It leads trial {second} by {difference(study.metric, lead)}{_lead_words(study, complete[0], complete[1])}."


def _lead_words(study: StudyRecord, first: TrialRecord, second: TrialRecord) -> str:
    """Whether a lead is more than its standard error; nothing where that is not known."""
    lead, (error, over) = abs((first.value or 0.0) - (second.value or 0.0)), _error_of_lead(study, first, second)
    if error is None:
        return ""
    size = f"({difference(study.metric, error)} {over})"
    if lead > error:
        return f", more than the standard error of such a lead {size}"
    return f", within the standard error of such a lead {size}: this search cannot tell the two apart"


def _error_of_lead(study: StudyRecord, first: TrialRecord, second: TrialRecord) -> tuple[float | None, str]:
    """The standard error of a lead, and over what: examples, where they are counted right or wrong, and seeds."""
    errors: list[float] = []
    over: list[str] = []
    if is_share(study.metric):
        count, values = study.data.get("n_validation"), (first.value or 0.0, second.value or 0.0)
        if not count or not all(0 <= value <= 1 for value in values):
            return None, ""
        # Both were measured on the same examples; taking them as independent errs on the side of caution.
        errors.append(gap_from_rates(values[0], count, values[1], count).standard_error)
        over.append(f"on {counted(count, 'validation example')}")
    spreads = [trial.metrics.get(f"{study.monitor}_spread", math.nan) for trial in (first, second)]
    if all(map(math.isfinite, spreads)):
        errors.append(math.hypot(*spreads) / math.sqrt(seeds_of(study)))
        over.append(f"over {seeds_of(study)} seeds")
    return (math.hypot(*errors), listed(over)) if errors else (None, "")


def _test(study: StudyRecord, trials: Sequence[TrialRecord]) -> str:
    opened = any(trial.test for trial in study.trials) or any(
        name.startswith("test_") for record in study.retrained for name in record.metrics
    )
    if not opened:
        return "The test split has not been opened." if study.plan else ""  # an imported study has none
    test = trials[0].test if trials else None
    value = test.metrics.get(f"test_{study.metric}") if test else None
    if test is None or not test.metrics:
        return ""
    if value is None or not math.isfinite(value):
        return f"On the test split the {spoken(study.metric)} of trial {trials[0].number} is no finite number."
    score = f"On the test split trial {trials[0].number} scores {shown(study.metric, value)}"
    return f"{score}{_gap(study.metric, trials[0].value, test)}."


def _picked_by_test(study: StudyRecord, trials: Sequence[TrialRecord]) -> str:
    """What a choice by the test split would have named instead."""
    metric = study.metric
    scores = [(trial.test.metrics.get(f"test_{metric}"), trial) for trial in trials if trial.test]
    known = [(score, trial) for score, trial in scores if score is not None and math.isfinite(score)]
    if len(known) < 2 or known[0][1] is not trials[0]:
        return ""
    best, other = (max if study.direction == "maximize" else min)(known, key=lambda one: one[0])
    if other is trials[0] or abs(best - known[0][0]) < ROUNDING:
        return "The test split would have picked the same."
    higher = difference(metric, best - known[0][0])
    return (
        f"Picked by the test split, trial {other.number} would have been named with {shown(metric, best)}: {higher} "
        "better on paper, for then nothing is left to measure the choice with."
    )


def _gap(metric: str, searched: float | None, test: TestScore) -> str:
    gap, error = test.gap, test.gap_se
    if gap is None or not math.isfinite(gap):
        return ""
    text = "," if metric == GAP_METRIC else f" (validation {shown(metric, searched)}); its accuracy there is"
    if abs(gap) < ROUNDING:
        return f"{text} the same as on the validation split"
    text += f" {difference(GAP_METRIC, gap)} {'worse' if gap > 0 else 'better'} than on the validation split"
    if error is None or not math.isfinite(error):
        return text
    relation = "more than" if abs(gap) > error else "within"
    return f"{text}, {relation} the standard error of {difference(GAP_METRIC, error)}"


def retrained_scores(study: StudyRecord) -> list[str]:
    """A sentence for each row of the leaderboard that was retrained: how often, on which data, and how it scores."""
    return [sentence for group in retrained_groups(study) if (sentence := _retrained(study, group))]


def _retrained(study: StudyRecord, group: Sequence[RetrainRecord]) -> str:
    number = group[0].trial
    searched = study.trial(number)
    before = {f"val_{study.metric}": searched.value} if searched else {}
    before |= searched.test.metrics if searched and searched.test else {}
    scores = [_score(f"{split}_{study.metric}", group, before) for split in ("test", "val")]
    told = listed([score for score in scores if score])
    if not told:
        return ""
    again = f"{len(group):,} times" if len(group) > 1 else "once"
    spread = ", mean ± standard deviation" if len(group) > 1 else ""
    return f"Retrained {again} on {trained_on(group[0].data)}, trial {number} scores {told}{spread}."


def _score(name: str, group: Sequence[RetrainRecord], before: Mapping[str, float | None]) -> str:
    values = [record.metrics[name] for record in group if math.isfinite(record.metrics.get(name, math.nan))]
    if not values:
        return ""
    split, _, metric = name.partition("_")
    spread = f" ± {difference(metric, stdev(values))}" if len(values) > 1 else ""
    earlier = f" ({shown(metric, before[name])} when searched)" if before.get(name) is not None else ""
    return f"{shown(metric, fmean(values))}{spread} on the {SPLITS[split]} split{earlier}"


def _spent(study: StudyRecord) -> str:
    spent = sum(trial.epochs for trial in study.trials)
    each = f", {seeds_of(study)} seeds each" if seeds_of(study) > 1 else ""
    text = f"The search trained {counted(spent, 'epoch')}{each}"
    most: int = study.section("hyperband").get("max_resource") or 0
    tried = len(_begun(study))
    full = most * tried
    if spent >= full:
        return f"{text}."
    every = f"{counted(tried, 'configuration')} for {counted(most, 'epoch')}"
    return f"{text}; training {every} would have taken {full:,} ({spent / full:.0%} of that was spent)."
