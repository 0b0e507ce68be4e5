"""What toprung leans on in Keras and Optuna beyond their documented interface; an upgrade that breaks it says so."""

import keras
import numpy as np
import optuna
import pytest
from optuna.storages._rdb import models

from search.programs import create_variables

pytestmark = pytest.mark.backend


@pytest.fixture
def model():
    inputs = keras.Input((4,))
    x = keras.layers.BatchNormalization()(keras.layers.Dense(3)(keras.layers.Dropout(0.2)(inputs)))
    model = keras.Model(inputs, keras.layers.Softmax()(x))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_keras_creates_no_variable_in_training_that_was_not_created_ahead(model):
    create_variables(model)
    before = [len(model.variables), len(model.optimizer.variables), len(model.metrics_variables)]
    model.fit(np.zeros((6, 4)), np.zeros(6), verbose=0)
    assert [len(model.variables), len(model.optimizer.variables), len(model.metrics_variables)] == before


def test_keras_names_the_state_of_random_generators_so(model):
    states = [variable for variable in model.variables if variable.name.endswith("seed_generator_state")]
    assert [tuple(state.shape) for state in states] == [(2,)]


def test_keras_keeps_generators_and_metrics_out_of_a_models_weights(model):
    names = [variable.name for variable in model.weights]
    assert names == ["kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"]


def test_keras_hands_labels_to_a_loss_as_floats():
    seen = []

    class Spy(keras.losses.Loss):
        def call(self, y_true, y_pred):
            seen.append(keras.backend.standardize_dtype(y_true.dtype))
            return keras.ops.sum(y_pred, axis=-1)

    Spy()(np.zeros((2,), np.int32), np.zeros((2, 3), np.float32))
    assert seen == ["float32"]


def test_optunas_schema_is_the_one_that_is_written():
    assert models.SCHEMA_VERSION == 12
    assert {"trial_id", "number", "study_id", "state"} <= set(models.TrialModel.__table__.columns.keys())


def test_optunas_hyperband_judges_after_1_3_and_9_completed_epochs():
    """Reported from 1; with one bracket in play all is bracket 0."""
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    good = study.ask()
    for epoch in range(1, 10):
        good.report(1.0, epoch)
        good.should_prune()
    bad, stopped = study.ask(), []
    for epoch in range(1, 10):
        bad.report(0.0, epoch)
        stopped.append(bad.should_prune())
    assert [epoch for epoch, pruned in enumerate(stopped, start=1) if pruned][:1] == [1]
    rungs = [key for key in study.get_trials()[0].system_attrs if key.startswith("completed_rung_")]
    assert sorted(rungs) == ["completed_rung_0", "completed_rung_1", "completed_rung_2"]


def test_optuna_continues_a_running_trial_by_its_id():
    study = optuna.create_study()
    first = study.ask()
    first.suggest_float("x", 0, 1)
    again = optuna.trial.Trial(study, first._trial_id)
    again.report(0.5, 1)
    assert (again.number, again.params) == (first.number, first.params)
    assert study.get_trials()[0].intermediate_values == {1: 0.5}
