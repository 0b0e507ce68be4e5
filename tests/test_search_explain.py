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
    told = "needed better than 0.9000: of equal values the lower number goes first"
    assert told in text(explained(PRUNED, 2))
    worse = [*PRUNED[:5], record(5, "pruned", 1, val_accuracy=0.8, bracket=0)]
    assert "needed 0.9000 or better" in text(explained(worse, 5))


def test_where_optunas_pruner_was_the_judge_no_rung_of_ours_is_told():
    assert explained(PRUNED, 2, "stop")["rungs"] == []
    assert len(explained(PRUNED, 2)["rungs"]) == 1
