import random
from itertools import pairwise
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studies.ladder import Ladder
from studies.promotion import Step
from studies.rung import Rung
from studies.stopping import Stopping

LADDERS = st.builds(
    lambda low, extra, factor: Ladder(low, low + extra, factor),
    st.integers(1, 20),
    st.integers(0, 400),
    st.integers(2, 5),
)


def test_each_bracket_starts_one_rung_higher():
    ladder = Ladder(1, 27, 3)
    assert [ladder.rungs(bracket) for bracket in range(ladder.brackets)] == [
        (1, 3, 9, 27),
        (3, 9, 27),
        (9, 27),
        (27,),
    ]


def test_a_top_that_is_no_power_is_a_rung_of_its_own():
    ladder = Ladder(1, 50, 3)
    assert ladder.rungs(0) == (1, 3, 9, 27, 50)
    assert ladder.rungs(3) == (27, 50)
    assert Ladder(4, 10, 3).rungs(0) == (4, 10)


@pytest.mark.parametrize(
    ("ladder", "quota"),
    [
        (Ladder(1, 9, 3), (9, 5, 3)),
        (Ladder(1, 27, 3), (27, 12, 6, 4)),
        (Ladder(1, 50, 3), (27, 12, 6, 4)),
        (Ladder(1, 81, 3), (81, 34, 15, 8, 5)),
        (Ladder(1, 1, 3), (1,)),
    ],
)
def test_the_quota_is_that_of_the_paper(ladder, quota):
    assert ladder.quota == quota


@pytest.mark.parametrize(("top", "factor", "brackets"), [(243, 3, 6), (1000, 10, 4), (2**20, 2, 21), (10**12, 10, 13)])
def test_exact_powers_lose_no_bracket(top, factor, brackets):
    assert Ladder(1, top, factor).brackets == brackets


def test_quotas_are_filled_in_order_and_then_again():
    ladder = Ladder(1, 9, 3)
    assert [ladder.bracket_of(number) for number in range(20)] == [0] * 9 + [1] * 5 + [2] * 3 + [0] * 3


def test_a_flat_ladder_trains_every_trial_to_the_end():
    ladder = Ladder.flat(12)
    assert (ladder.brackets, ladder.rungs(0), ladder.quota) == (1, (12,), (1,))
    forecast = ladder.forecast(5)
    assert forecast.expected_epochs == forecast.worst_epochs == 60


@pytest.mark.parametrize(
    ("values", "law"),
    [
        ((0, 9, 3), "min_resource must be at least 1 (min_resource = 0)"),
        ((9, 3, 3), "max_resource must be at least min_resource (max_resource = 3, min_resource = 9)"),
        ((1, 9, 1), "reduction_factor must be at least 2 (reduction_factor = 1)"),
    ],
)
def test_an_impossible_ladder_is_refused_with_the_law_and_the_values(values, law):
    with pytest.raises(ValueError) as error:
        Ladder(*values)
    assert str(error.value) == law


@settings(deadline=None)
@given(LADDERS)
def test_rungs_rise_by_the_factor_and_end_at_the_top(ladder):
    for bracket in range(ladder.brackets):
        rungs = ladder.rungs(bracket)
        assert rungs[0] == ladder.min_resource * ladder.reduction_factor**bracket
        assert rungs[-1] == ladder.max_resource
        assert all(low < high <= low * ladder.reduction_factor for low, high in pairwise(rungs))


@settings(deadline=None)
@given(LADDERS, st.integers(0, 60))
def test_the_shares_of_a_forecast_are_those_that_trials_get(ladder, trials):
    numbers = [ladder.bracket_of(number) for number in range(trials)]
    shares = [bracket.trials for bracket in ladder.forecast(trials).brackets]
    assert shares == [numbers.count(bracket) for bracket in range(ladder.brackets)]


@given(LADDERS, st.integers(0, 500))
def test_optunas_brackets_have_their_shares_of_the_trials_from_the_beginning(ladder, trials):
    shares = [bracket.trials for bracket in ladder.forecast(trials, stopping=True).brackets]
    assert sum(shares) == trials
    for share, quota in zip(shares, ladder.quota, strict=True):
        assert abs(share - trials * quota / sum(ladder.quota)) < 1


def test_the_forecast_of_a_short_search_that_stops_is_about_what_optunas_pruner_spends():
    seen = []
    for turn in range(20):
        rule, dice, spent = Stopping(f"study{turn}", Ladder(1, 27, 3), "maximize"), random.Random(turn), 0
        for number in range(10):
            step = Step(number, 0, rule.add(number))
            while step:
                spent += step.to_epoch - step.from_epoch
                rule.arrive(number, step.to_epoch, dice.random())
                step = rule.take()
        seen.append(spent)
    assert Ladder(1, 27, 3).forecast(10, stopping=True).expected_epochs == pytest.approx(mean(seen), rel=0.25)


@settings(deadline=None)
@given(LADDERS, st.integers(0, 60), st.booleans())
def test_a_forecast_never_expects_more_than_the_worst_case(ladder, trials, stopping):
    forecast = ladder.forecast(trials, stopping=stopping)
    assert forecast.trials == trials
    assert forecast.expected_epochs <= forecast.worst_epochs <= trials * ladder.max_resource
    for bracket in forecast.brackets:
        assert len(bracket.expected) == len(bracket.worst) == len(bracket.rungs)
        assert bracket.worst[-1] >= min(1, bracket.trials)


def test_the_worst_case_of_the_example_study_is_counted_by_hand():
    first, second, third, last = Ladder(1, 27, 3).forecast(60).brackets
    assert [b.trials for b in (first, second, third, last)] == [38, 12, 6, 4]
    assert first.worst == (38, 37, 36, 34)
    assert first.worst_epochs == 38 * 1 + 37 * 2 + 36 * 6 + 34 * 18
    assert third.worst == (6, 4)
    assert last.expected == (4.0,)


def test_while_the_first_bracket_fills_nobody_goes_on_from_the_third_rung_before_five_have_arrived():
    filling, full = (Ladder(1, 27, 3).forecast(trials).brackets[0] for trials in (27, 28))
    assert filling.worst == (27, 26, 25, 21)
    assert full.worst == (27, 26, 25, 23)
    assert filling.expected[3] < full.expected[3]


def test_a_few_trials_in_a_bracket_still_complete_one():
    assert Ladder(1, 27, 3).forecast(2).brackets[0].worst == (2, 1, 1, 1)
    assert Ladder(1, 27, 3).forecast(2).brackets[0].expected == (2, 1, 1, 1)


def test_what_is_expected_is_a_third_and_a_little_more():
    at_start, at_three, *_ = Ladder(1, 27, 3).forecast(27).brackets[0].expected
    assert at_start == 27
    assert 9 < at_three < 12


def test_the_first_trial_of_a_study_is_counted_to_the_third_rung():
    assert Ladder(1, 27, 3).forecast(6).brackets[0].worst == (6, 5, 4, 1)
    assert Ladder(1, 27, 3).forecast(27 + 6).brackets[1].worst == (6, 4, 2)
    expected = Ladder(1, 27, 3).forecast(4).brackets[0].expected
    assert expected[1] > 1.5  # 4 / 3, and the first where it was not among the best
    assert expected[2] > 1


def test_a_stopping_ladder_lets_the_first_arrivals_pass():
    bracket = Ladder(1, 3, 3).forecast(5, stopping=True).brackets[0]
    assert bracket.expected == pytest.approx((3, 1 + 1 / 2 + 1 / 3))
    assert bracket.worst == (3, 3)


def test_a_forecast_of_very_many_trials_keeps_the_shares():
    few, many = (Ladder(1, 3, 3).forecast(trials).brackets[0] for trials in (50_000, 500_000))
    assert many.trials / few.trials == pytest.approx(10, rel=1e-3)
    assert many.expected[1] / few.expected[1] == pytest.approx(10, rel=1e-3)


def test_a_forecast_is_the_same_each_time():
    assert Ladder(1, 81, 3).forecast(300) == Ladder(1, 81, 3).forecast(300)


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]), max_size=40), st.integers(2, 4), st.booleans())
def test_no_order_of_values_sends_more_up_than_the_worst_case(values, factor, third):
    least = Ladder(1, factor**3, factor).least(0, 2 if third else 1, trials=1)
    rung = Rung(factor, least)
    promotions = 0
    for number, value in enumerate(values):
        rung.arrive((value, number))
        while (best := rung.promotable()) is not None:
            rung.leave(best[1])
            promotions += 1
    assert promotions <= max(0, len(values) - least + 1)


def test_the_worst_case_happens_when_each_trial_beats_all_before():
    rung = Rung(3)
    promoted = []
    for number in range(10):
        rung.arrive((-float(number), number))
        while (best := rung.promotable()) is not None:
            rung.leave(best[1])
            promoted.append(best[1])
    assert promoted == list(range(2, 10))


def test_ten_thousand_arrivals_take_well_under_a_second():
    rung, rng = Rung(3), random.Random(0)
    for number in range(10_000):
        rung.arrive((rng.random(), number))
        if (best := rung.promotable()) is not None:
            rung.leave(best[1])
    assert rung.best() is not None
