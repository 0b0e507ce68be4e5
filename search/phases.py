"""The phases of a run: search, retrain the best, score on the test split, write down what came out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from operator import itemgetter
from pathlib import Path
from typing import Any

from reports.leaderboard import is_ranked, usable
from reports.words import trained_on
from search.blobs import Blobs, write_atomically
from search.errors import SearchError
from search.evaluation import Candidate, opened_test_split, predictions, score
from search.logbook import Logbook
from search.open_run import OpenRun
from search.retrain import Repetition, chosen, epochs_for, export, restore, retrain
from search.supervisor import Supervisor
from studies.files import BEST, BEST_MODEL, DIAGNOSIS, LEADERBOARD, REPORT, trial_folder
from studies.grid import configurations
from studies.history import RETRAINED, test_attribute
from studies.plan import StudyPlan
from studies.records import RetrainRecord, StudyRecord, TestScore, TrialRecord
from studies.versions import versions

_FAILED = "retraining_failed"  # attribute of a study: what failed with every seed


def search(run: OpenRun) -> None:
    """Train trials until the budget is spent."""
    logbook = Logbook(run.study, run.plan, run.loaded.space, run.blobs)
    records = logbook.records
    plan = _with_all_trials(run, len(records))
    run.observe("study", **_announcement(run, plan, records, logbook.seconds_before))
    Supervisor(logbook, run.recipe, run.pool, run.stop, run.observe).run()
    run.study.set("state", "finished")


def _with_all_trials(run: OpenRun, trials: int) -> StudyPlan:
    """The plan, which is a total: a study that has more trials than it asks for now tells how it came to them."""
    if trials <= run.plan.budget.trials:
        return run.plan
    plan = run.plan.model_copy(update={"budget": run.plan.budget.model_copy(update={"trials": trials})})
    run.study.set("plan", plan.model_dump(mode="json"))
    return plan


def _announcement(run: OpenRun, plan: StudyPlan, records: Sequence[TrialRecord], spent: float) -> dict[str, Any]:
    values = [(record.number, record.value) for record in records if is_ranked(record)]
    best = (max if plan.objective.direction == "maximize" else min)(values, key=itemgetter(1), default=None)
    trials = max(len(records), configurations(run.loaded.space, plan.budget.trials))
    forecast = plan.hyperband.ladder.forecast(trials, stopping=plan.hyperband.mode == "stop")
    return {
        "name": plan.name,
        "monitor": plan.objective.monitor,
        "maximize": plan.objective.direction == "maximize",
        "trials_total": trials,
        "trials": [record.number for record in records],
        "finished": dict(Counter(record.state for record in records)),
        "known_epochs": sum(record.epochs for record in records),
        "expected_epochs": forecast.expected_epochs,
        "seconds_left": None if plan.budget.minutes is None else 60 * plan.budget.minutes - spent,
        "best": best,
        "where": run.where,
    }


def conclude(run: OpenRun, top: int, *, anew: bool = False) -> StudyRecord:
    """Score the complete trials and retrain the best `top`, on one opening of the test split; write files.

    Args:
        run: Whose study.
        top: How many are retrained.
        anew: Whether those that failed with every seed before are among them.
    Returns:
        The study as the store has it in the end.
    Raises:
        SearchError: No trial has a usable value (exit code 1).
    """
    record = run.study.load()
    trials = usable(record)
    if not trials:
        raise SearchError(f"{record.name}: no trial has a usable value{_common_failure(record)}", exit_code=1)
    unscored = _ready_to_score(run, trials)
    again = _to_retrain(run, record, trials[:top], anew)
    repetitions = _retrain(run, again) if again else []
    if unscored or repetitions:
        of_winner = [one for one in repetitions if one.record.trial == trials[0].number]
        best = chosen(of_winner, run.plan) if of_winner else None
        retrained = _replaced(record.retrained, _score(run, unscored, repetitions, best))
        if best:
            _keep_best(run, best, retrained)
        if repetitions:
            # Last, so that a run that is killed before does it all again.
            run.study.set(RETRAINED, [asdict(record) for record in retrained])
    _clean_up(run.blobs, [trial.number for trial in record.trials if trial.finished])
    run.observe("phase", phase="report")
    record = run.study.load()
    write_files(record, run.options.folder(record.name))
    run.observe("done", trials=len(record.trials), retrained=len(record.retrained))
    return record


def _clean_up(blobs: Blobs, numbers: Sequence[int]) -> None:
    """Delete the weights of trials that are finished and scored, and of retrained models: `best.keras` is kept."""
    blobs.delete("retrained")
    blobs.sweep()
    for number in numbers:
        for key in blobs.keys(trial_folder(number)):
            if "/epoch-" in key or "/best-" in key:
                blobs.delete(key)


def write_files(record: StudyRecord, folder: Path) -> None:
    """The leaderboard and the report as they stand."""
    from reports.leaderboard import leaderboard
    from reports.page import write_report
    from reports.tables import to_csv

    to_csv(leaderboard(record), folder / LEADERBOARD)
    write_report(record, folder, folder / REPORT)


def _ready_to_score(run: OpenRun, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The complete trials that have no test score yet but have their weights, if need be after another training."""
    top = trials[: run.plan.leaderboard.test_top]
    unscored = [trial for trial in top if trial.state == "complete" and trial.test is None]
    ready = restore(unscored, run.recipe, run.blobs, run.crew)
    for trial in unscored:
        if trial not in ready:  # an empty score, or the next run would train it again
            run.study.set(test_attribute(trial.number), asdict(TestScore(metrics={})))
    return ready


def _to_retrain(run: OpenRun, record: StudyRecord, trials: Sequence[TrialRecord], anew: bool) -> list[TrialRecord]:
    """Those of the trials that are not retrained yet; with `anew` those too that failed with every seed before."""
    wanted = [trial for trial in trials if not _is_retrained(run, record, trial)]
    failed = _failed_retrainings(run)
    hopeless = [trial for trial in wanted if _retraining(run, trial) in failed and not anew]
    for trial in hopeless:
        law = f"toprung retrain {run.plan.name} tries again"
        run.observe("message", text=f"trial {trial.number}: retraining failed with every seed; {law}")
    return [trial for trial in wanted if trial not in hopeless]


def _is_retrained(run: OpenRun, record: StudyRecord, trial: TrialRecord) -> bool:
    """Whether a trial was retrained as the plan says, with as many seeds, some of which may have failed."""
    plan = run.plan.retrain
    lengths = 0, epochs_for(trial, plan, run.sizes)  # 0 is what the first release noted
    done = [r for r in record.retrained if (r.trial, r.data) == (trial.number, plan.data) and r.to_epoch in lengths]
    return max([len(done), *(r.asked for r in done)]) >= plan.seeds


def _retrain(run: OpenRun, trials: Sequence[TrialRecord]) -> list[Repetition]:
    """Retrain trials, and note which of them failed with every seed."""
    run.observe("phase", phase="retrain")
    found = retrain(trials, run.recipe, run.sizes, run.crew)
    done, keys = {one.record.trial for one in found}, {trial.number: _retraining(run, trial) for trial in trials}
    before = _failed_retrainings(run)
    failed = before - {*keys.values()} | {key for number, key in keys.items() if number not in done}
    if failed != before:
        run.study.set(_FAILED, sorted(failed))
    return found


def _failed_retrainings(run: OpenRun) -> set[str]:
    return set(run.study.attribute(_FAILED) or ())


def _retraining(run: OpenRun, trial: TrialRecord) -> str:
    """What tells one way of retraining a trial from others."""
    plan = run.plan.retrain
    return f"{trial.number}-{plan.data}-{epochs_for(trial, plan, run.sizes)}-{plan.seeds}"


def _score(
    run: OpenRun, trials: Sequence[TrialRecord], repetitions: Sequence[Repetition], best: Repetition | None
) -> list[RetrainRecord]:
    """Score weights on the test split: note the scores of trials, and look closely at the best repetition.

    Returns:
        The records of the repetitions, with their scores.
    """
    run.observe("phase", phase="score")
    candidates = [_candidate(run, trial) for trial in trials] + [one.candidate for one in repetitions]
    trained_on, before = run.splits.train.x, run.study.attribute("test_hash")
    with opened_test_split(run.source, run.plan.data, run.blobs, trained_on, before) as test:
        scores = score(candidates, test, run.sizes[1], run.crew)
        run.study.set("test_hash", test.hash)
        run.study.set("n_test", test.rows)
        if best:
            _diagnose(run, best)
    for trial, found in zip(trials, scores, strict=False):
        run.study.set(test_attribute(trial.number), asdict(found))
    return [one.scored(found) for one, found in zip(repetitions, scores[len(trials) :], strict=True)]


def _candidate(run: OpenRun, trial: TrialRecord) -> Candidate:
    task = run.recipe.task(trial)
    best_epoch = trial.best_epoch or trial.epochs
    return Candidate(run.recipe.structure(task.params), task, best_epoch, trial.metrics.get("val_accuracy"))


def _replaced(old: Sequence[RetrainRecord], new: Sequence[RetrainRecord]) -> list[RetrainRecord]:
    """What was retrained before and now; the same configuration on the same data is replaced."""
    again = {(record.trial, record.data) for record in new}
    return [*(record for record in old if (record.trial, record.data) not in again), *new]


def _diagnose(run: OpenRun, best: Repetition) -> None:
    """Keep what the winner makes of the open test split: `diagnosis.npz`."""
    from reports.diagnosis import boundary_grid, diagnose, write

    found = predictions(best.candidate, run.pool, run.blobs, boundary_grid)
    record = best.record
    trial = next(trial for trial in run.study.load().trials if trial.number == record.trial)
    again = f"The model retrained from trial {trial.number} with seed {record.seed} on {trained_on(record.data)}"
    try:
        diagnosis = diagnose(
            found.labels,
            found.probabilities,
            run.splits.class_names,
            found.x,
            found.weights,
            found.layers,
            history=trial.history,
            best_epoch=trial.best_epoch,
            splits={"training": run.splits.train.y, "validation": run.splits.validation.y},
            grid_probabilities=found.grid,
            input_names=run.source.columns,
            scale=run.splits.scale,
            offset=run.splits.offset,
            subject=f"{again}; the curves are those of the trial.",
        )
    except ValueError as problem:  # a model of the user's own need not give probabilities
        run.observe("message", text=f"no close look at the winner: {problem}")
        return
    write(diagnosis, run.options.folder(run.plan.name) / DIAGNOSIS)


def _keep_best(run: OpenRun, best: Repetition, retrained: Sequence[RetrainRecord]) -> None:
    """`best.keras` and `best.json`: the best configuration's model, and what a reader must know of it."""
    first = best.record.trial
    export(best, run.pool, BEST_MODEL)
    record = run.study.load()
    rows = [row for row in retrained if row.trial == first and row.data == best.record.data]
    trial = next(trial for trial in record.trials if trial.number == first)
    about = {
        "study": record.name,
        "trial": first,
        "params": best.candidate.task.params,
        "seed": best.record.seed,
        "model": next(asdict(row) for row in rows if row.seed == best.record.seed),
        "all_seeds": [row.metrics for row in rows],
        "searched": trial.metrics | {"epochs": trial.epochs, "best_epoch": trial.best_epoch},
        "data": dict(record.data),
        "versions": versions(("toprung", "keras", run.options.backend, "optuna", "numpy")),
    }
    path = run.options.folder(record.name) / BEST
    write_atomically(path, json.dumps(about, indent=2).encode(), durable=True)


def _common_failure(record: StudyRecord) -> str:
    """For an error: what most trials failed of, and what to do about it; empty if none failed."""
    reasons = Counter(trial.reason for trial in record.trials if trial.reason)
    if not reasons:
        return ""
    reason, count = reasons.most_common(1)[0]
    law = f"failed trials stay so: once that is mended, raise --trials, or toprung studies remove {record.name}"
    return f"; {count} of {len(record.trials)}: {reason}\n  {law}"
