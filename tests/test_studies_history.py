import json
import math
from datetime import datetime, timedelta

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from records import without_times

from studies import history
from studies.records import RetrainRecord, TestScore, TrialRecord

HISTORY = {"train_accuracy": (0.5, 0.7, 0.8), "val_accuracy": (0.4, 0.6, 0.55)}
RECORD = TrialRecord(
    number=4,
    state="paused",
    params={"x": 0.5, "batch_norm": True},
    bracket=1,
    epochs=3,
    value=0.6,
    best_epoch=2,
    metrics={"train_accuracy": 0.7, "val_accuracy": 0.6},
    history=HISTORY,
    rungs={1: 0.4, 3: 0.6},
    weights=101770,
    seconds=1.5,
    reason="waits",
)
STATES = {
    "running": TrialState.RUNNING,
    "paused": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


def frozen(record: TrialRecord, **changes) -> FrozenTrial:
    """The trial that Optuna has when the store wrote a record."""
    ended = record.finished and record.state != "failed"
    fields = {
        "number": record.number,
        "trial_id": record.number,
        "state": STATES[record.state],
        "value": record.value if ended else None,
        "params": {"x": 0.5},
        "distributions": {"x": FloatDistribution(0, 1)},
        "user_attrs": history.user_attributes(record),
        "system_attrs": {**history.system_attributes(record), history.FIXED: {"batch_norm": True}},
        "intermediate_values": dict(enumerate(HISTORY["val_accuracy"], 1)),
        "datetime_start": datetime(2026, 5, 1, 12),
        "datetime_complete": None,
    }
    return FrozenTrial(**{**fields, **changes})


def read(trial: FrozenTrial, **keywords) -> TrialRecord:
    return history.trial_record(trial, "val_accuracy", "maximize", **keywords)


@pytest.mark.parametrize("state", STATES)
def test_a_record_comes_back_as_it_was_written(state):
    record = TrialRecord(**{**{name: getattr(RECORD, name) for name in RECORD.__slots__}, "state": state})
    assert without_times(read(frozen(record))) == record


def test_the_times_of_a_record_know_their_zone():
    record = read(frozen(RECORD))
    assert record.started is not None
    assert record.started.utcoffset() is not None
    assert record.ended is None


def test_a_trial_that_has_not_reported_yet_has_no_value():
    blank = FrozenTrial(
        number=0, trial_id=0, state=TrialState.RUNNING, value=None, params={}, distributions={},
        user_attrs={}, system_attrs={}, intermediate_values={}, datetime_start=None, datetime_complete=None,
    )  # fmt: skip
    assert read(blank) == TrialRecord(0, "running")


def test_a_value_that_is_not_finite_is_never_the_best():
    trial = frozen(RECORD, system_attrs={history.HISTORY: {"val_accuracy": [0.4, math.nan, math.inf]}}, user_attrs={})
    assert (read(trial).value, read(trial).best_epoch, read(trial).epochs) == (0.4, 1, 3)


def test_numbers_that_are_not_finite_are_kept_out_of_the_columns_of_dashboards():
    record = TrialRecord(0, "failed", metrics={"val_loss": math.nan, "val_accuracy": 0.5})
    assert history.user_attributes(record) == {"epochs": 0, "seconds": 0.0, "val_accuracy": 0.5}


def test_the_best_epoch_is_the_first_with_the_best_value_in_the_direction():
    trial = frozen(RECORD, user_attrs={}, system_attrs={history.HISTORY: {"val_loss": [0.5, 0.2, 0.2, 0.9]}})
    record = history.trial_record(trial, "val_loss", "minimize")
    assert (record.value, record.best_epoch) == (0.2, 2)


def test_trials_that_another_program_made_are_read_with_what_optuna_knows():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    study.add_trial(
        create_trial(
            value=0.7, params={"x": 0.5}, distributions={"x": FloatDistribution(0, 1)},
            intermediate_values={0: 0.2, 1: 0.8},
        )
    )  # fmt: skip
    study.enqueue_trial({"x": 0.1})
    (record,) = history.trial_records(study.get_trials(), "val_accuracy", "maximize", {})
    assert (record.state, record.params, record.value) == ("complete", {"x": 0.5}, 0.7)
    assert record.history == {"val_accuracy": (0.2, 0.8)}
    assert record.epochs == 2


@pytest.mark.parametrize(("curve", "epoch"), [((0.2, 0.8, 0.7), 3), ((0.2, 0.8), None), ((0.7, 0.8, 0.7), 1)])
def test_the_best_epoch_of_another_programs_trial_is_one_at_which_it_had_its_value(curve, epoch):
    trial = create_trial(value=0.7, intermediate_values=dict(enumerate(curve)))
    assert read(trial).best_epoch == epoch


def test_another_programs_trial_took_the_time_from_its_beginning_to_its_end():
    trial = create_trial(value=0.7)
    trial.datetime_complete = trial.datetime_start + timedelta(seconds=90)
    assert read(trial).seconds == 90


@pytest.mark.parametrize("filler", [0, 500])
def test_test_scores_and_retrained_models_come_back_however_long_they_are(filler):
    score = TestScore({f"test_{index}": 0.5 for index in range(filler + 1)}, gap=0.01, gap_se=0.002)
    again = RetrainRecord(4, "train", 9, 0, {"test_accuracy": 0.9}, weights=10)
    attributes = {
        "uuid": "u",
        "monitor": "val_accuracy",
        "state": "searching",
        "created": "2026-05-01T12:00:00+00:00",
        "plan": history.packed({"name": "digits", "filler": "x" * filler * 10}),
        history.test_attribute(4): history.packed(score),
        history.RETRAINED: history.packed([again] * (filler + 1)),
    }
    study = history.study_record("digits", attributes, "maximize", None, [frozen(RECORD)])
    assert study.trials[0].test == score
    assert study.retrained == (again,) * (filler + 1)
    assert study.plan["name"] == "digits"
    assert study.created.isoformat().startswith("2026-05-01T12:00")
    assert (study.uuid, study.monitor, study.state) == ("u", "val_accuracy", "searching")


def test_long_values_are_packed_as_text_that_dashboards_show_in_full():
    assert history.packed({"a": 1}) == {"a": 1}
    assert isinstance(history.packed({"a": "x" * 2000}), str)
    assert history.packed("x" * 2000) == "x" * 2000


def test_a_study_of_another_program_is_named_after_its_metric():
    study = history.study_record("foreign", {}, "minimize", "loss", [frozen(RECORD)])
    assert (study.monitor, study.uuid, study.state) == ("loss", "", "finished")
    assert study.created == study.trials[0].started


def test_a_history_that_nobody_looks_at_is_never_parsed():
    attributes = {**history.system_attributes(RECORD), history.HISTORY: history.Curves("no JSON at all")}
    record = read(frozen(RECORD, system_attrs=attributes))
    assert (record.value, record.best_epoch, record.epochs) == (RECORD.value, RECORD.best_epoch, RECORD.epochs)
    with pytest.raises(ValueError):
        len(record.history)


def test_a_history_from_the_store_is_the_mapping_that_was_written():
    curves = history.Curves(json.dumps(HISTORY))
    assert curves == HISTORY
    assert (dict(curves), len(curves), repr(curves)) == (HISTORY, 2, repr(HISTORY))
    assert curves.get("val_loss") is None
