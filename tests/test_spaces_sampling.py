"""How params are drawn, and what a sampler sees of a value."""

import json
import random

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spaces import (
    Categorical,
    Fixed,
    Float,
    Int,
    Ordinal,
    Space,
    from_index,
    is_indexed,
    load_space,
    suggest,
    to_index,
)


class Recorder:
    """A trial that draws at random and remembers what it was asked."""

    def __init__(self, seed=0):
        self.random = random.Random(seed)
        self.asked = {}

    def suggest_int(self, name, low, high, *, step=1, log=False):
        self.asked[name] = (low, high, step, log)
        return self.random.randrange(low, high + 1, step)

    def suggest_float(self, name, low, high, *, step=None, log=False):
        self.asked[name] = (low, high, step, log)
        return self.random.choice([low, high, self.random.uniform(low, high)])

    def suggest_categorical(self, name, choices):
        self.asked[name] = tuple(choices)
        return self.random.choice(choices)


def space(**parameters):
    return Space(model="mlp", parameters=parameters)


KINDS = [
    Int(low=1, high=3),
    Int(low=1, high=1000, log=True),
    Int(low=0, high=12, step=4),
    Int(low=16, high=128, step=2, log=True),
    Float(low=-1.0, high=1.0),
    Float(low=1e-7, high=1e-3, log=True),
    Float(low=0.0, high=0.5, step=0.1),
    Float(low=1e-4, high=1e-1, step=10, log=True),
    Categorical(choices=["adam", "sgd", "rmsprop"]),
    Categorical(choices=[True, False]),
    Ordinal(choices=[24, 32, 100]),
    Fixed(value="relu"),
]


def test_a_sampler_is_asked_for_the_index_of_what_it_does_not_know():
    trial = Recorder()
    suggest(space(**{f"p{place}": kind for place, kind in enumerate(KINDS)}), trial)
    assert trial.asked == {
        "p0": (1, 3, 1, False),
        "p1": (1, 1000, 1, True),
        "p2": (0, 12, 4, False),
        "p3": (0, 3, 1, False),
        "p4": (-1.0, 1.0, None, False),
        "p5": (1e-7, 1e-3, None, True),
        "p6": (0, 5, 1, False),
        "p7": (0, 3, 1, False),
        "p8": ("adam", "sgd", "rmsprop"),
        "p9": (True, False),
        "p10": (0, 2, 1, False),
    }


def test_every_value_of_a_decimal_grid_is_exact():
    spaced = space(dropout=Float(low=0.0, high=0.5, step=0.1))
    drawn = {suggest(spaced, Recorder(seed))["dropout"] for seed in range(100)}
    assert drawn == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5}


def test_fixed_values_are_in_the_params_but_are_not_drawn():
    trial = Recorder()
    assert suggest(space(batch_norm=Fixed(value=True)), trial) == {"batch_norm": True}
    assert trial.asked == {}


def test_momentum_is_drawn_for_sgd_alone():
    mlp = load_space("mlp")
    for seed in range(50):
        params = suggest(mlp, Recorder(seed))
        assert ("momentum" in params) == (params["optimizer"] == "sgd")


def test_there_are_as_many_filters_as_blocks():
    cnn = load_space("cnn")
    for seed in range(20):
        params = suggest(cnn, Recorder(seed))
        assert [name for name in params if name.startswith("filters")] == [
            f"filters_{index}" for index in range(params["blocks"])
        ]


def test_given_values_are_taken_and_the_rest_is_drawn_around_them():
    trial = Recorder()
    params = suggest(load_space("cnn"), trial, given={"blocks": 3, "filters_2": 64, "dropout": 0, "momentum": 0.9})
    assert (params["blocks"], params["filters_2"], params["dropout"]) == (3, 64, 0.0)
    assert type(params["dropout"]) is float
    assert not {"blocks", "filters_2", "dropout"} & set(trial.asked)
    assert {"filters_0", "filters_1", "units"} <= set(trial.asked)


def test_given_values_that_do_not_exist_beside_the_others_are_left_out():
    params = suggest(load_space("mlp"), Recorder(), given={"optimizer": "adam", "momentum": 0.9})
    assert "momentum" not in params


def test_an_optuna_trial_draws_params(tmp_path):
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=2))
    cnn = load_space("cnn")
    for _ in range(8):
        trial = study.ask()
        params = suggest(cnn, trial)
        assert cnn.problems_with(params) == []
        study.tell(trial, params["learning_rate"])
    assert study.trials[0].params["filters_0"] in range(4)


@pytest.mark.parametrize("parameter", KINDS, ids=repr)
def test_an_index_and_its_value_translate_both_ways(parameter):
    for value in parameter.grid() or (parameter.low, parameter.middle(), parameter.high):
        back = from_index(parameter, to_index(parameter, value))
        assert back == value
        assert type(back) is type(value)


def test_an_index_counts_the_values_in_their_order():
    units = Int(low=16, high=128, step=2, log=True)
    assert [to_index(units, value) for value in (16, 32, 64, 128)] == [0, 1, 2, 3]
    assert to_index(Ordinal(choices=["small", "large"]), "large") == 1
    assert to_index(Float(low=0.0, high=0.5, step=0.1), 0.1 + 0.2) == 3


def test_a_foreign_value_has_no_index():
    with pytest.raises(ValueError, match=r"must be a whole number from 16 to 64 in factors of 2 \(came 33\)"):
        to_index(Int(low=16, high=64, step=2, log=True), 33)


# Any space whatever

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

numbers = st.integers(-1000, 1000).map(lambda number: number / 10)


@st.composite
def ranges(draw):
    """An Int or a Float, by chance with log, with a step, with both or with neither."""
    log, whole = draw(st.booleans()), draw(st.booleans())
    low = draw(st.integers(1, 50) if log else st.integers(-50, 50))
    step, count = draw(st.integers(2, 4)), draw(st.integers(0, 5))
    high = low * step**count if log else low + step * count
    keys = {"low": low, "high": high, "log": log, "step": draw(st.sampled_from([None, step]))}
    if whole:
        return Int(**keys)
    scale = draw(st.sampled_from([1.0, 0.1, 1e-3]))
    keys |= {"low": float(f"{low * scale:.12g}"), "high": float(f"{high * scale:.12g}")}
    if keys["step"] and not log:
        keys["step"] = float(f"{step * scale:.12g}")
    return Float(**keys)


choices = st.one_of(
    st.lists(st.text(max_size=3), min_size=1, max_size=4, unique=True),
    st.lists(st.one_of(st.integers(-9, 9), numbers), min_size=1, max_size=4, unique=True),
    st.just([True, False]),
)
kinds = st.one_of(
    ranges(),
    choices.map(lambda values: Categorical(choices=values)),
    choices.map(lambda values: Ordinal(choices=values)),
    choices.map(lambda values: Fixed(value=values[0])),
)


@st.composite
def any_space(draw):
    """Up to six parameters, each by chance repeated per the first and hanging on one before it."""
    parameters = {"n": Int(low=draw(st.integers(0, 2)), high=draw(st.integers(2, 3)))}
    for place in range(draw(st.integers(1, 5))):
        parameter = draw(kinds)
        keys = {}
        if not isinstance(parameter, Fixed) and draw(st.booleans()):
            keys["per"] = "n"
        parent = draw(st.sampled_from(sorted(parameters)))
        values = parameters[parent].grid()
        alike = getattr(parameters[parent], "per", None) in (None, keys.get("per"))
        if values and alike and not parameters[parent].when and draw(st.booleans()):
            keys["when"] = {parent: draw(st.sampled_from(values))}
        parameters[f"p{place}"] = type(parameter)(**{**parameter.model_dump(), **keys})
    return space(**parameters)


@patient
@given(any_space(), st.integers(0, 10**6))
def test_whatever_is_drawn_is_accepted_and_survives_the_way_through_a_file(spaced, seed):
    params = suggest(spaced, Recorder(seed))
    assert spaced.problems_with(params) == []
    assert spaced.active(params) == params
    assert spaced.active(json.loads(json.dumps(params))) == params
    assert suggest(spaced, Recorder(seed + 1), given=params) == params


@patient
@given(any_space(), st.integers(0, 10**6))
def test_whatever_is_drawn_translates_to_indices_and_back(spaced, seed):
    for full, value in suggest(spaced, Recorder(seed)).items():
        parameter = spaced.parameter(full)
        index = to_index(parameter, value)
        assert from_index(parameter, index) == value
        assert is_indexed(parameter) <= (type(index) is int)


@patient
@given(any_space())
def test_the_default_of_any_space_is_a_configuration_of_it(spaced):
    assert spaced.problems_with(spaced.default()) == []
    assert suggest(spaced, Recorder(), given=spaced.default()) == spaced.default()
