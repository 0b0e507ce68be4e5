import os
import subprocess
import sys
from importlib.util import find_spec
from statistics import mean, median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from threadpoolctl import threadpool_limits

from spaces.parameters import Params
from spaces.space import Space
from studies import thompson
from studies.errors import StudyError
from studies.grid import Grid, configurations, shuffled
from studies.ladder import Ladder
from studies.plan import SamplerPlan
from studies.records import TrialRecord
from studies.sampler import Proposer, distributions, values_at_top
from studies.spread import spread
from studies.surrogate import GaussianProcess

LADDER = Ladder(1, 27, 3)
PARAMETERS = {
    "blocks": {"type": "int", "low": 1, "high": 3},
    "filters": {"type": "int", "low": 16, "high": 128, "log": True, "step": 2, "per": "blocks"},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.1},
    "size": {"type": "ordinal", "choices": ["small", "medium", "large"]},
    "optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "momentum": {"type": "float", "low": 0.0, "high": 0.99, "when": {"optimizer": "sgd"}},
    "batch_norm": {"type": "fixed", "value": True},
}
PLANE = {"x": {"type": "float", "low": -10, "high": 10}, "y": {"type": "float", "low": -10, "high": 10}}


def space(parameters: dict) -> Space:
    return Space.model_validate({"model": "mlp", "parameters": parameters})


def proposer(
    parameters: dict, name: str = "tpe", seed: int = 0, direction: str = "maximize", ladder: Ladder = LADDER
) -> Proposer:
    return Proposer(space(parameters), SamplerPlan(name=name, seed=seed), direction, ladder)


def paused(number: int, params: Params, value: float, epochs: int = 1) -> TrialRecord:
    return TrialRecord(number, "paused", params, 0, epochs, value, epochs, rungs={epochs: value})


def search(proposers, trials: int, score, begun: list[TrialRecord] | None = None) -> list[TrialRecord]:
    """Trials that all stay paused at their first rung; a proposer for each, as after an interruption."""
    records = list(begun or [])
    for number in range(len(records), trials):
        params = next(proposers).propose(number, records)
        records.append(paused(number, params, score(params)))
    return records


def again_and_again(*arguments, **keywords):
    one = proposer(*arguments, **keywords)
    while True:
        yield one


def anew_each_time(*arguments, **keywords):
    while True:
        yield proposer(*arguments, **keywords)


def bowl(params: Params) -> float:
    return -((params["x"] - 2) ** 2) - (params["y"] + 3) ** 2


def some_score(params: Params) -> float:
    return -abs(params["learning_rate"] - 0.01) - params["dropout"] + (params["optimizer"] == "sgd")


@pytest.mark.parametrize("name", ["gp", "tpe", "random", "grid"])
def test_an_interrupted_search_proposes_what_the_undisturbed_one_does(name):
    parameters = dict(PARAMETERS)
    if name == "grid":
        del parameters["learning_rate"], parameters["momentum"]

    def score(params):
        return params["dropout"]

    whole = search(again_and_again(parameters, name), 16, score)
    interrupted = search(anew_each_time(parameters, name), 16, score)
    assert [record.params for record in interrupted] == [record.params for record in whole]


def test_another_seed_or_number_draws_other_params():
    drawn = [proposer(PARAMETERS, "random", seed).propose(number, []) for seed in (0, 1) for number in (0, 1)]
    assert len({str(params) for params in drawn}) == 4


@pytest.mark.parametrize("name", ["gp", "tpe"])
def test_a_proposal_is_a_complete_configuration_of_the_space(name):
    here = space(PARAMETERS)
    for record in search(again_and_again(PARAMETERS, name), 25, some_score):
        assert here.problems_with(record.params) == []
        assert here.active(record.params) == record.params
        assert record.params["batch_norm"] is True


def test_tpe_learns_from_trials_that_all_stay_paused():
    learned, chance = (
        mean(
            bowl(record.params)
            for seed in range(5)
            for record in search(again_and_again(PLANE, name, seed=seed), 40, bowl)[20:]
        )
        for name in ("tpe", "random")
    )
    assert learned > 0.6 * chance  # -33 against -70 or so: a third of tpe's are spread over the space


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_gp_learns_from_trials_that_all_stay_paused(direction):
    sign = 1 if direction == "maximize" else -1
    for seed in range(5):
        records = search(again_and_again(PLANE, "gp", seed, direction), 40, lambda params: sign * bowl(params))
        assert max(bowl(record.params) for record in records) > -1
        assert median(bowl(record.params) for record in records[20:]) > -2  # by chance it is -60 or so


def test_gp_keeps_away_from_where_trials_failed():
    begun = search(again_and_again(PLANE, "random"), 30, bowl)
    half = [
        TrialRecord(record.number, "failed", record.params, 0) if record.params["x"] > 0 else record for record in begun
    ]
    for records, share in ((begun, 0.5), (half, 0.2)):
        drawn = [proposer(PLANE, "gp").propose(number, records)["x"] > 0 for number in range(30, 70)]
        assert (sum(drawn) / 40 < share) == (records is half)


def test_gp_keeps_what_is_given_and_learns_the_rest():
    records = search(again_and_again(PARAMETERS, "gp"), 40, some_score)
    for number in range(40, 50):
        params = proposer(PARAMETERS, "gp").propose(number, records, given={"optimizer": "adam", "dropout": 0.5})
        assert (params["optimizer"], params["dropout"]) == ("adam", 0.5)
        assert "momentum" not in params


def test_gp_takes_one_thread_and_leaves_the_program_its_own(monkeypatch):
    def threads():
        return {library["num_threads"] for library in thompson._BLAS.info()}  # NumPy's; SciPy may have another

    def fitting(self, *learned):
        taken.append(threads())
        fit(self, *learned)

    taken, fit = [], GaussianProcess.__init__
    monkeypatch.setattr(GaussianProcess, "__init__", fitting)
    with threadpool_limits(2, user_api="blas"):
        proposer(PLANE, "gp").propose(8, search(again_and_again(PLANE, "random"), 8, bowl))
        assert threads() == {2}
    assert taken == [{1}]


def test_gp_draws_by_chance_where_all_trials_failed():
    failed = [TrialRecord(number, "failed", proposer(PLANE, "gp").propose(number, [])) for number in range(8)]
    drawn = [proposer(PLANE, "gp").propose(number, failed) for number in range(8, 12)]
    assert len({str(params) for params in drawn}) == 4


def test_gp_learns_where_no_two_trials_differ_in_value():
    records = [paused(number, {"x": float(number), "y": 0.0}, 0.5) for number in range(8)]
    assert proposer(PLANE, "gp").propose(8, records).keys() == {"x", "y"}


def test_gp_draws_what_depends_on_the_optimizer_that_is_better():
    records = search(again_and_again(PARAMETERS, "gp"), 60, some_score)[30:]
    assert sum(record.params["optimizer"] == "sgd" for record in records) > 20
    assert mean(record.params["dropout"] for record in records) < 0.2


def test_tpe_imitates_a_fifth_of_the_trials():
    records = search(again_and_again(PLANE, seed=5, ladder=Ladder.flat(1)), 40, bowl)
    sampler = proposer(PLANE)._sampler(0)
    assert [sampler._gamma(trials) for trials in (10, 11, 40, 1000)] == [2, 3, 8, 25]
    assert mean(bowl(record.params) for record in records[20:]) > -20  # with a tenth of them it is -30 or so


def elsewhere(records: list[TrialRecord], seed: int = 0) -> list[int]:
    """The trials that were not drawn by the sampler."""
    return [one.number for one in records[6:] if one.params == spread(space(PLANE), seed, 6, one.number)]


def test_a_third_of_tpes_trials_look_around_for_what_is_better_in_the_end_than_after_an_epoch():
    numbers = elsewhere(search(again_and_again(PLANE), 100, bowl))
    assert 20 <= len(numbers) <= 40
    assert len({number % 3 for number in numbers}) == 3  # in no step with the brackets
    assert elsewhere(search(again_and_again(PLANE, seed=1), 100, bowl), seed=1) != numbers


def test_where_all_trials_train_to_the_end_none_looks_around():
    assert elsewhere(search(again_and_again(PLANE, ladder=Ladder.flat(1)), 60, bowl)) == []


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_a_search_that_learns_begins_in_the_middle_and_then_evenly_spread(name):
    first, *others = search(again_and_again(PLANE, name), 6, bowl)
    assert first.params == {"x": 0.0, "y": 0.0}
    for axis in ("x", "y"):
        assert len({int((record.params[axis] + 10) / 20 * 6) for record in others}) == 5


def test_until_six_trials_have_a_value_all_are_spread_however_many_are_under_way():
    begun = [TrialRecord(number, "running", {"x": number / 10, "y": 0.0}) for number in range(15)]
    evenly = spread(space(PLANE), 0, 6, 15)
    assert proposer(PLANE).propose(15, begun) == evenly
    done = [paused(number, record.params, bowl(record.params)) for number, record in enumerate(begun)]
    assert proposer(PLANE).propose(15, done) != evenly


def test_tpe_follows_the_direction():
    records = [
        record
        for seed in range(5)
        for record in search(again_and_again(PLANE, direction="minimize", seed=seed), 40, lambda p: -bowl(p))[30:]
    ]
    assert mean(bowl(record.params) for record in records) > -45  # by chance it is -70 or so


def test_given_values_are_kept_and_the_rest_is_drawn():
    params = proposer(PARAMETERS).propose(0, [], given={"optimizer": "sgd", "learning_rate": 0.01})
    assert (params["optimizer"], params["learning_rate"]) == ("sgd", 0.01)
    assert 0 <= params["momentum"] <= 0.99


def test_a_given_configuration_is_proposed_even_where_it_was_tried_before():
    one = proposer({"units": {"type": "int", "low": 1, "high": 9}})
    assert one.propose(1, [paused(0, {"units": 4}, 0.5)], given={"units": 4}) == {"units": 4}


@pytest.mark.parametrize("name", ["gp", "tpe", "random", "cmaes"])
def test_a_space_whose_configurations_were_all_tried_has_no_other_trial(name):
    if name == "cmaes":
        pytest.importorskip("cmaes")
    four = {"a": {"type": "int", "low": 1, "high": 2}, "b": {"type": "int", "low": 1, "high": 2}}
    records = search(again_and_again(four, name), 4, lambda params: params["b"])
    assert len({str(record.params) for record in records}) == 4
    assert proposer(four, name).propose(4, records) is None
    assert proposer(four, name).propose(4, records, given={"a": 1})["a"] == 1


def test_a_space_without_anything_that_varies_has_one_trial():
    fixed = {"units": {"type": "fixed", "value": 8}}
    first = proposer(fixed, "gp").propose(0, [])
    assert (first, proposer(fixed, "gp").propose(1, [paused(0, first, 0.5)])) == ({"units": 8}, None)


def test_a_configuration_that_had_no_turn_before_the_time_was_up_may_come_again():
    pruned = TrialRecord(0, "pruned", {"units": 8}, reason="stopped after 0 epochs: the time was up")
    assert proposer({"units": {"type": "fixed", "value": 8}}, "grid").propose(1, [pruned]) == {"units": 8}


def test_tpe_repeats_nothing_where_the_part_of_the_space_that_it_likes_is_finite():
    parameters = {
        "units": {"type": "int", "low": 1, "high": 3},
        "optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
        "momentum": {"type": "float", "low": 0.0, "high": 0.99, "when": {"optimizer": "sgd"}},
    }
    records = search(again_and_again(parameters), 25, lambda params: params["optimizer"] == "adam")
    assert len({str(record.params) for record in records}) == 25


@pytest.mark.parametrize("name", ["gp", "tpe", "random"])
def test_no_configuration_is_proposed_twice_while_others_are_left(name):
    six = {
        "a": {"type": "categorical", "choices": ["p", "q"]},
        "b": {"type": "int", "low": 1, "high": 3},
    }
    records = search(again_and_again(six, name), 6, lambda params: params["b"])
    assert len({str(record.params) for record in records}) == 6


def test_the_trial_itself_is_not_among_those_it_learns_from():
    records = search(again_and_again(PLANE), 15, bowl)
    assert proposer(PLANE).propose(14, records) == records[14].params


def test_failed_trials_are_shown_to_tpe_as_trials_to_keep_away_from():
    failed = TrialRecord(0, "failed", {"x": 1.0, "y": 2.0}, 0, 3, 0.9, rungs={1: 0.9})
    (shown,) = proposer(PLANE)._shown([failed])
    assert (shown.state, shown.values, shown.params) == (TrialState.RUNNING, None, {"x": 1.0, "y": 2.0})


def test_a_trial_that_was_pruned_without_a_value_is_not_shown():
    pruned = TrialRecord(0, "pruned", {"x": 1.0, "y": 2.0}, reason="stopped after 0 epochs: the time was up")
    assert proposer(PLANE)._shown([pruned]) == []


def test_a_running_trial_without_a_rung_is_shown_as_running():
    (shown,) = proposer(PLANE)._shown([TrialRecord(0, "running", {"x": 1.0, "y": 2.0}, 0, 2, 0.4)])
    assert shown.state == TrialState.RUNNING


def test_what_a_running_trial_did_since_its_rung_does_not_matter():
    params = {"x": 1.0, "y": 2.0}
    before = TrialRecord(0, "running", params, 0, 3, 0.5, rungs={1: 0.3, 3: 0.5})
    later = TrialRecord(0, "running", params, 0, 7, 0.8, rungs={1: 0.3, 3: 0.5})
    assert values_at_top([before], (1, 3, 9)) == values_at_top([later], (1, 3, 9)) == {0: 0.5}


def test_a_value_stands_for_the_top_rung_by_the_median_gain_of_those_that_went_on():
    records = [
        TrialRecord(0, "complete", epochs=9, value=0.9, rungs={1: 0.5, 3: 0.7, 9: 0.9}),
        TrialRecord(1, "paused", epochs=3, value=0.6, rungs={1: 0.5, 3: 0.6}),
        TrialRecord(2, "paused", epochs=1, value=0.5, rungs={1: 0.5}),
        TrialRecord(3, "pruned", epochs=3, value=0.4, rungs={3: 0.4}),
        TrialRecord(4, "failed", epochs=3, value=0.4, rungs={3: 0.4}),
        TrialRecord(5, "running"),
        TrialRecord(6, "paused", epochs=1, value=float("nan"), rungs={1: float("nan")}),
    ]
    assert values_at_top(records, (1, 3, 9)) == pytest.approx({0: 0.9, 1: 0.8, 2: 0.85, 3: 0.6})


def test_a_trial_that_stopped_early_gains_nothing_more_after_the_rungs_it_arrived_at():
    full = TrialRecord(0, "complete", epochs=9, value=0.9, rungs={1: 0.5, 3: 0.7, 9: 0.9})
    early = TrialRecord(1, "complete", epochs=2, value=0.8, rungs={1: 0.7, 3: 0.8, 9: 0.8}, reason="early stopping")
    assert values_at_top([full, early], (1, 3, 9)) == {0: 0.9, 1: 0.8}


def test_a_good_paused_trial_counts_for_more_than_a_bad_complete_one():
    records = [
        TrialRecord(0, "complete", epochs=9, value=0.30, rungs={9: 0.30}),
        TrialRecord(1, "paused", epochs=3, value=0.80, rungs={3: 0.80}),
    ]
    values = values_at_top(records, (1, 3, 9))
    assert values[1] > values[0]


def test_geometric_grids_and_orders_are_shown_as_indices_that_keep_their_order():
    params = proposer(PARAMETERS, "random").propose(0, [])
    params |= {"blocks": 1, "filters_0": 64, "size": "large", "dropout": 0.3}
    params = space(PARAMETERS).active(params)
    (shown,) = proposer(PARAMETERS)._shown([paused(0, params, 0.5)])
    assert shown.params["filters_0"] == 2
    assert shown.params["size"] == 2
    assert shown.params["dropout"] == 3
    assert shown.distributions["filters_0"] == IntDistribution(0, 3)
    assert "batch_norm" not in shown.params


def test_the_best_trials_are_always_among_those_that_are_shown():
    records = [paused(number, {"x": 0.0, "y": 0.0}, 1.0 if number == 3 else number / 1e6) for number in range(1500)]
    shown = proposer(PLANE)._shown(records)
    assert len(shown) == 1000
    assert max(shown, key=lambda trial: trial.value).number == 3 + 1
    assert [trial.number for trial in shown] == sorted(trial.number for trial in shown)


def test_the_store_is_told_real_values_and_their_ranges():
    params = {"filters_0": 64, "dropout": 0.3, "size": "large", "learning_rate": 0.01, "batch_norm": True}
    assert distributions(space(PARAMETERS), params) == {
        "filters_0": IntDistribution(16, 128, log=True),
        "dropout": FloatDistribution(0.0, 0.5, step=0.1),
        "size": CategoricalDistribution(("small", "medium", "large")),
        "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    }


def test_a_step_that_optuna_would_round_is_left_out_of_the_range_it_is_told():
    thirds = {"x": {"type": "float", "low": 0.0, "high": 1.0, "step": 0.3333333333}}
    assert distributions(space(thirds), {"x": 1.0}) == {"x": FloatDistribution(0.0, 1.0)}


def test_a_grid_gives_each_configuration_once_and_then_nothing():
    parameters = {
        "blocks": {"type": "int", "low": 1, "high": 2},
        "filters": {"type": "int", "low": 16, "high": 64, "log": True, "step": 2, "per": "blocks"},
        "optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
        "momentum": {"type": "float", "low": 0.0, "high": 0.9, "step": 0.45, "when": {"optimizer": "sgd"}},
    }
    size = (3 + 9) * (1 + 3)
    records = search(again_and_again(parameters, "grid"), size, lambda params: 0.5)
    assert len({str(record.params) for record in records}) == size
    assert proposer(parameters, "grid").propose(size, records) is None


def test_configurations_are_counted_no_further_than_asked():
    wide = {f"p{index}": {"type": "int", "low": 0, "high": 1} for index in range(40)}
    deciding = {f"q{index}": {"type": "fixed", "value": 1, "when": {f"p{index}": 1}} for index in range(40)}
    assert configurations(space(wide | deciding), 60) == 60  # of 2**40, each a branch of its own
    assert configurations(space({"a": {"type": "int", "low": 1, "high": 3}}), 60) == 3
    assert configurations(space({"a": {"type": "float", "low": 0.0, "high": 1.0}}), 60) == 60


def test_a_grid_leaves_out_what_was_enqueued():
    three = {"a": {"type": "int", "low": 1, "high": 3}}
    grid = proposer(three, "grid")
    first = grid.propose(0, [], given={"a": 2})
    records = search(again_and_again(three, "grid"), 3, lambda params: 0.5, [paused(0, first, 0.5)])
    assert sorted(record.params["a"] for record in records) == [1, 2, 3]


def test_a_seed_shuffles_the_grid():
    line = {"a": {"type": "int", "low": 1, "high": 50}}
    walks = [
        [record.params["a"] for record in search(again_and_again(line, "grid", seed), 50, lambda params: 0.5)]
        for seed in (0, 1)
    ]
    assert walks[0] != walks[1] != sorted(walks[1])


def test_a_grid_may_be_larger_than_memory():
    wide = {f"p{index}": {"type": "int", "low": 0, "high": 9} for index in range(30)}
    records = search(again_and_again(wide, "grid"), 5, lambda params: 0.5)
    assert len({str(record.params) for record in records}) == 5


def test_a_grid_walks_alternatives_with_parameters_of_their_own_one_after_the_other():
    networks = ["a", "b", "c", "d"]
    own = {
        f"{one}{index}": {"type": "int", "low": 1, "high": 5, "when": {"network": one}}
        for one in networks
        for index in range(3)
    }
    walk = Grid(space({"network": {"type": "categorical", "choices": networks}, **own}), 0)._walk()
    assert len({str(params) for params in walk}) == 4 * 5**3  # of a product of 4 * 5**12


def test_a_grid_follows_chains_of_conditions_and_repeats():
    parameters = {
        "blocks": {"type": "int", "low": 1, "high": 2},
        "kind": {"type": "categorical", "choices": ["dense", "conv"], "per": "blocks"},
        "kernel": {"type": "ordinal", "choices": [3, 5, 7], "per": "blocks", "when": {"kind": "conv"}},
        "pool": {"type": "categorical", "choices": [True, False], "when": {"blocks": 2}},
    }
    walked = [str(params) for params in Grid(space(parameters), 0)._walk()]
    assert len(walked) == len(set(walked)) == (1 + 3) + (1 + 3) ** 2 * 2


def test_a_grid_over_a_continuous_parameter_is_refused_by_name():
    with pytest.raises(StudyError, match='needs a step in every float; there is none in "x"') as refused:
        proposer(PLANE, "grid")
    assert refused.value.exit_code == 2


@given(size=st.integers(1, 400), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_shuffling_is_a_permutation(size, seed):
    assert sorted(shuffled(place, size, seed) for place in range(size)) == list(range(size))


def test_cmaes_without_its_package_says_what_to_install():
    if find_spec("cmaes"):
        pytest.skip("cmaes is installed")
    with pytest.raises(StudyError, match=r'"cmaes" needs .*: pip install cmaes') as refused:
        proposer(PLANE, "cmaes")
    assert refused.value.exit_code == 3


def test_cmaes_learns_and_goes_on_after_an_interruption():
    pytest.importorskip("cmaes")
    records = search(again_and_again(PLANE, "cmaes"), 40, bowl)
    assert mean(bowl(record.params) for record in records[30:]) > -30
    assert search(anew_each_time(PLANE, "cmaes"), 40, bowl, records[:37]) == records


def test_cmaes_takes_a_failed_trial_for_the_worst_of_its_generation():
    pytest.importorskip("cmaes")
    records = search(again_and_again(PLANE, "cmaes"), 20, bowl)
    records[7] = TrialRecord(7, "failed", records[7].params)
    assert proposer(PLANE, "cmaes").propose(20, records) is not None


def test_cmaes_goes_on_learning_after_a_trial_that_was_pruned_without_a_value():
    pytest.importorskip("cmaes")
    records = search(again_and_again(PLANE, "cmaes"), 8, bowl)
    records[3] = TrialRecord(3, "pruned", records[3].params, reason="stopped after 0 epochs: the time was up")
    records = search(again_and_again(PLANE, "cmaes"), 40, bowl, records)
    assert mean(bowl(record.params) for record in records[30:]) > -30


def test_cmaes_needs_two_numbers():
    pytest.importorskip("cmaes")
    with pytest.raises(StudyError, match="two or more number parameters"):
        proposer({"x": PLANE["x"]}, "cmaes")


def test_proposing_says_nothing_on_the_terminal(capfd):
    search(again_and_again(PARAMETERS), 12, some_score)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_params_do_not_depend_on_the_hashing_of_strings():
    program = (
        "from tests.test_studies_sampler import *\n"
        "print([record.params for record in search(again_and_again(PARAMETERS), 14, some_score)])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True,
            check=True, text=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(printed) == 1
