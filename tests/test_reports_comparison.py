import pytest
from records import record, study

from reports.comparison import LONGEST_NAME, MOST_TRIALS, comparison, shared
from reports.contents import contents
from reports.page import page
from reports.summary import summary

PLAN = {
    "hyperband": {"mode": "none", "max_resource": 3},
    "training": {"batch_size": 32, "loss": "mse", "momentum": None},
}


def trial(number, final, test, **more):
    curve = (final - 0.2, final - 0.1, final)
    history = {"val_accuracy": curve, "train_accuracy": tuple(value + 0.05 for value in curve)}
    params = {"activation": ("relu", "tanh", "elu")[number % 3], "units": 64}
    metrics = {"val_accuracy": final, "train_accuracy": final + 0.05}
    return record(number, epochs=3, test_accuracy=test, params=params, history=history, **metrics, **more)


def few(**more):
    return study([trial(0, 0.9, 0.85), trial(1, 0.8, 0.88)], plan=PLAN, **more)


def test_trials_that_all_trained_to_the_end_are_shown_side_by_side():
    curves, bars, scatter = comparison(few())
    assert "0: relu 90.00%; 1: tanh 80.00%" in curves.alternative
    assert [len(axes.get_lines()) for axes in curves.figure.axes] == [2, 2]
    assert "In the order of validation: 0: relu 85.00%; 1: tanh 88.00%." in bars.alternative
    assert [bar.get_width() for bar in bars.figure.axes[0].patches] == pytest.approx([0.85, 0.88])
    low, high = bars.figure.axes[0].get_xlim()
    assert 0.7 < low < 0.8
    assert 0.9 < high < 0.95
    assert bars.figure.axes[0].get_xlabel() == f"accuracy, from {low:.2%} on"  # a bar seems to begin at 0
    assert "0: relu 95.00%, 90.00% and 85.00%" in scatter.alternative
    assert [(text.get_text(), text.xy) for text in scatter.figure.axes[0].texts] == [
        ("0", pytest.approx((0.95, 0.9))),
        ("1", pytest.approx((0.85, 0.8))),
    ]
    assert all(chart.svg() for chart in (curves, bars, scatter))


def test_a_study_that_prunes_or_has_too_many_trials_is_not():
    pruning = {**PLAN, "hyperband": {"mode": "promote", "max_resource": 3}}
    assert comparison(study([trial(0, 0.9, 0.8), trial(1, 0.8, 0.8)], plan=pruning)) == ()
    many = [trial(number, 0.9, 0.8) for number in range(MOST_TRIALS + 1)]
    assert comparison(study(many, plan=PLAN)) == ()
    assert comparison(study([trial(0, 0.9, 0.8)], plan=PLAN)) == ()


def test_trials_that_differ_in_much_are_called_by_their_numbers():
    many = [
        record(n, val_accuracy=0.9, params=dict.fromkeys("abcde", n), history={"val_accuracy": (0.9,)}) for n in (0, 1)
    ]
    (curves,) = comparison(study(many, plan=PLAN))
    assert "trial 0 90.00%; trial 1 90.00%" in curves.alternative


def test_a_hypermodels_trials_share_no_loss_that_its_study_says():
    rows = dict(shared(few(space={"model": "keras_tuner:mine:build_model", "parameters": {}})).rows)
    assert rows == {"batch_size": "32", "units": "64", "epochs at most": "3"}


def test_learning_rates_are_compared_by_what_they_are_and_how_they_fall():
    given = [{"learning_rate": 0.1, "schedule": "step", "schedule_times": 2}, {"learning_rate": 0.01}]
    optimizers = [{"optimizer": "sgd"} | given[0], {"optimizer": "adam"} | given[1]]
    some = [record(n, val_accuracy=0.9, params=p, history={"val_accuracy": (0.9,)}) for n, p in enumerate(optimizers)]
    (curves,) = comparison(study(some, plan=PLAN))
    assert "0: sgd, 0.1, step, 2 90.00%; 1: adam, 0.01 90.00%" in curves.alternative


def test_names_of_trials_are_cut_where_they_are_long_and_never_to_the_same():
    losses, optimizers = ("categorical_crossentropy", "sparse_categorical_crossentropy"), ("adam", "sgd", "rmsprop")
    params = [
        {"activation": "relu", "loss": loss, "optimizer": optimizer} for loss in losses for optimizer in optimizers
    ]
    params.append({"activation": "tanh", "loss": "mean_squared_error", "optimizer": "adam"})
    some = [record(n, val_accuracy=0.9, params=one, history={"val_accuracy": (0.9,)}) for n, one in enumerate(params)]
    (curves,) = comparison(study(some, plan=PLAN))
    names = [line.get_label() for line in curves.figure.axes[0].get_lines()]
    assert len({name.partition(": ")[2] for name in names}) == len(names) == 7
    assert names[5].endswith(", rmsprop")
    assert names[5].startswith("5: relu, sparse_categor")
    assert max(map(len, names)) <= LONGEST_NAME + 3


def test_what_all_trials_share_is_a_table_of_hyperparameters():
    rows = dict(shared(few()).rows)
    assert rows == {"batch_size": "32", "loss": "mse", "units": "64", "epochs at most": "3"}
    stopping = {"early_stopping": {"monitor": "val_loss", "patience": 10}, "plateau": {"factor": 0.5, "patience": 5}}
    rows = dict(shared(study([trial(0, 0.9, 0.85)], plan=PLAN | stopping)).rows)
    assert rows["early stopping"] == "monitor val_loss, patience 10"
    assert rows["lower rate at plateaus"] == "factor 0.5, patience 5"
    assert "Shared by all trials" in page(contents(few()))
    assert shared(study(plan=PLAN)) is None


def test_a_choice_by_the_test_split_is_told_with_what_it_would_have_gained_on_paper():
    told = " ".join(summary(few()))
    assert "Picked by the test split, trial 1 would have been named with 88.00%: 3.00 points better on paper" in told
    same = study([trial(0, 0.9, 0.88), trial(1, 0.8, 0.85)], plan=PLAN)
    assert "The test split would have picked the same." in " ".join(summary(same))
