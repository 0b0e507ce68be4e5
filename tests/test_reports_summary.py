import math

import pytest
from records import record, retrained, study

from reports.summary import summary
from studies.records import TestScore

PARAMS = {"units": 128, "momentum": 0.123456}


def text(*args, **more):
    return "\n".join(summary(study(*args, **more)))


def test_a_study_without_trials_says_so_and_nothing_else():
    assert summary(study()) == ["No trial has been trained yet."]
    proposed = record(0, "pruned", 0)  # just before the time was up
    assert summary(study([proposed])) == ["No trial has been trained yet."]


def test_the_winner_is_named_with_its_score_its_epoch_and_its_params():
    trials = [record(3, val_accuracy=0.9417, best_epoch=21, params=PARAMS), record(4, val_accuracy=0.9)]
    assert summary(study(trials))[0] == (
        "Trial 3 won: 94.17% validation accuracy at epoch 21 of 27, with units = 128, momentum = 0.123."
    )
    assert "Trial 3 leads so far" in text(trials, state="searching")
    fixed = {"momentum": {"type": "fixed", "value": 0.123}}
    assert summary(study(trials, space={"parameters": fixed}))[0].endswith("at epoch 21 of 27, with units = 128.")
    fixed["units"] = {"type": "fixed", "value": 128}
    assert "with units = 128, momentum = 0.123" in summary(study(trials, space={"parameters": fixed}))[0]


def test_a_better_value_of_a_trial_that_was_not_trained_to_the_end_is_said():
    trials = [record(3, val_accuracy=0.9), record(4, "pruned", 3, val_accuracy=0.95), record(5, val_accuracy=0.8)]
    told = "Trial 4 had 95.00% after 3 epochs (pruned); one that is trained to the end comes first."
    assert summary(study(trials))[1] == told
    assert "Trial 4 had" not in text([record(3, val_accuracy=0.95), *trials])
    losses = [record(0, value=0.3, val_loss=0.3), record(1, "paused", 1, value=0.2, val_loss=0.2)]
    assert "Trial 1 had 0.2000 after 1 epoch (waiting at a rung)" in text(losses, monitor="val_loss")


def test_several_seeds_are_said_with_their_spread():
    trial = record(3, value=0.9417, best_epoch=21, params={"units": 128}, val_accuracy_spread=0.012)
    told = text([trial], plan={"objective": {"seeds": 3}})
    score = "94.17% validation accuracy (mean of 3 seeds, standard deviation 1.20 points)"
    assert f"Trial 3 won: {score} at epoch 21 of 27, with units = 128." in told
    assert "The search trained 27 epochs, 3 seeds each" in told


def test_how_many_were_compared_is_said_with_how_they_ended():
    trials = [record(0, val_accuracy=0.9), record(1, "pruned", 3, val_accuracy=0.8), record(2, "failed", 1)]
    assert "2 of 3 configurations could be compared: 1 trained to the end, 1 pruned and 1 failed." in text(trials)


def test_a_trial_between_two_rungs_is_said_to_be_there_whether_its_search_runs_or_its_time_is_up():
    trials = [record(0, val_accuracy=0.9), record(1, "running", 2, val_accuracy=0.8)]
    assert "2 configurations were compared: 1 trained to the end and 1 on the way to a rung." in text(trials)


def test_a_trial_that_had_no_turn_before_the_time_was_up_is_not_counted():
    trials = [record(0, val_accuracy=0.9), record(1, "pruned", 3, val_accuracy=0.8), record(2, "pruned", 0)]
    assert "2 configurations were compared: 1 trained to the end and 1 pruned." in text(trials)
    assert "training 2 configurations for 27 epochs would have taken 54" in text(trials)


def test_a_search_that_tried_all_that_the_space_has_says_so():
    space = {"model": "mlp", "parameters": {"units": {"type": "int", "low": 1, "high": 2}}}
    trials = [record(number, val_accuracy=0.9, params={"units": number + 1}) for number in range(2)]
    plan = {"budget": {"trials": 12}}
    assert "The space has 2 configurations: all were tried." in summary(study(trials, plan=plan, space=space))
    assert "The space has" not in text(trials[:1], plan=plan, space=space)
    assert "The space has" not in text(trials, plan={"budget": {"trials": 2}}, space=space)


def test_a_lead_is_judged_by_its_standard_error():
    close = [record(0, val_accuracy=0.94), record(1, val_accuracy=0.93)]
    assert "It leads trial 1 by 1.00 points, within the standard error of such a lead (1.86 points" in text(close)
    clear = [record(0, val_accuracy=0.94), record(1, val_accuracy=0.85)]
    assert "It leads trial 1 by 9.00 points, more than the standard error" in text(clear)


def test_a_lead_in_what_is_no_share_is_judged_by_the_spread_over_seeds():
    def said(*values, spread):
        trials = [record(n, value=value, val_f1=value, val_f1_spread=spread) for n, value in enumerate(values)]
        plan = {"objective": {"monitor": "val_f1", "seeds": 3}}
        return " ".join(summary(study(trials, monitor="val_f1", plan=plan)))

    # sqrt(0.03^2 + 0.03^2) / sqrt(3)
    told = "It leads trial 1 by 0.0200, within the standard error of such a lead (0.0245 over 3 seeds): this search"
    assert told in said(0.97, 0.95, spread=0.03)
    assert "more than the standard error of such a lead (0.00816 over 3 seeds)." in said(0.97, 0.95, spread=0.01)


def test_a_lead_of_shares_over_seeds_is_judged_by_both_the_examples_and_the_seeds():
    trials = [record(n, val_accuracy=value, val_accuracy_spread=0.03) for n, value in enumerate((0.94, 0.91))]
    # with 360 examples the standard error of Agresti and Caffo is 0.0198; sqrt(0.0198^2 + 2 * 0.03^2 / 3)
    told = "It leads trial 1 by 3.00 points, within the standard error of such a lead (3.15 points on 360 validation"
    assert f"{told} examples and over 3 seeds)" in text(trials, plan={"objective": {"seeds": 3}})


def test_equal_leaders_are_called_equal():
    equal = text([record(0, val_accuracy=0.9), record(1, val_accuracy=0.9)])
    assert "Trial 1 reached exactly the same" in equal
    assert "leads" not in equal


def test_without_a_second_complete_trial_no_lead_is_claimed():
    assert "no second to lead" in text([record(0, val_accuracy=0.9), record(1, "failed")])
    assert "no second to lead" in text([record(0, val_accuracy=0.9), record(1, value=math.nan)])
    assert "Only one configuration was tried (1 trained to the end)" in text([record(0, val_accuracy=0.9)])


def test_without_a_complete_trial_nobody_won():
    said = text([record(0, "pruned", 9, val_accuracy=0.91), record(1, "pruned", 3, val_accuracy=0.95)])
    assert "Of those that came furthest, trial 0 is the best: 91.00% validation accuracy after 9 epochs." in said
    assert "won" not in said
    assert "leads" not in said


def test_without_any_value_nothing_is_called_best():
    assert summary(study([record(0, "failed", 0)]))[0] == "No trial gave a usable value."
    assert summary(study([record(0, "running", 0)], state="searching"))[0] == "No trial has a usable value yet."


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [
        (0.90, "4.00 points worse than on the validation split, more than the standard error of 1.00 points"),
        (0.935, "0.50 points worse than on the validation split, within the standard error of 1.00 points"),
        (0.95, "1.00 points better than on the validation split"),
        (0.94, "the same as on the validation split"),
    ],
)
def test_validation_is_held_against_test_with_its_standard_error(accuracy, words):
    assert words in text([record(0, val_accuracy=0.94, test_accuracy=accuracy)])


def test_beside_another_metric_the_gap_is_said_to_be_one_of_accuracy():
    trial = record(4, value=0.1078, val_loss=0.1078, test_loss=0.1213, gap=0.0098, gap_se=0.013)
    assert (
        "On the test split trial 4 scores 0.1213 (validation 0.1078); its accuracy there is 0.98 points worse than on "
        "the validation split, within the standard error of 1.30 points."
    ) in summary(study([trial], monitor="val_loss"))


def test_a_test_score_that_is_no_finite_number_is_said_to_be_none():
    for score in ({"test_accuracy": 0.8}, {"test_accuracy": 0.8, "test_loss": math.nan}):
        trial = record(4, value=0.1, test=TestScore(score))
        told = "On the test split the loss of trial 4 is no finite number."
        assert told in summary(study([trial], monitor="val_loss"))


def test_of_a_study_of_others_that_was_imported_nothing_is_said_about_a_test_split():
    assert "test split" not in text([record(0, val_accuracy=0.9), record(1, val_accuracy=0.8)], plan={})


def test_a_test_split_that_nobody_opened_is_called_unopened():
    assert "The test split has not been opened." in text([record(0, val_accuracy=0.9)])
    opened = [record(0, val_accuracy=0.9), record(1, val_accuracy=0.8, test_accuracy=0.8)]
    assert "opened" not in text(opened)
    assert "opened" not in text([record(0, val_accuracy=0.9)], [retrained(0, test_accuracy=0.9)])


def test_the_retrained_score_stands_beside_the_searched_one():
    trials = [record(0, val_accuracy=0.94, test_accuracy=0.93)]
    again = [retrained(0, seed, test_accuracy=accuracy) for seed, accuracy in enumerate([0.93, 0.94, 0.95])]
    assert text(trials, again).splitlines()[-2] == (
        "Retrained 3 times on training and validation data, trial 0 scores 94.00% ± 1.00 points on the test split "
        "(93.00% when searched), mean ± standard deviation."
    )


def test_one_retraining_has_no_spread():
    said = text([record(0, val_accuracy=0.94)], [retrained(0, 7, "train", val_accuracy=0.93, test_accuracy=0.9)])
    assert said.splitlines()[-2] == (
        "Retrained once on training data, trial 0 scores 90.00% on the test split and 93.00% on the validation split "
        "(94.00% when searched)."
    )


def test_the_epochs_spent_are_held_against_full_training_of_all():
    trials = [record(0, val_accuracy=0.9), record(1, "pruned", 3, val_accuracy=0.8)]
    said = "The search trained 30 epochs; training 2 configurations for 27 epochs would have taken 54 (56%"
    assert said in text(trials)
    assert text([record(0, val_accuracy=0.9)]).endswith("The search trained 27 epochs.")
    assert text(trials, plan={}).endswith("The search trained 30 epochs.")


def test_a_loss_is_told_without_percent_and_without_an_error_it_does_not_have():
    said = text([record(0, value=0.2134), record(1, value=0.3)], monitor="val_loss")
    assert "0.2134 validation loss" in said
    assert "It leads trial 1 by 0.0866." in said
    assert "%" not in said.splitlines()[0]
