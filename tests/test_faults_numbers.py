"""Real Keras models that go wrong in every way: each fails alone, with its reason, and is never the best."""

import math

import pytest
from inline import run_inline, use_inline_workers

from search.errors import SearchError

MODEL = '''
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
    "nan": "is nan at epoch 3",
    "inf": "is inf at epoch 3",
    "-inf": "is -inf at epoch 3",
}

ORDER = [*FATES]  # and others that go well in between, for five failures in a row would end the search
ORDER[4:4] = ["well"]

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
trials = 8
[retrain]
seeds = 1
"""


@pytest.fixture(scope="module")
def fates(tmp_path_factory):
    """A study with one trial of each fate: its file, its record and its folder of runs.

    That a model crashes its worker: see tests/test_faults_processes.py.
    """
    folder = tmp_path_factory.mktemp("fates")
    (folder / "fate.py").write_text(MODEL)
    choices = ", ".join(f'"{fate}"' for fate in FATES)
    space = f'model = "fate:build_model"\n[parameters]\nfate = {{ type = "categorical", choices = [{choices}] }}\n'
    (folder / "space.toml").write_text(space + 'turn = { type = "int", low = 0, high = 10 }\n')
    enqueued = [f'\n[[enqueue]]\nfate = "{fate}"\nturn = {turn}\n' for turn, fate in enumerate(ORDER)]
    (folder / "study.toml").write_text(STUDY + "".join(enqueued))
    with pytest.MonkeyPatch.context() as patch:
        use_inline_workers(patch)
        return folder / "study.toml", run_inline(folder / "study.toml", folder / "runs"), folder / "runs"


def test_each_trial_fails_with_its_own_reason_and_the_others_go_on(fates):
    _, record, _ = fates
    reasons = {trial.params["fate"]: trial.reason for trial in record.trials}
    assert reasons.keys() == FATES.keys()
    for fate, reason in FATES.items():
        assert reasons[fate] is None if reason is None else reason in reasons[fate]


def test_a_loss_that_is_no_number_ends_its_trial_at_once_and_is_never_the_best(fates):
    _, record, _ = fates
    for trial in record.trials:
        if trial.params["fate"] in ("nan", "inf", "-inf"):
            assert (trial.state, trial.epochs) == ("failed", 2)
            assert all(math.isfinite(value) for curve in trial.history.values() for value in curve)
    assert {record.trials[row.trial].params["fate"] for row in record.retrained} == {"well"}


def test_a_failed_trial_is_not_tried_again(fates, monkeypatch):
    path, record, out = fates
    use_inline_workers(monkeypatch)
    told = []
    again = run_inline(path, out, observe=lambda kind, **_: told.append(kind))
    assert "epoch" not in told
    assert again.trials == record.trials


def test_a_search_in_which_every_model_fails_ends_with_the_last_reason(tmp_path, monkeypatch):
    use_inline_workers(monkeypatch)
    (tmp_path / "fate.py").write_text(MODEL)
    space = 'model = "fate:build_model"\n[parameters]\nfate = { type = "fixed", value = "raises" }\n'
    (tmp_path / "space.toml").write_text(space + 'learning_rate = { type = "float", low = 0.001, high = 0.1 }\n')
    (tmp_path / "study.toml").write_text(STUDY)
    last = "5 trials failed one after the other; the last: ValueError: no such model$"
    with pytest.raises(SearchError, match=last) as told:
        run_inline(tmp_path / "study.toml", tmp_path / "runs", "budget.trials=20")
    assert told.value.exit_code == 1
