"""Optuna's own pruner as the rule of a search."""

from records import record

from studies.ladder import Ladder
from studies.stopping import Stopping

LADDER = Ladder(1, 9, 3)


def test_optuna_says_nothing_of_the_study_that_its_pruner_needs(capfd):
    Stopping("mine", LADDER, "maximize")
    assert capfd.readouterr() == ("", "")


def test_a_rule_that_is_rebuilt_has_nobody_under_way_who_has_ended():
    """A trial that failed on its way to a rung would be trained again when the search goes on."""
    records = [record(0, "failed", epochs=0), record(1, "failed", epochs=3, value=0.5), record(2, "running", epochs=0)]
    rule = Stopping.rebuild("mine", LADDER, "maximize", records)
    assert [step.number for step in rule.under_way()] == [2]
    assert rule.candidates() == []


def test_a_trial_among_the_best_goes_on_and_one_that_is_not_is_stopped():
    rule = Stopping("mine", LADDER, "maximize")
    stopped = []
    for number in range(30):
        epochs = rule.add(number)
        rule.arrive(number, epochs, -number)
        stopped.append(rule.out(number))
    assert not stopped[0]  # the best of all
    assert any(stopped)
