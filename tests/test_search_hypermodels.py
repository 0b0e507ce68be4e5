"""Keras Tuner hypermodels, unmodified, as workers train them; and whole studies with real workers."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from inline import run_inline, use_inline_workers
from running import make_study, stored
from trainers import assert_equal, job_events, kept, make_blobs, make_trainer, train

from search.errors import SearchError
from search.messages import EvaluateJob, ExportJob, Task, TrainJob, TrialFailed
from search.models.hypermodel import find_hypermodel, wants_rows

TESTS = Path(__file__).parent
OF_TRAINING = {"batch_size": 16, "precision": "float32", "jit_compile": "auto"}
WIDE = {**OF_TRAINING, "kind": "wide", "units": 16, "batch_size": 8}
LOOP = {**OF_TRAINING, "rate": 0.05}


def trainer_of(folder, name, **changes):
    """A trainer of one of the hypermodels of tests/hypermodels.py."""
    return make_trainer(make_blobs(folder), model=f"keras_tuner:hypermodels:{name}", **changes)


def note_of(trainer, params):
    """What a job of one trial tells beside its epochs."""
    job = TrainJob(structure="s", tasks=[Task(trial=1, folder="trials/1", params=params, seed=5)], to_epoch=2)
    return trainer.train(job, lambda event: None, lambda: False).note


@pytest.mark.backend
def test_a_fit_of_its_own_goes_on_from_rung_to_rung(tmp_path):
    trainer = trainer_of(tmp_path, "Scoped")
    first, then = train(trainer, 1, WIDE), train(trainer, 3, WIDE, known=1)
    assert [len(first), len(then)] == [1, 2]
    assert {"train_loss", "train_accuracy", "val_loss", "val_accuracy"} == set(then[-1])
    assert then[-1]["train_loss"] < first[0]["train_loss"]
    progress, _ = kept(trainer, WIDE)
    assert progress.history["val_accuracy"] == tuple(epoch["val_accuracy"] for epoch in first + then)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_training_in_a_new_process_too(tmp_path):
    ours = train(trainer_of(tmp_path / "1", "Scoped"), 2, WIDE)
    assert_equal(ours, train(trainer_of(tmp_path / "2", "Scoped"), 2, WIDE))
    assert ours != train(trainer_of(tmp_path / "3", "Scoped"), 2, WIDE, seed=6)


@pytest.mark.slow
def test_a_fit_of_its_own_pauses_at_the_end_of_an_epoch(tmp_path):
    trainer = trainer_of(tmp_path, "Scoped")
    assert len(train(trainer, 9, WIDE, pause_at=2)) == 2
    assert kept(trainer, WIDE)[0].epoch == 2


@pytest.mark.slow
def test_a_loop_that_nothing_stops_is_ended_at_the_rung_and_begun_again_until_there(tmp_path):
    trainer = trainer_of(tmp_path, "OwnLoop")
    assert len(train(trainer, 1, LOOP)) == 1
    epochs = train(trainer, 4, LOOP, known=1)
    assert len(epochs) == 3  # it runs two at a time
    assert {"train_my_loss", "val_loss", "val_accuracy"} == set(epochs[0])  # what it doesn't tell is measured
    assert epochs[-1]["val_loss"] < epochs[0]["val_loss"]


@pytest.mark.slow
def test_a_fit_may_set_its_own_number_of_epochs_and_ask_for_more_afterwards(tmp_path):
    params = {**OF_TRAINING, "units": 4, "act": "tanh", "epochs": 2}
    trainer = trainer_of(tmp_path, "OwnEpochs")
    assert "after_fit = False" in note_of(trainer, params)
    assert note_of(trainer, params) == ""
    assert len(train(trainer, 3, params)) == 3


@pytest.mark.backend
def test_a_number_that_a_fit_returns_is_an_epochs_value(tmp_path):
    trainer = trainer_of(tmp_path, "Silent")
    epochs = train(trainer, 2, {**OF_TRAINING, "n": 1})
    assert epochs == [{"val_accuracy": 0.25}] * 2
    of_keras = [trainer._machines["s"].model, trainer._machines["s"].own_fit._judge]  # predict, and evaluate
    assert [model.jit_compile for model in of_keras] == [keras.backend.backend() == "jax"] * 2


@pytest.mark.slow
def test_weights_are_scored_and_exported_for_the_raw_rows(tmp_path):
    trainer = trainer_of(tmp_path, "Scoped")
    epochs = train(trainer, 3, WIDE)
    best = kept(trainer, WIDE)[0].best_epoch
    task = Task(trial=0, folder="trials/0", params=WIDE, seed=5)
    rows = {"x": "data/x_validation.npy", "y": "data/y_validation.npy"}
    found = trainer.evaluate(EvaluateJob(structure="s", task=task, best_epoch=best, **rows)).metrics
    assert found["accuracy"] == pytest.approx(epochs[best - 1]["val_accuracy"])
    trainer.export(ExportJob(structure="s", task=task, best_epoch=best, output="best.keras"))
    model = keras.models.load_model(tmp_path / "best.keras")
    x, y = (np.load(tmp_path / rows[name]) for name in "xy")
    hits = np.argmax(model.predict(x, verbose=0), axis=-1) == y
    assert np.mean(hits) == pytest.approx(found["accuracy"])


@pytest.mark.slow
def test_retraining_without_a_validation_split_tells_nothing_of_it(tmp_path):
    epochs = train(trainer_of(tmp_path, "Scoped"), 1, WIDE, data="train+validation")
    assert set(epochs[0]) == {"train_loss", "train_accuracy"}


@pytest.mark.backend
def test_a_plain_build_function_trains_in_whole_epochs_with_its_own_loss(tmp_path):
    trainer = trainer_of(tmp_path, "late")
    params = {**OF_TRAINING, "first": True, "second": True}
    assert "rare = 0.1" in note_of(trainer, params)
    epochs = train(trainer, 3, params)
    assert len({epoch["train_loss"] for epoch in epochs}) == 3
    assert trainer._machines["s"].own_fit is None
    assert_equal(train(trainer_of(tmp_path / "again", "late"), 3, params), epochs)
    assert trainer._class_weights({"class_weight": "balanced"}) is None  # a parameter of its own, for itself


@pytest.mark.slow
def test_an_error_of_a_fit_is_the_trials(tmp_path):
    (event,) = job_events(trainer_of(tmp_path, "Scoped"), 1, {**WIDE, "batch_size": "eight"})
    assert isinstance(event, TrialFailed)
    assert event.reason


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("hypermodels:nothing", "has no function"),
        ("nowhere:build", "cannot import nowhere"),
        ("hypermodels:__doc__", "neither a function nor a HyperModel"),
        ("keras_tuner:HyperModel.build", "has no function"),
        ("test_search_hypermodels:Needy", "must need no arguments"),
    ],
)
def test_what_is_no_hypermodel_is_refused(name, problem):
    with pytest.raises(SearchError, match=problem):
        find_hypermodel(f"keras_tuner:{name}")


class Needy(__import__("keras_tuner").HyperModel):
    def __init__(self, classes):
        super().__init__()


@pytest.mark.parametrize(
    ("loss", "rows"),
    [
        ("categorical_crossentropy", True),
        ("mse", True),
        (keras.losses.CategoricalCrossentropy(label_smoothing=0.1), True),
        (keras.losses.categorical_crossentropy, True),
        ("sparse_categorical_crossentropy", False),
        (keras.losses.SparseCategoricalCrossentropy(), False),
        (lambda y_true, y_pred: 0.0, False),
    ],
)
def test_losses_of_keras_get_labels_in_the_form_they_want(loss, rows):
    assert wants_rows(loss) is rows


STUDY = """
name = "tuned"
space = "mlp"
[data]
source = "data.npz"
[hyperband]
max_resource = 3
[budget]
trials = 3
[retrain]
seeds = 1
[[enqueue]]
units = 64
"""


E2 = """
name = "e2"
space = "space.toml"
[data]
source = "digits"
[hyperband]
max_resource = 3
[budget]
trials = 1
[retrain]
seeds = 1
"""


@pytest.fixture
def found_by_discovery(monkeypatch):
    """Studies train in this process, and the one that asks a hypermodel for its space finds those of the tests."""
    use_inline_workers(monkeypatch)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(TESTS.parent)]))


def toprung(folder, *words):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    command = [sys.executable, "-m", "search", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("change", ["objective.seeds=2", "record.every=5"])
def test_what_its_own_fit_cannot_do_is_refused_before_a_trial_and_leaves_nothing_behind(tmp_path, monkeypatch, change):
    use_inline_workers(monkeypatch)
    space = 'model = "keras_tuner:hypermodels:Scoped"\n[parameters]\nkind = { type = "fixed", value = "wide" }\n'
    path = make_study(tmp_path, study=STUDY.replace('"mlp"', '"space.toml"').split("[[")[0], space=space)
    law = r"^objective\.seeds, record: are not for a hypermodel's own fit; leave them out$"
    with pytest.raises(SearchError, match=law) as told:
        run_inline(path, tmp_path / "runs", change)
    assert told.value.exit_code == 2
    assert not (tmp_path / "runs" / "tuned").exists()


def test_the_command_runs_a_hypermodel_in_place_of_a_studys_space(tmp_path):
    make_study(tmp_path, study=STUDY)
    toprung(tmp_path, "run", "study.toml", "--hypermodel", "hypermodels:Scoped", "--workers", "1", "--quiet")
    record = stored(tmp_path / "runs", "tuned")
    assert record.space["model"] == "keras_tuner:hypermodels:Scoped"
    assert {"kind", "batch_size"} <= set.intersection(*(set(trial.params) for trial in record.trials))
    assert [trial.state for trial in record.trials].count("complete") >= 1
    assert len(record.retrained) == 1
    assert (tmp_path / "runs" / "tuned" / "best.keras").exists()


README = (TESTS.parent / "README.md").read_text(encoding="utf-8")


def readme_example(heading):
    """The first Python block below a heading of the README."""
    return README.partition(f"## {heading}\n")[2].partition("```python\n")[2].partition("```")[0]


def test_the_readmes_hypermodel_has_the_space_that_the_readme_says(tmp_path):
    from spaces.keras_tuner import discover

    names = {}
    exec(readme_example("Keras Tuner users"), names)
    space = discover("my_hypermodel:build_model", lambda hp: names["build_model"](hp) and None).space
    assert list(space.parameters) == ["layers", "units_0", "learning_rate", "units_1", "units_2"]
    assert dict(space.parameters["units_1"].when) == {"layers": (2, 3)}


@pytest.mark.slow
def test_the_readmes_python_runs(tmp_path, monkeypatch):
    import pandas as pd

    monkeypatch.chdir(tmp_path)
    code, names = readme_example("From Python"), {}
    assert 'run("digits", trials=20)' in code
    exec(
        code.replace("trials=20", 'trials=2, quiet=True, changes=["hyperband.max_resource=1", "retrain.seeds=1"]'),
        names,
    )
    assert isinstance(names["table"], pd.DataFrame)
    assert names["table"].equals(names["leaderboard"]("digits"))
    assert names["model"].output_shape == names["best_model"]("digits").output_shape == (None, 10)
    assert len(names["optuna_study"].trials) == 2
    assert names["hp"].values == {**names["study"].best_params}


@pytest.mark.slow
def test_the_space_of_a_hypermodel_is_shown_searched_and_resumed(tmp_path, found_by_discovery):
    path = make_study(tmp_path, study=STUDY.replace('"mlp"', '"space.toml"').split("[[")[0])
    shown = toprung(tmp_path, "spaces", "show", "--from-keras-tuner", "hypermodels:OwnLoop").stdout
    (tmp_path / "space.toml").write_text(shown)
    assert 'rate = { type = "float", low = 0.001, high = 0.1, log = true }' in shown
    first = run_inline(path, tmp_path / "runs", "budget.trials=1")
    (tmp_path / "space.toml").write_text('model = "keras_tuner:hypermodels:OwnLoop"\n')  # found again, it is the same
    again = run_inline(path, tmp_path / "runs", "budget.trials=2")
    assert again.trials[0].params == first.trials[0].params
    assert len(again.trials) == 2


@pytest.mark.slow
def test_experiment_e2s_hypermodel_learns_the_digits(tmp_path, found_by_discovery):
    path = make_study(tmp_path, study=E2, space='model = "keras_tuner:hypermodels:e2"\n')
    record = run_inline(path, tmp_path / "runs")
    complete = [trial for trial in record.trials if trial.state == "complete"]
    # batch normalisation's moving means lag behind so few steps, which validation shows and training does not
    assert max(trial.history["train_accuracy"][-1] for trial in complete) > 0.8
    assert all(trial.test is not None for trial in complete)
    assert set(record.trials[0].params) == {
        "conv_1_filters", "conv_2_filters", "dense_units", "learning_rate", "optimizer",
    }  # fmt: skip
