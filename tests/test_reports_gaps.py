import math

import numpy as np
import pytest

from reports.gaps import gap_from_rates


def test_a_gap_is_validation_minus_test_with_the_agresti_caffo_error_worked_by_hand():
    gap = gap_from_rates(0.8, 10, 0.5, 6)
    assert gap.value == pytest.approx(0.3)
    # p1 = 9/12, p2 = 4/8: sqrt(0.75 * 0.25 / 12 + 0.5 * 0.5 / 8) = sqrt(0.015625 + 0.03125)
    assert gap.standard_error == pytest.approx(math.sqrt(0.046875))


def test_a_gap_has_no_more_digits_than_its_accuracies():
    assert gap_from_rates(0.975, 600, 0.974, 1000).value == 0.001
    assert gap_from_rates(0.9583333, 24, 0.96666664, 30).value == -0.00833334


def test_a_model_that_is_always_right_still_has_an_error():
    gap = gap_from_rates(1.0, 50, 1.0, 50)
    assert gap.value == 0
    assert gap.standard_error > 0.02


@pytest.mark.parametrize(
    ("rates", "sizes"), [((0.9, 0.9), (360, 360)), ((0.95, 0.9), (50, 200)), ((0.99, 0.98), (40, 40))]
)
def test_the_gap_plus_minus_two_errors_covers_the_truth_at_least_about_95_times_in_100(rates, sizes):
    rng = np.random.default_rng(0)
    hits = [rng.binomial(size, rate, 4000) / size for rate, size in zip(rates, sizes, strict=True)]
    gaps = [gap_from_rates(v, sizes[0], t, sizes[1]) for v, t in zip(*hits, strict=True)]
    truth = rates[0] - rates[1]
    covered = np.mean([abs(gap.value - truth) <= 1.96 * gap.standard_error for gap in gaps])
    assert covered >= 0.94  # near 0 and 1 the error is on the safe side


def test_an_empty_split_is_refused():
    with pytest.raises(ValueError, match="test split must hold at least one example"):
        gap_from_rates(1.0, 3, 0.0, 0)


@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan])
def test_a_rate_outside_0_to_1_is_refused(rate):
    with pytest.raises(ValueError, match="must be from 0 to 1"):
        gap_from_rates(rate, 10, 0.5, 10)
