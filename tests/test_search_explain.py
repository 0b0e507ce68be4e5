from records import record, study
from rich.console import Console

from search.explain import explanation, explanation_text

PRUNED = [record(number, "pruned", 1, val_accuracy=0.9, bracket=0) for number in range(6)]


def explained(trials, number, mode="promote"):
    ladder = {"min_resource": 1, "max_resource": 27, "reduction_factor": 3}
    return explanation(study(trials, plan={"hyperband": {**ladder, "mode": mode}}), number)


def text(found):
    console = Console(width=120)
    with console.capture() as captured:
        console.print(explanation_text(found))
    return captured.get()


def test_of_equal_values_the_lower_number_is_said_to_go_first():
    told = "needed better than 90.00%: of equal values the lower number goes first"
    assert told in text(explained(PRUNED, 2))
    worse = [*PRUNED[:5], record(5, "pruned", 1, val_accuracy=0.8, bracket=0)]
    assert "needed 90.00% or better" in text(explained(worse, 5))


def test_where_optunas_pruner_was_the_judge_no_rung_of_ours_is_told():
    assert explained(PRUNED, 2, "stop")["rungs"] == []
    assert len(explained(PRUNED, 2)["rungs"]) == 1


def test_a_trial_that_went_on_before_better_ones_came_is_not_said_to_be_among_the_best_today():
    first = record(0, "complete", 27, val_accuracy=0.9, bracket=0)
    early = record(1, "pruned", 3, value=0.7, rungs={1: 0.6, 3: 0.7}, bracket=0)
    late = [record(number, "pruned", 1, val_accuracy=0.8, bracket=0) for number in range(2, 9)]
    assert "it went on from rung 1 before better ones came" in text(explained([first, early, *late], 1))
    assert "before better ones came" not in text(explained([first, early, *late], 0))
    worse = [record(number, "pruned", 1, val_accuracy=0.5, bracket=0) for number in range(2, 9)]
    assert "before better ones came" not in text(explained([first, early, *worse], 1))


def test_the_first_trial_too_is_said_to_have_gone_on_before_better_ones_came_above_its_third_rung():
    values = {1: 0.9, 3: 0.9, 9: 0.9, 27: 0.9}
    first = record(0, "complete", 27, value=0.9, rungs=values, bracket=0)
    late = [record(n, "pruned", 9, value=0.95, rungs=dict.fromkeys((1, 3, 9), 0.95), bracket=0) for n in range(1, 9)]
    told = text(explained([first, *late], 0))
    assert "goes on to its third rung whatever its rank" in told
    assert "it went on from rung 9 before better ones came" in told


def test_the_one_that_a_bracket_completes_though_few_arrived_is_told_as_such():
    rungs = {3: 0.8, 9: 0.9}
    lone = [record(16 + n, "pruned", 3, value=0.7, rungs={3: 0.7}, bracket=1) for n in range(3)]
    best = record(19, "complete", 27, value=0.9, rungs=rungs | {27: 0.9}, bracket=1)
    second = record(20, "pruned", 9, value=0.8, rungs=rungs | {9: 0.8}, bracket=1)
    told = "from rung 9, which too few have reached, the best goes on, for each bracket completes a trial"
    assert told in text(explained([*lone, best, second], 19))
    assert told not in text(explained([*lone, best, second], 20))
    assert "too few trials have reached rung 9 for its rank to take it on" in text(explained([*lone, best, second], 20))


def test_a_trial_that_may_go_on_when_a_search_goes_on_is_not_told_what_it_lacks():
    waiting = [record(number, "paused", 1, val_accuracy=0.9, bracket=0) for number in range(1, 7)]
    assert "it may go on from rung 1 and waits for its turn" in text(explained(waiting, 2))
    assert "needed better than 90.00%" in text(explained(waiting, 3))


def test_small_losses_are_told_apart():
    losses = [record(number, "pruned", 1, value=value, bracket=0) for number, value in enumerate((2e-5, 3e-5, 4e-5))]
    ladder = {"hyperband": {"min_resource": 1, "max_resource": 27, "reduction_factor": 3}}
    told = text(explanation(study(losses, monitor="val_loss", plan=ladder), 2))
    assert "needed 2.000e-05 or better" in told
    assert "3.000e-05 (trial 1)" in told
