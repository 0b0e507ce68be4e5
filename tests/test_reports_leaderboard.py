import math

import pytest
from records import record, retrained, study

from reports.columns import readable
from reports.errors import ReportError
from reports.leaderboard import leaderboard

COLUMNS = [
    *("rank", "trial", "state", "epochs", "best_epoch"),
    *("train_accuracy", "val_accuracy", "test_accuracy", "gap", "gap_se", "train_val_gap"),
    *("val_loss", "test_loss", "val_rank", "test_rank", "parameters", "seconds"),
]

SPACE = {
    "model": "mlp",
    "parameters": {
        "units": {"type": "int", "low": 16, "high": 128, "per": "layers"},
        "layers": {"type": "int", "low": 1, "high": 20},
        "optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
        "momentum": {"type": "float", "low": 0, "high": 0.9, "when": {"optimizer": "sgd"}},
        "batch_norm": {"type": "fixed", "value": True},
    },
}


def values(frame, column):
    return frame[column].astype(object).where(frame[column].notna(), None).tolist()


def test_the_columns_are_those_of_the_contract_in_its_order():
    assert list(leaderboard(study([record(val_accuracy=0.9)])).columns) == COLUMNS


def test_columns_and_types_are_the_same_with_no_trial_and_with_many():
    rows = [
        record(0, val_accuracy=0.9, params={"layers": 1, "units_0": 16, "optimizer": "adam"}),
        record(1, "failed", epochs=0, params={"layers": 1, "units_0": 16, "optimizer": "sgd", "momentum": 0}),
    ]
    empty, full = leaderboard(study(space=SPACE)), leaderboard(study(rows, space=SPACE))
    names = ["params_layers", "params_optimizer", "params_momentum"]
    assert list(empty.columns) == COLUMNS + names
    assert empty.dtypes.astype(str).to_dict() == {
        name: str(full[name].dtype) for name in empty.columns if name in full.columns
    }
    assert full["params_momentum"].dtype == "float64"


@pytest.mark.parametrize("huge", [2**63, -(2**63) - 1])
def test_whole_numbers_that_no_column_of_64_bits_holds_keep_their_value(huge):
    """Another program's study may have them."""
    rows = [record(number, val_accuracy=0.9, params={"seed": value}) for number, value in enumerate([huge, 1])]
    assert values(leaderboard(study(rows, space={})), "params_seed") == [huge, 1]


def test_a_trial_that_stopped_early_ranks_by_the_rung_it_arrived_at():
    early = record(0, "pruned", epochs=5, val_accuracy=0.95, rungs={1: 0.9, 3: 0.95, 9: 0.95})
    other = record(1, "pruned", epochs=9, val_accuracy=0.80)
    assert list(leaderboard(study([other, early]))["trial"]) == [0, 1]


def test_a_pruned_trial_never_outranks_a_complete_one():
    pruned = record(number=0, state="pruned", epochs=3, val_accuracy=0.93)
    complete = record(number=1, state="complete", epochs=27, val_accuracy=0.91)
    assert list(leaderboard(study([pruned, complete]))["trial"]) == [1, 0]


def test_trials_are_ranked_by_fidelity_then_value_and_failed_ones_come_last_without_a_rank():
    trials = [
        record(0, "failed", epochs=20, val_accuracy=0.99),
        record(1, "pruned", epochs=1, val_accuracy=0.95),
        record(2, "pruned", epochs=9, val_accuracy=0.80),
        record(3, "complete", val_accuracy=0.85),
        record(4, "complete", val_accuracy=0.88),
        record(5, "running", epochs=0),
        record(6, "paused", epochs=9, val_accuracy=0.81),
        record(7, "pruned", epochs=1, value=math.nan),
    ]
    frame = leaderboard(study(trials))
    assert values(frame, "trial") == [4, 3, 6, 2, 1, 5, 7, 0]
    assert values(frame, "rank") == [1, 2, 3, 4, 5, None, None, None]


def test_equal_values_keep_the_order_of_numbers():
    frame = leaderboard(study([record(2, val_accuracy=0.9), record(1, val_accuracy=0.9)]))
    assert values(frame, "trial") == [1, 2]
    assert values(frame, "val_rank") == [1, 1]


def test_an_infinite_value_is_never_ranked():
    frame = leaderboard(study([record(0, value=math.inf), record(1, val_accuracy=0.1)]))
    assert values(frame, "trial") == [1, 0]
    assert values(frame, "rank") == [1, None]
    assert values(frame, "val_rank") == [1, None]


def test_differences_and_means_have_no_more_digits_than_what_they_are_of():
    trials = [record(0, val_accuracy=0.9166667, train_accuracy=0.96875)]
    again = [retrained(0, seed=1, test_accuracy=0.9470752), retrained(0, seed=2, test_accuracy=0.9470751)]
    frame = leaderboard(study(trials, again))
    assert frame["train_val_gap"].tolist()[0] == 0.0520833
    assert frame["test_accuracy"].tolist()[1] == 0.947075


def test_a_time_that_is_not_known_is_left_out():
    frame = leaderboard(study([record(0, val_accuracy=0.9), record(1, val_accuracy=0.8, seconds=1.5)]))
    assert values(frame, "seconds") == [None, 1.5]


def test_test_numbers_have_a_rank_of_their_own_and_never_choose():
    trials = [
        record(0, val_accuracy=0.90, test_accuracy=0.95),
        record(1, val_accuracy=0.92, test_accuracy=0.85),
        record(2, val_accuracy=0.91),
        record(3, "pruned", epochs=9, val_accuracy=0.99),  # compared with nobody who trained to the end
    ]
    frame = leaderboard(study(trials, [retrained(1, test_accuracy=0.91)]))
    assert values(frame, "trial") == [1, 2, 0, 3, 1]
    assert values(frame, "val_rank") == [1, 2, 3, None, None]
    assert values(frame, "test_rank") == [3, None, 1, None, 2]
    assert frame["gap"].round(4).tolist()[0] == 0.07


def test_gaps_are_above_zero_when_the_later_split_is_worse():
    frame = leaderboard(study([record(train_accuracy=0.97, val_accuracy=0.92, test_accuracy=0.9)]))
    assert frame.loc[0, "train_val_gap"] == pytest.approx(0.05)
    assert frame.loc[0, "gap"] == pytest.approx(0.02)
    losses = record(value=0.5, train_loss=0.4, val_loss=0.5)
    assert leaderboard(study([losses], monitor="val_loss")).loc[0, "train_val_gap"] == pytest.approx(0.1)


def test_the_retrained_winner_is_one_row_the_mean_over_seeds():
    params = {"layers": 1, "units_0": 64, "optimizer": "adam"}
    again = [
        retrained(3, seed, test_accuracy=accuracy, test_loss=0.2, epochs=20, seconds=4.0, weights=10)
        for seed, accuracy in enumerate([0.90, 0.92, 0.94])
    ]
    frame = leaderboard(study([record(3, val_accuracy=0.93, params=params)], again, space=SPACE))
    row = frame.iloc[-1]
    assert len(frame) == 2
    assert (row["trial"], row["state"], row["epochs"], row["parameters"]) == (3, "retrained", 20, 10)
    assert row["test_accuracy"] == pytest.approx(0.92)
    assert row["params_units_0"] == 64
    assert frame[["rank", "val_accuracy", "gap", "train_val_gap"]].iloc[-1].isna().all()


def test_retraining_on_train_alone_keeps_validation_numbers_and_more_seeds_do_not_shrink_the_error():
    again = [
        retrained(0, seed, "train", val_accuracy=0.9, test_accuracy=0.88, gap=0.02, gap_se=0.015) for seed in range(9)
    ]
    row = leaderboard(study([record(0, val_accuracy=0.91)], again)).iloc[-1]
    assert row["val_accuracy"] == pytest.approx(0.9)
    assert (row["gap"], row["gap_se"]) == (pytest.approx(0.02), pytest.approx(0.015))


def test_several_retrained_configurations_stand_in_the_order_of_their_rank():
    trials = [record(0, val_accuracy=0.8), record(1, val_accuracy=0.9)]
    again = [retrained(0, test_accuracy=0.9), retrained(1, test_accuracy=0.8)]
    assert values(leaderboard(study(trials, again)), "trial")[2:] == [1, 0]


def test_with_val_loss_the_loss_takes_the_place_of_accuracy_and_less_is_better():
    trials = [
        record(0, value=0.3, val_loss=0.3, val_accuracy=0.9, train_loss=0.2),
        record(1, value=0.2, val_loss=0.2, val_accuracy=0.8, test_loss=0.25),
    ]
    frame = leaderboard(study(trials, monitor="val_loss"))
    assert list(frame.columns) == [
        *("rank", "trial", "state", "epochs", "best_epoch"),
        *("train_loss", "val_loss", "test_loss", "gap", "gap_se", "train_val_gap"),
        *("val_accuracy", "test_accuracy", "val_rank", "test_rank", "parameters", "seconds"),
    ]
    assert values(frame, "trial") == [1, 0]
    assert values(frame, "val_rank") == [1, 2]
    assert values(leaderboard(study(trials, monitor="val_loss"), sort="val_accuracy"), "trial") == [0, 1]


def test_with_val_f1_the_f1_takes_the_place_of_accuracy():
    frame = leaderboard(study([record(value=0.9, val_f1=0.9, train_f1=0.95)], monitor="val_f1"))
    assert list(frame.columns)[5:8] == ["train_f1", "val_f1", "test_f1"]
    assert "val_loss" in frame.columns


def test_params_stand_in_the_order_of_the_space_and_repeats_in_the_order_of_numbers():
    params = {"optimizer": "adam", "layers": 11, **{f"units_{i}": 16 for i in reversed(range(11))}, "odd": 1}
    frame = leaderboard(study([record(val_accuracy=0.9, params=params)], space=SPACE))
    names = [name.removeprefix("params_") for name in frame.columns if name.startswith("params_")]
    assert names == [*(f"units_{i}" for i in range(11)), "layers", "optimizer", "momentum", "odd"]


def test_a_parameter_that_was_not_drawn_is_missing_and_whole_numbers_stay_whole():
    trials = [
        record(0, val_accuracy=0.9, params={"layers": 2, "units_0": 64, "units_1": 32, "optimizer": "adam"}),
        record(1, val_accuracy=0.8, params={"layers": 1, "units_0": 16, "optimizer": "sgd", "momentum": 0.5}),
    ]
    frame = leaderboard(study(trials, space=SPACE))
    assert values(frame, "params_units_1") == [32, None]
    assert values(frame, "params_momentum") == [None, 0.5]
    assert frame["params_units_1"].dtype == "Int64"


def test_a_choice_of_mixed_kinds_keeps_its_values_and_can_be_sorted():
    trials = [record(i, val_accuracy=0.9, params={"rate": rate}) for i, rate in enumerate(["auto", 2, True])]
    frame = leaderboard(study(trials), sort="params_rate")
    assert values(frame, "params_rate") == [2, True, "auto"]


def test_top_keeps_the_best_configurations_and_the_retrained_row():
    trials = [record(i, val_accuracy=0.9 - i / 100) for i in range(5)]
    frame = leaderboard(study(trials, [retrained(0, test_accuracy=0.9)]), top=2)
    assert values(frame, "trial") == [0, 1, 0]
    with pytest.raises(ReportError, match="at least 1"):
        leaderboard(study(trials), top=0)


def test_sorting_puts_the_best_first_the_missing_last_and_leaves_ranks_alone():
    trials = [
        record(0, val_accuracy=0.9, seconds=9.0),
        record(1, val_accuracy=0.8, test_accuracy=0.7, seconds=2.0),
    ]
    by_test = leaderboard(study(trials), sort="test_accuracy")
    assert values(by_test, "trial") == [1, 0]
    assert values(by_test, "rank") == [2, 1]
    assert values(leaderboard(study(trials), sort="seconds"), "trial") == [1, 0]
    assert values(leaderboard(study(trials), sort="-seconds"), "trial") == [0, 1]


def test_an_unknown_column_is_refused_with_the_nearest_name():
    with pytest.raises(ReportError, match='no column "val_acuracy"; did you mean "val_accuracy"'):
        leaderboard(study(), sort="val_acuracy")


def test_several_seeds_a_trial_show_their_spread():
    plan = {"objective": {"monitor": "val_accuracy", "seeds": 3}}
    trial = record(0, val_accuracy=0.9, val_accuracy_spread=0.02)
    again = [retrained(0, seed, "train", val_accuracy=value) for seed, value in enumerate((0.8, 1.0))]
    frame = leaderboard(study([trial], again, plan=plan))
    place = COLUMNS.index("test_accuracy")
    assert list(frame.columns) == [*COLUMNS[:place], "val_spread", *COLUMNS[place:]]
    assert frame["val_spread"].tolist() == pytest.approx([0.02, 0.2 / 2**0.5])
    (column,) = [column for column in readable(frame) if column.name == "val_spread"]
    assert (column.header, column.cells) == ("val spread (points)", ("±2.00", "±14.14"))
