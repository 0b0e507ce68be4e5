"""Real Keras models that go wrong in every way: each fails alone, with its reason, and is never the best."""

import math
import subprocess

import pytest
from killing import repetitions
from running import stored
from test_search_whole import command, environment

pytestmark = pytest.mark.slow

MODEL = '''
import ctypes
import keras
import numpy as np
import tensorflow as tf

class Fate(keras.layers.Layer):
    """Adds something to the loss from the third epoch on; 36 batches are an epoch."""

    def __init__(self, amount):
        super().__init__()
        self.amount = amount
        self.batches = self.add_weight(shape=(), initializer="zeros", trainable=False, name="batches")

    def call(self, x, training=False):
        if training:
            self.batches.assign(self.batches + 1.0)
        self.add_loss(keras.ops.where(self.batches > 2 * 36 + 1, self.amount, 0.0))
        return x

def build_model(params, input_shape, classes):
    fate = params["fate"]
    if fate == "raises":
        raise ValueError("no such model")
    if fate == "exhausted":
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[1000000,1000000]")
    if fate == "out of memory":
        np.ones(10**13)
    if fate == "crashes":
        ctypes.string_at(0)
    inputs = keras.Input(input_shape)
    x = keras.layers.Flatten()(inputs)
    if fate in ("nan", "inf", "-inf"):
        x = Fate(float(fate))(x)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x))
'''

FATES = {
    "well": None,
    "raises": "ValueError: no such model",
    "exhausted": "ResourceExhaustedError: OOM when allocating",
    "out of memory": "Unable to allocate",
    "crashes": "worker died 3 times (SIGSEGV)",
    "nan": "is nan at epoch 3",
    "inf": "is inf at epoch 3",
    "-inf": "is -inf at epoch 3",
}

ORDER = [*FATES]  # and others that go well in between, for five failures in a row would end the search
ORDER[4:4] = ORDER[8:8] = ["well"]

STUDY = """
name = "fates"
space = "space.toml"
[data]
source = "digits"
[objective]
monitor = "val_loss"
[hyperband]
mode = "none"
max_resource = 4
[sampler]
name = "random"
[training]
learning_rate = 0.01
[budget]
trials = 10
[retrain]
seeds = 1
"""


@pytest.fixture(scope="module")
def fates(tmp_path_factory):
    """A study with one trial of each fate; its record, its folder and what it said."""
    folder = tmp_path_factory.mktemp("fates")
    (folder / "fate.py").write_text(MODEL)
    choices = ", ".join(f'"{fate}"' for fate in FATES)
    space = f'model = "fate:build_model"\n[parameters]\nfate = {{ type = "categorical", choices = [{choices}] }}\n'
    (folder / "space.toml").write_text(space + 'turn = { type = "int", low = 0, high = 10 }\n')
    enqueued = [f'\n[[enqueue]]\nfate = "{fate}"\nturn = {turn}\n' for turn, fate in enumerate(ORDER)]
    (folder / "study.toml").write_text(STUDY + "".join(enqueued))
    done = subprocess.run(
        command("run", "study.toml", "--workers", "1"),
        cwd=folder, capture_output=True, text=True, check=False, env=environment(),
    )  # fmt: skip
    return stored(folder / "runs", "fates"), folder, done


def test_each_trial_fails_with_its_own_reason_and_the_others_go_on(fates):
    record, _, done = fates
    assert done.returncode == 0, done.stderr
    reasons = {trial.params["fate"]: trial.reason for trial in record.trials}
    assert reasons.keys() == FATES.keys()
    for fate, reason in FATES.items():
        assert reasons[fate] is None if reason is None else reason in reasons[fate]


def test_a_loss_that_is_no_number_ends_its_trial_at_once_and_is_never_the_best(fates):
    record, _, _ = fates
    for trial in record.trials:
        if trial.params["fate"] in ("nan", "inf", "-inf"):
            assert (trial.state, trial.epochs) == ("failed", 2)
            assert all(math.isfinite(value) for curve in trial.history.values() for value in curve)
    assert {record.trials[row.trial].params["fate"] for row in record.retrained} == {"well"}


def test_a_failed_trial_is_not_tried_again(fates):
    record, folder, _ = fates
    before = {trial.number: trial.reason for trial in record.trials}
    again = subprocess.run(
        command("run", "study.toml"), cwd=folder, capture_output=True, text=True, check=True, env=environment()
    )
    assert "epoch" not in again.stderr
    assert {trial.number: trial.reason for trial in stored(folder / "runs", "fates").trials} == before


def test_a_search_in_which_every_model_fails_ends_with_the_last_reason(tmp_path):
    (tmp_path / "fate.py").write_text(MODEL)
    space = 'model = "fate:build_model"\n[parameters]\nfate = { type = "fixed", value = "raises" }\n'
    (tmp_path / "space.toml").write_text(space + 'learning_rate = { type = "float", low = 0.001, high = 0.1 }\n')
    (tmp_path / "study.toml").write_text(STUDY)
    done = subprocess.run(
        command("run", "study.toml", "--workers", "1", "--trials", "20"),
        cwd=tmp_path, capture_output=True, text=True, check=False, env=environment(),
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("no such model") == 1
    assert "5 trials failed one after the other; the last: ValueError: no such model" in done.stderr


def test_the_same_search_gives_the_same_leaderboard_to_the_last_digit(tmp_path):
    words = ["run", "digits", "--workers", "1", "--trials", "4", "--set", "hyperband.max_resource=3", "--set",
             "retrain.seeds=1"]  # fmt: skip
    tables = []
    for turn in range(repetitions(2, 3)):
        (tmp_path / str(turn)).mkdir()
        done = subprocess.run(
            command(*words), cwd=tmp_path / str(turn), capture_output=True, text=True, check=False, env=environment()
        )
        assert done.returncode == 0, done.stderr
        record = stored(tmp_path / str(turn) / "runs", "digits")
        tables.append([(trial.params, trial.state, trial.rungs, trial.history, trial.test) for trial in record.trials])
    assert tables[1:] == tables[:-1]
