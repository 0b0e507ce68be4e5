"""The best configuration trained once more."""

from types import SimpleNamespace

import pytest
from records import record
from running import make_study, options, run

from search.recipe import Recipe
from search.retrain import _job, chosen
from search.signals import StopRequest
from search.study import retrain_study
from studies.plan import load_study

SMALL = ("budget.trials=3", "hyperband.max_resource=3", "retrain.seeds=2")


def repetitions(**metrics):
    """One a value of each metric."""
    rows = [dict(zip(metrics, values, strict=True)) for values in zip(*metrics.values(), strict=True)]
    return [SimpleNamespace(record=SimpleNamespace(metrics=row)) for row in rows]


@pytest.mark.parametrize(
    ("monitor", "metrics", "place"),
    [
        ("val_accuracy", {"train_accuracy": (0.9, 0.8, 0.7), "val_accuracy": (0.6, 0.8, 0.7)}, 1),
        ("val_loss", {"train_loss": (0.1, 0.2, 0.3), "val_loss": (0.6, 0.8, 0.5)}, 2),
        ("val_accuracy", {"train_accuracy": (0.6, 0.5, 0.9), "test_accuracy": (0.9, 0.9, 0.1)}, 2),
        ("val_loss", {"train_loss": (0.6, 0.5, 0.9)}, 1),
        ("val_f1", {"test_f1": (0.1, 0.9)}, 0),
    ],
)
def test_the_kept_model_is_the_best_by_validation_else_by_training_never_by_test(tmp_path, monitor, metrics, place):
    plan = load_study(str(make_study(tmp_path)), [f"objective.monitor={monitor}"]).plan
    found = repetitions(**metrics)
    assert chosen(found, plan) is found[place]


def test_a_retraining_of_another_length_is_done_once_and_takes_the_place_of_the_one_before(tmp_path):
    run(make_study(tmp_path), tmp_path / "runs", *SMALL)
    told = []

    def retrain(epochs):
        told.clear()
        return retrain_study("tiny", options(tmp_path / "runs"), 1, {"epochs": epochs}, StopRequest(), observe)

    def observe(kind, **fields):
        told.append(kind)

    record = retrain(9)
    assert [again.epochs for again in record.retrained] == [9, 9]
    assert "epoch" in told
    record = retrain(9)
    assert [again.epochs for again in record.retrained] == [9, 9]
    assert "epoch" not in told
    assert [again.epochs for again in retrain(4).retrained] == [4, 4]


def test_on_both_splits_a_plateau_reduces_the_rate_after_as_many_steps_as_in_the_search(tmp_path):
    recipe = Recipe(load_study(str(make_study(tmp_path)), ["plateau.patience=1"]))
    losses = (1.0, 0.9, 0.9, 0.8, 0.8, 0.7)  # reduced after epochs 3 and 5
    trial = record(0, params={"units": 64}, epochs=6, value=0.9, history={"val_loss": losses})
    assert _job(trial, recipe, (80, 20), 0).tasks[0].reduced_after == [2, 4]
