"""The best configuration trained once more, with several seeds, on all data that isn't for testing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from search.blobs import Blobs
from search.checkpoints import Checkpoints
from search.errands import Crew, Errand, run_errands
from search.evaluation import Candidate
from search.messages import ExportJob, Task, TrainJob
from search.pool import Pool
from search.recipe import Recipe
from search.seeds import repeated
from studies.plan import Retrain, StudyPlan
from studies.records import RetrainRecord, TestScore, TrialRecord


@dataclass(frozen=True)
class Repetition:
    """A configuration trained again with one seed.

    Attributes:
        record: What is known of it; without test scores yet.
        candidate: Its weights, for scoring and exporting.
    """

    record: RetrainRecord
    candidate: Candidate

    def scored(self, score: TestScore) -> RetrainRecord:
        """Its record with what the test split said."""
        metrics = self.record.metrics | score.metrics
        return replace(self.record, metrics=metrics, gap=score.gap, gap_se=score.gap_se)


def retrain(trials: Sequence[TrialRecord], recipe: Recipe, sizes: tuple[int, int], crew: Crew) -> list[Repetition]:
    """Train configurations anew, as often and on the data that the plan's retrain section says.

    None of the seeds is the trial's: that one may have been lucky, for by its value it was chosen.

    Args:
        trials: Whose params are used.
        recipe: From a trial to a worker's task.
        sizes: Rows of the training and of the validation split.
        crew: Who trains; is told of those that fail.
    Returns:
        The repetitions that came to their end.
    """
    plan = recipe.loaded.plan
    jobs = [_job(trial, recipe, sizes, index) for trial in trials for index in range(plan.retrain.seeds)]
    done = list(zip(run_errands(crew, jobs), jobs, strict=True))
    for errand, job in done:
        if errand.failed:
            task = job.tasks[0]
            crew.observe("message", text=f"trial {task.trial} retrained with seed {task.seed} failed: {errand.failed}")
    return [_repetition(errand, job, plan) for errand, job in done if not errand.failed]


def restore(trials: Sequence[TrialRecord], recipe: Recipe, blobs: Blobs, crew: Crew) -> list[TrialRecord]:
    """Train trials again whose best weights are missing or damaged: their params and seeds give the same ones.

    Another machine or backend may find the best epoch elsewhere: then there is nothing that can be scored.

    Args:
        trials: Whose weights are wanted.
        recipe: From a trial to a worker's task.
        blobs: Where the weights lie.
        crew: Who trains.
    Returns:
        The trials that have their weights.
    """
    jobs, wanting = [], [trial for trial in trials if not _has_weights(trial, recipe, blobs)]
    for trial in wanting:
        task = recipe.task(trial)
        crew.observe("message", text=f"trial {trial.number} is trained again: its weights are missing or damaged")
        jobs.append(TrainJob(structure=recipe.structure(task.params), tasks=[task], to_epoch=trial.epochs))
    run_errands(crew, jobs)
    lost = [trial.number for trial in wanting if not _has_weights(trial, recipe, blobs)]
    for number in lost:
        crew.observe("message", text=f"trial {number} cannot be scored: trained again, its best epoch is another one")
    return [trial for trial in trials if trial.number not in lost]


def _has_weights(trial: TrialRecord, recipe: Recipe, blobs: Blobs) -> bool:
    return Checkpoints(blobs, recipe.task(trial).folder).has_best(trial.best_epoch or trial.epochs)


def export(repetition: Repetition, pool: Pool, output: str) -> None:
    """Write a repetition's weights as a `.keras` file under the blob key `output`."""
    run_errands(Crew(pool), [ExportJob(**repetition.candidate.weights, output=output)])


def chosen(repetitions: Sequence[Repetition], plan: StudyPlan) -> Repetition:
    """The repetition that is kept as `best.keras`: the best by validation. Never by test.

    Where the validation split was trained on, the best by training: a seed that went astray did so there as well.
    """
    monitor = plan.objective.monitor
    for name in (monitor, monitor.replace("val_", "train_", 1)):
        if all(name in one.record.metrics for one in repetitions):
            best = max if plan.objective.direction == "maximize" else min
            return best(repetitions, key=lambda one: one.record.metrics[name])
    return repetitions[0]


def epochs_for(trial: TrialRecord, plan: Retrain, sizes: tuple[int, int]) -> int:
    """How long to train: what the plan says, else as long as the trial did.

    On the training split up to the rung that the trial came to, where early stopping allows it; the best epoch is
    then found again by validation. With the validation split as well there is nothing to find it by: as many
    training steps as led to the trial's best epoch, which are fewer epochs of the larger split.
    """
    if plan.epochs is not None:
        return plan.epochs
    if plan.data == "train":
        return max([trial.epochs, *trial.rungs])
    train, validation = sizes
    return max(1, round((trial.best_epoch or trial.epochs) * train / (train + validation)))


def _reductions(trial: TrialRecord, plan: StudyPlan, sizes: tuple[int, int]) -> list[int]:
    """Where a trial's learning rate was reduced on a plateau, in epochs of training and validation split together."""
    if plan.plateau is None:
        return []
    train, validation = sizes
    return [round(epoch * train / (train + validation)) for epoch in plan.plateau.reductions(trial.history)]


def _job(trial: TrialRecord, recipe: Recipe, sizes: tuple[int, int], repetition: int) -> TrainJob:
    plan, task = recipe.loaded.plan, recipe.task(trial)
    seed = repeated(task.seed, task.seeds + repetition + 1)[-1]
    to_epoch = epochs_for(trial, plan.retrain, sizes)
    folder = f"retrained/{trial.number:05d}-{plan.retrain.data}-{to_epoch}-{repetition}"
    reduced, changes = _reductions(trial, plan, sizes), {"seed": seed, "seeds": 1, "record": 0, "folder": folder}
    return TrainJob(
        structure=recipe.structure(task.params),
        tasks=[task.model_copy(update={**changes, "known_epochs": 0, "reduced_after": reduced})],
        to_epoch=to_epoch,
        data=plan.retrain.data,
    )


def _repetition(errand: Errand, job: TrainJob, plan: StudyPlan) -> Repetition:
    task: Task = job.tasks[0]
    progress = errand.progress(plan.objective.monitor, plan.objective.direction)
    metrics = progress.at(progress.best_epoch)
    record = RetrainRecord(
        trial=task.trial,
        data=job.data,
        epochs=progress.epoch,
        seed=task.seed,
        metrics=metrics,
        weights=errand.done.weights,
        seconds=progress.seconds,
        asked=plan.retrain.seeds,
        to_epoch=job.to_epoch,
    )
    best_epoch = progress.best_epoch or progress.epoch
    candidate = Candidate(job.structure, task, best_epoch, metrics.get("val_accuracy"))
    return Repetition(record, candidate)
