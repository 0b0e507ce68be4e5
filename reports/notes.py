"""Notes for optuna-dashboard, in Markdown: on a study, and on those of its trials that matter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reports.columns import readable
from reports.leaderboard import leaderboard, retrained_groups, usable
from reports.markdown import bullets, table
from reports.summary import STANDINGS, summary
from reports.words import GAP_METRIC, counted, listed, printable, scalar, shown, signed, spoken, trained_on
from studies.records import StudyRecord, TrialRecord

TOP = 10
MOST_FAILED = 50
MOST_PRIORITY = 1  # scores and the parameters that differ: more columns than that break the cells of the page


def study_note(study: StudyRecord) -> str:
    """What was searched, how it ended, and the top of the leaderboard."""
    parts = [bullets(summary(study)), _board(study), "### What was searched", bullets(_search(study))]
    return "\n\n".join(part for part in parts if part)


def trial_notes(study: StudyRecord) -> dict[int, str]:
    """Notes on the best trials and on those that failed, by number."""
    best = usable(study)[:TOP]
    failed = [trial for trial in study.trials if trial.state == "failed"][:MOST_FAILED]
    notes = {trial.number: bullets(_about(study, trial, place)) for place, trial in enumerate(best, start=1)}
    return notes | {t.number: bullets([f"Failed: {printable(t.reason or 'no reason is known')}."]) for t in failed}


def _board(study: StudyRecord) -> str:
    frame = leaderboard(study, top=TOP)
    columns = [column for column in readable(frame) if column.priority <= MOST_PRIORITY and column.name != "state"]
    rows = list(zip(*(column.cells for column in columns), strict=True))
    if not rows:
        return ""
    rows = [
        ("retrained", *row[1:]) if state == "retrained" else row
        for state, row in zip(frame["state"], rows, strict=True)
    ]
    return "### The best trials\n\n" + table([column.header for column in columns], rows, names=0)


def _search(study: StudyRecord) -> Iterator[str]:
    yield f"Model {study.space.get('model', 'of another program')}; parameters: {'; '.join(_parameters(study))}."
    yield f"Data: {_data(study)}."
    ladder, sampler, budget = map(study.section, ("hyperband", "sampler", "budget"))
    if ladder.get("mode") == "none":
        yield f"No pruning: every trial trains for up to {counted(ladder['max_resource'], 'epoch')}."
    elif ladder:
        yield (
            f"Ladder: from {ladder.get('min_resource')} to {ladder.get('max_resource')} epochs, "
            f"one in {ladder.get('reduction_factor')} goes up; mode {ladder.get('mode', 'promote')}."
        )
    if sampler:
        yield f"Sampler: {sampler.get('name')}, seed {sampler.get('seed')}."
    if budget:
        limit = f" or {budget['minutes']:g} minutes" if budget.get("minutes") else ""
        yield f"Budget: {counted(budget.get('trials', 0), 'trial')}{limit}."


def _parameters(study: StudyRecord) -> list[str]:
    laws: Mapping[str, Mapping[str, Any]] = study.space.get("parameters") or {}
    return [f"{name} {_law(law)}" for name, law in laws.items()] or ["none"]


def _law(law: Mapping[str, Any]) -> str:
    if law.get("type") == "fixed":
        return f"= {law.get('value')}"
    if law.get("choices"):
        return "of " + ", ".join(map(str, law["choices"]))
    log = ", log" if law.get("log") else ""
    return f"{scalar(law['low'])} to {scalar(law['high'])}{log}" if "low" in law else str(law.get("type", ""))


def _data(study: StudyRecord) -> str:
    source = study.section("data").get("source", "unknown")
    sizes = [
        f"{study.data[f'n_{name}']:,} {name}" for name in ("train", "validation", "test") if study.data.get(f"n_{name}")
    ]
    return f"{source}, {listed(sizes)} examples, hash {study.data.get('hash', 'unknown')}" if sizes else str(source)


def _about(study: StudyRecord, trial: TrialRecord, place: int) -> Iterator[str]:
    metric = study.metric
    of = f"{place} of {len(study.trials)}"
    at = "" if trial.best_epoch is None else f" at epoch {trial.best_epoch}"
    yield f"Place {of}: {shown(metric, trial.value)} validation {spoken(metric)}{at}."
    bracket = "" if trial.bracket is None else f" in bracket {trial.bracket}"
    yield f"{STANDINGS[trial.state].capitalize()} after {counted(trial.epochs, 'epoch')}{bracket}."
    if trial.test and f"test_{metric}" in trial.test.metrics:
        gap = signed(GAP_METRIC, trial.test.gap, trial.test.gap_se)
        told = f"; validation minus test {gap} points of {GAP_METRIC}" if gap else ""
        yield f"On the test split {shown(metric, trial.test.metrics[f'test_{metric}'])}{told}."
    for group in retrained_groups(study):
        if group[0].trial == trial.number:
            yield f"Retrained {counted(len(group), 'time')} on {trained_on(group[0].data)}."
