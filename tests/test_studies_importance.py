import random
import subprocess
import sys
from dataclasses import replace

import pytest
from records import record, study

from studies.importance import importances, law_of, varying_params

LAWS = {"rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True}, "units": {"type": "int", "per": "layers"}}


def trials(count, epochs=3, state="pruned", begin=0):
    """The rate decides; the rest does nothing, and momentum is there only with sgd."""
    dice = random.Random(begin)
    for number in range(begin, begin + count):
        rate, optimizer = 10 ** dice.uniform(-4, 0), dice.choice(["adam", "sgd"])
        params = {"rate": rate, "optimizer": optimizer, "layers": dice.randint(1, 3), "bias": True}
        params |= {"momentum": dice.random()} if optimizer == "sgd" else {}
        yield record(number, state, epochs, val_accuracy=0.5 + 0.4 * rate, params=params)


def test_the_parameter_that_decides_has_most_of_the_importance():
    found = importances(study(trials(200), space={"parameters": LAWS}))
    assert next(iter(found.shares)) == "rate"
    assert found.shares["rate"] > 0.8
    assert sum(found.shares.values()) == pytest.approx(1)
    assert set(found.shares) == {"rate", "optimizer", "layers", "momentum"}


def test_a_parameter_that_a_single_trial_lacks_is_weighed_without_a_warning():
    most = list(trials(40))
    told = [replace(trial, params={**trial.params, "momentum": trial.number / 40}) for trial in most[1:]]
    alone = replace(most[0], params={"rate": 0.1, "optimizer": "adam", "layers": 1})
    assert "momentum" in importances(study([alone, *told])).shares


def test_trials_are_compared_at_the_highest_rung_that_many_reached():
    many = [*trials(60, epochs=1), *trials(25, epochs=9, begin=60), *trials(3, epochs=27, state="complete", begin=90)]
    found = importances(study(many))
    assert (found.epochs, found.trials) == (9, 28)


def test_a_value_is_the_best_up_to_the_rung_not_a_later_one():
    late = [record(100 + i, "complete", 27, value=0.9, params={"x": i}, rungs={27: 0.9},
                   history={"val_accuracy": (i / 100,) * 26 + (0.9,)}) for i in range(10)]  # fmt: skip
    found = importances(study([*trials(40, epochs=1), *late]))
    assert (found.epochs, found.trials) == (1, 50)


def test_a_trial_that_stopped_early_is_compared_at_the_rungs_it_arrived_at():
    early = [record(60 + i, "complete", 4, value=i / 30, params={"rate": i / 30}, rungs={1: 0.1, 9: i / 30})
             for i in range(25)]  # fmt: skip
    found = importances(study([*trials(60, epochs=1), *early]))
    assert (found.epochs, found.trials) == (9, 25)


def test_without_rungs_complete_trials_are_compared_by_their_values():
    imported = [record(i, value=i / 30, epochs=0, params={"x": i / 30}, rungs={}) for i in range(30)]
    pruned = record(30, "pruned", 2, value=0.9, params={"x": 0.1}, rungs={})
    found = importances(study([*imported, pruned], plan={}))
    assert (found.epochs, found.trials, found.shares) == (None, 30, {"x": 1.0})


@pytest.mark.parametrize(
    "some",
    [
        [],
        list(trials(11)),
        [record(i, val_accuracy=0.5, params={"x": i}) for i in range(20)],
        [record(i, val_accuracy=i / 20, params={"x": 1}) for i in range(20)],
        [record(i, "failed", 3, value=i / 20, params={"x": i}) for i in range(20)],
    ],
    ids=["none", "too few", "equal values", "nothing varies", "all failed"],
)
def test_where_nothing_can_be_told_nothing_is(some):
    assert importances(study(some)) is None


def test_less_is_better_where_the_study_says_so():
    losing = [record(i, "pruned", 3, value=1 - i / 50, params={"x": i / 50, "y": i % 3}) for i in range(50)]
    assert next(iter(importances(study(losing, monitor="val_loss")).shares)) == "x"


def test_a_reversed_parameter_counts_as_the_mirror_image_that_was_drawn():
    drawn = list(trials(60))
    plain = [replace(one, params={"rate": one.params["rate"], "none": one.number % 7}) for one in drawn]
    mirrored = [replace(one, params={"rate": 1.0001 - one.params["rate"], "none": one.number % 7}) for one in drawn]
    law = LAWS["rate"] | {"reverse": True}
    found = importances(study(mirrored, space={"parameters": {"rate": law}}))
    assert found.shares == pytest.approx(importances(study(plain, space={"parameters": LAWS})).shares)


def test_a_repeated_parameter_follows_the_law_of_its_name():
    assert law_of(study(space={"parameters": LAWS}), "units_2") == LAWS["units"]
    assert law_of(study(space={}), "units_2") == {}
    assert varying_params(list(trials(30))) == ["rate", "optimizer", "layers", "momentum"]


def test_the_same_study_gives_the_same_importances_and_says_nothing(capfd):
    first, second = (importances(study(trials(50))) for _ in range(2))
    assert first == second
    assert capfd.readouterr() == ("", "")


def test_importances_leave_optunas_own_as_they_were():
    code = """
import sys
sys.path[:0] = ["tests", "."]
from test_studies_importance import importances, study, trials
assert importances(study(trials(40))).trials == 40
assert "sklearn" not in sys.modules
import optuna
optuna.importance.FanovaImportanceEvaluator()  # raises ImportError where scikit-learn is missing
"""
    subprocess.run([sys.executable, "-c", code], check=True)
