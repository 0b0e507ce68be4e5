"""What a parameter refuses, which values it has, and what it makes of one that a person wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from spaces import Categorical, Fixed, Float, Int, Ordinal


def laws_of(kind, **keys):
    """The messages of a parameter that cannot be built."""
    with pytest.raises(ValidationError) as error:
        kind(**keys)
    return " | ".join(problem["msg"] for problem in error.value.errors())


@pytest.mark.parametrize(
    ("kind", "keys", "law"),
    [
        (Float, {"low": 0.0, "high": 1.0, "log": True}, "low must be above 0 when log = true (low = 0.0)"),
        (Float, {"low": -1.0, "high": 1.0, "log": True}, "low must be above 0"),
        (Int, {"low": 0, "high": 8, "log": True}, "low must be above 0"),
        (Int, {"low": 5, "high": 3}, "low must be at most high (low = 5, high = 3)"),
        (Int, {"low": 1, "high": 3, "step": 0}, "step must be above 0 (step = 0)"),
        (Float, {"low": 0.0, "high": 1.0, "step": -0.1}, "step must be above 0 (step = -0.1)"),
        (Int, {"low": 1, "high": 8, "step": 1, "log": True}, "step must be above 1 when log = true"),
        (Float, {"low": 1.0, "high": 8.0, "step": 0.5, "log": True}, "step must be above 1 when log = true"),
        (Int, {"low": 0, "high": 10, "step": 3}, "high must be low plus a multiple of step, such as 9 or 12"),
        (Int, {"low": 0, "high": 3, "step": 5}, "such as 0 or 5"),
        (Int, {"low": 16, "high": 100, "step": 2, "log": True}, "a power of step, such as 64 or 128"),
        (Float, {"low": 0.0, "high": 0.5, "step": 0.2}, "such as 0.4 or 0.6"),
        (Int, {"low": 0, "high": 10**9, "step": 7 * 10**8}, "such as 700000000 or 1400000000"),
        (Int, {"low": 0, "high": 10_000, "step": 1}, "step must leave 10000 values or fewer, not 10001"),
        (Float, {"low": 1.0, "high": 1e300, "step": 1.0000001, "log": True}, "10000 values or fewer"),
        (Float, {"low": 0.0, "high": 1e308, "step": 0.05}, "10000 values or fewer, not 2" + "0" * 76 + "... (step"),
        (Categorical, {"choices": ["a", "b", "a"]}, 'choices must differ from each other (choices = ["a", '),
        (Categorical, {"choices": [1, 1.0]}, "choices must differ from each other (choices = [1, 1.0])"),
        (
            Categorical,
            {"choices": [1, True]},
            "choices must all be text, all be numbers or all be true or false",
        ),
        (Ordinal, {"choices": ["1", 2]}, "choices must all be text"),
    ],
)
def test_impossible_bounds_and_choices_are_refused_with_the_law_and_the_values(kind, keys, law):
    assert law in laws_of(kind, **keys)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        (Int, {"low": True, "high": 3}),
        (Int, {"low": 1, "high": 3.0}),
        (Int, {"low": "1", "high": 3}),
        (Int, {"low": 0, "high": 2**54}),
        (Float, {"low": False, "high": 1.0}),
        (Float, {"low": 0.0, "high": "1"}),
        (Float, {"low": float("nan"), "high": 1.0}),
        (Float, {"low": 0.0, "high": float("inf")}),
        (Float, {"low": 0.0, "high": 1.0, "log": 1}),
        (Float, {"low": 0.0, "high": 1.0, "hihg": 2.0}),
        (Categorical, {"choices": []}),
        (Categorical, {"choices": [float("nan"), 1.0]}),
        (Ordinal, {"choices": [[1], [2]]}),
        (Fixed, {"value": float("inf")}),
        (Fixed, {"value": None}),
        (Fixed, {"value": 1, "per": "layers"}),
        (Fixed, {"value": 1, "when": {"optimizer": []}}),
    ],
)
def test_a_value_of_another_kind_is_not_taken_for_the_right_one(kind, keys):
    assert laws_of(kind, **keys)


def test_all_broken_laws_of_a_range_come_at_once():
    laws = laws_of(Float, low=0.0, high=-1.0, log=True, step=0.5)
    assert "at most high" in laws
    assert "low must be above 0" in laws
    assert "step must be above 1" in laws


def test_a_parameter_cannot_be_changed():
    with pytest.raises(ValidationError):
        Int(low=1, high=3).low = 2


def test_a_grid_of_decimals_is_exact():
    assert Float(low=0.0, high=0.5, step=0.1).grid() == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    assert Float(low=-0.3, high=0.3, step=0.1).grid() == (-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3)
    assert Float(low=1e-5, high=0.1, step=10, log=True).grid() == (1e-5, 1e-4, 1e-3, 0.01, 0.1)


def test_a_step_that_was_computed_still_ends_at_high():
    assert Float(low=0.0, high=1.0, step=1 / 3).grid()[-1] == 1.0
    assert len(Float(low=1e-4, high=1e-1, step=10**0.5, log=True).grid()) == 7


def test_a_grid_of_whole_numbers_has_whole_numbers_and_both_ends():
    assert Int(low=16, high=128, step=2, log=True).grid() == (16, 32, 64, 128)
    assert Int(low=1, high=10, step=3).grid() == (1, 4, 7, 10)
    assert Int(low=7, high=7, step=2, log=True).grid() == (7,)
    assert all(type(value) is int for value in Int(low=1, high=1000, step=10, log=True).grid())


def test_equal_bounds_of_different_kinds_make_different_grids():
    assert [type(value) for value in Int(low=1, high=3, step=2).grid()] == [int, int]
    assert [type(value) for value in Float(low=1.0, high=3.0, step=2.0).grid()] == [float, float]


def test_a_range_without_a_step_has_no_grid():
    assert Int(low=1, high=3).grid() is None
    assert Float(low=1e-7, high=1e-3, log=True).grid() is None


def test_choices_and_fixed_values_are_grids():
    assert Categorical(choices=["adam", "sgd"]).grid() == ("adam", "sgd")
    assert Ordinal(choices=[24, 32, 100]).grid() == (24, 32, 100)
    assert Fixed(value=True).grid() == (True,)


@pytest.mark.parametrize(
    ("parameter", "middle"),
    [
        (Int(low=1, high=3), 2),
        (Int(low=1, high=2), 1),
        (Int(low=-4, high=-1), -3),
        (Int(low=3, high=3, log=True), 3),
        (Int(low=1, high=3, log=True), 2),
        (Int(low=1, high=100, log=True), 10),
        (Int(low=32, high=256, step=2, log=True), 64),
        (Float(low=0.0, high=0.5), 0.25),
        (Float(low=-1e308, high=1e308), 0.0),
        (Float(low=1e-7, high=1e-3, log=True), 1e-5),
        (Float(low=0.1, high=0.1, log=True), 0.1),
        (Float(low=0.0, high=0.5, step=0.1), 0.2),
        (Categorical(choices=["adam", "sgd", "rmsprop"]), "adam"),
        (Ordinal(choices=["small", "medium", "large"]), "medium"),
        (Fixed(value=False), False),
    ],
)
def test_the_middle_is_halfway_on_the_parameters_own_scale(parameter, middle):
    assert parameter.middle() == middle
    assert type(parameter.middle()) is type(middle)


@pytest.mark.parametrize(
    ("parameter", "value", "law"),
    [
        (Int(low=1, high=3), 4, "must be a whole number from 1 to 3 (came 4)"),
        (Int(low=1, high=3), 2.0, "must be a whole number from 1 to 3 (came 2.0)"),
        (Int(low=0, high=1), True, "must be a whole number from 0 to 1 (came true)"),
        (Int(low=16, high=64, step=2, log=True), 33, "from 16 to 64 in factors of 2 (came 33)"),
        (Float(low=0.0, high=0.5), "0.1", 'must be a number from 0.0 to 0.5 (came "0.1")'),
        (Float(low=0.0, high=0.5), float("nan"), "must be a number from 0.0 to 0.5 (came nan)"),
        (Float(low=0.0, high=0.5, step=0.1), 0.15, "from 0.0 to 0.5 in steps of 0.1 (came 0.15)"),
        (Float(low=0.0, high=0.5, step=0.1), float("nan"), "(came nan)"),
        (Float(low=0.0, high=0.5), [0.1], "(came [0.1])"),
        (
            Categorical(choices=["adam", "sgd"]),
            "Adma",
            'must be one of "adam" or "sgd" (came "Adma"); did you mean "adam"?',
        ),
        (Categorical(choices=[0, 1]), True, "must be one of 0 or 1 (came true)"),
        (Categorical(choices=[True, False]), 1, "must be one of true or false (came 1)"),
        (Fixed(value=1), True, "must be 1, which is fixed (came true)"),
    ],
)
def test_a_foreign_value_is_told_with_the_law_it_breaks(parameter, value, law):
    assert law in parameter.problem(value)
    assert parameter.settle(value) is value


@pytest.mark.parametrize(
    ("parameter", "written", "own"),
    [
        (Float(low=0.0, high=2.0), 1, 1.0),
        (Float(low=0.0, high=0.5, step=0.1), 0.1 + 0.2, 0.3),
        (Float(low=1e-4, high=1e-1, step=10**0.5, log=True), 0.000316227766, 0.00031622776601683794),
        (Categorical(choices=[0.5, 1.0]), 1, 1.0),
        (Ordinal(choices=[1, 2]), 2.0, 2),
        (Fixed(value=1.0), 1, 1.0),
    ],
)
def test_a_number_written_another_way_settles_on_the_parameters_own_value(parameter, written, own):
    assert parameter.problem(written) is None
    assert parameter.settle(written) == own
    assert type(parameter.settle(written)) is type(own)


@given(
    low=st.integers(-1000, 1000),
    step=st.integers(1, 1000),
    count=st.integers(0, 50),
    places=st.integers(0, 6),
)
def test_every_decimal_grid_is_what_a_person_would_write(low, step, count, places):
    def decimal(number):
        return float(f"{number}e-{places}")

    values = Float(low=decimal(low), high=decimal(low + count * step), step=decimal(step)).grid()
    assert values == tuple(decimal(low + index * step) for index in range(count + 1))


@given(st.integers(1, 1000), st.integers(2, 10), st.integers(0, 8))
def test_every_geometric_grid_is_made_of_powers(low, factor, count):
    values = Int(low=low, high=low * factor**count, step=factor, log=True).grid()
    assert values == tuple(low * factor**index for index in range(count + 1))
