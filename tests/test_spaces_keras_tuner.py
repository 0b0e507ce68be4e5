"""Keras Tuner's hyperparameters over an Optuna trial, as parameters of a space, and what a hypermodel asks for."""

import keras_tuner
import optuna
import pytest
from keras_tuner.engine import hyperparameters as kt

from spaces import Categorical, Fixed, Float, InputError, Int, Ordinal, Space, load_space
from spaces.keras_tuner import OptunaHyperParameters, discover, to_hyperparameters, to_parameter, to_values
from spaces.toml import space_to_toml

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def study():
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))


def fixed(**params):
    """Hyperparameters of a trial that draws these values."""
    return OptunaHyperParameters(optuna.trial.FixedTrial(params))


# Keras Tuner's own tests of HyperParameters, over a trial that draws what those take as defaults


@pytest.mark.parametrize("hp", [OptunaHyperParameters(), fixed(choice=2)], ids=["defaults", "trial"])
def test_a_value_is_kept_may_be_changed_and_survives_a_copy(hp):
    assert (hp.values, hp.space) == ({}, [])
    assert hp.Choice("choice", [1, 2, 3], default=2) == 2
    assert hp.values == {"choice": 2}
    assert [one.name for one in hp.space] == ["choice"]
    hp.values["choice"] = 3
    assert hp.get("choice") == 3
    again = hp.copy()
    assert type(again) is keras_tuner.HyperParameters
    assert again.values == {"choice": 3}
    assert [one.name for one in again.space] == ["choice"]
    with pytest.raises(KeyError, match="does not exist"):
        again.get("wrong")


def test_names_lie_in_their_scopes():
    hp = fixed(**{"choice": 2, "one/choice": 5, "one/two/choice": 8, "one/range": 0})
    hp.Choice("choice", [1, 2, 3])
    with hp.name_scope("one"):
        hp.Choice("choice", [4, 5, 6])
        with hp.name_scope("two"):
            hp.Choice("choice", [7, 8, 9])
        hp.Int("range", min_value=0, max_value=10, step=1)
    assert hp.values == {"choice": 2, "one/choice": 5, "one/two/choice": 8, "one/range": 0}


def test_a_parent_named_in_the_call_makes_a_condition():
    hp = fixed(a=2, b=4)
    hp.Choice("a", [1, 2, 3])
    assert hp.Int("b", 0, 10, parent_name="a", parent_values=1) is None
    assert hp.Int("b", 0, 100, parent_name="a", parent_values=2) == 4
    assert hp.values == {"a": 2, "b": 4}


def test_only_what_is_active_has_a_value_and_is_drawn(study):
    trial = study.ask()
    hp = OptunaHyperParameters(trial)
    hp.Fixed("choice", 2)
    with hp.conditional_scope("choice", [1, 3]):
        assert hp.Choice("child", [4, 5, 6]) is None
    with hp.conditional_scope("choice", 2):
        assert hp.Choice("other", [7, 8, 9]) in (7, 8, 9)
    assert list(hp.values) == ["choice", "other"]
    assert list(trial.params) == ["other"]
    assert trial.user_attrs == {"choice": 2}
    assert (hp.is_active("child"), hp.is_active("other")) == (False, True)
    assert [len(hp.inactive_scopes), len(hp.active_scopes)] == [1, 1]


def test_nested_scopes_and_names_go_together():
    hp = fixed(**{"a": 3, "b": 6, "c": 7, "d/e": 10})
    hp.Choice("a", [1, 2, 3])
    with hp.conditional_scope("a", [1, 3]):
        hp.Choice("b", [4, 5, 6])
        with hp.conditional_scope("b", 6):
            hp.Choice("c", [7, 8, 9])
            with hp.name_scope("d"):
                assert hp.Choice("e", [10, 11, 12]) == 10
    with hp.conditional_scope("a", 2):
        assert hp.Choice("f", [13, 14, 15]) is None
        with hp.name_scope("g"):
            assert hp.Int("h", 0, 10) is None
    assert hp.values == {"a": 3, "b": 6, "c": 7, "d/e": 10}


def test_a_name_means_its_active_parameter():
    hp = fixed(a=2)
    hp.Choice("a", [1, 2, 3])
    with hp.conditional_scope("a", 2):
        hp.Fixed("b", 4)
        assert (hp.get("b"), hp.get("a")) == (4, 2)
    with hp.conditional_scope("a", 3):
        hp.Fixed("b", 5)
        assert hp.get("b") == 4
    assert hp.get("b") == 4


def test_parameters_are_asked_for_as_in_a_dict():
    hp = fixed(a=3, b=2, c=-25.0)
    hp.Int("a", 0, 10)
    hp.Choice("b", [1, 2])
    with hp.conditional_scope("b", 1):
        hp.Float("c", -10, 10)
        with pytest.raises(ValueError, match="is currently inactive"):
            hp["c"]
    with hp.conditional_scope("b", 2):
        hp.Float("c", -30, -20)
    assert [hp["a"], hp["b"], hp["c"]] == [3, 2, -25.0]
    with pytest.raises(KeyError, match="does not exist"):
        hp["d"]
    assert [name in hp for name in "abcd"] == [True, True, True, False]


def test_a_scope_of_an_unknown_parent_and_a_child_of_its_parents_name_are_refused():
    hp = fixed(a=1)
    with pytest.raises(ValueError, match="not defined"), hp.conditional_scope("a", 1):
        pass
    hp.Choice("a", [1, 2])
    with pytest.raises(ValueError, match="same name as its parent"), hp.conditional_scope("a", 1):
        hp.Choice("a", [3, 4])


def test_merging_draws_what_becomes_active_and_keeps_what_is_inactive_out():
    others = keras_tuner.HyperParameters()
    others.Choice("a", [1, 2, 3], default=3)
    with others.conditional_scope("a", 2):
        others.Fixed("b", 4)
    hp = fixed(a=1)
    hp.merge(others)
    assert hp.values == {"a": 1}
    hp.merge([kt.Fixed("a", 9)], overwrite=False)
    hp.merge([kt.Fixed("c", 5)])
    assert hp.values == {"a": 1, "c": 5}


def test_a_value_that_is_there_is_taken_as_it_is():
    hp = fixed()
    hp.values["name"] = "mine"
    assert hp.Choice("name", ["mine", "other"]) == "mine"


def test_a_declaration_counts_once():
    hp = fixed(a=3)
    assert [hp.Int("a", 0, 10), hp.Int("a", 5, 7)] == [3, 3]
    assert len(hp.space) == 1


def test_configuration_and_proto_bring_everything_back():
    hp = fixed(**{"a#prob": 0.5, "b": 4.0, "c": 5, "d/e": 2.0, "d/f": "1", "d/g": -2})
    hp.Int("a", 1, 10, sampling="reverse_log")
    hp.Float("b", 2, 8)
    hp.Choice("c", [1, 5, 10], ordered=False)
    hp.Fixed("k", "3")
    with hp.name_scope("d"):
        hp.Choice("e", [2.0, 4.5, 8.5])
        hp.Choice("f", ["1", "2"])
        with hp.conditional_scope("f", "1"):
            hp.Int("g", -10, 10, step=2)
    for again in (OptunaHyperParameters.from_config(hp.get_config()), OptunaHyperParameters.from_proto(hp.to_proto())):
        assert type(again) is OptunaHyperParameters
        assert again.values == hp.values
        names = [sorted(one["config"]["name"] for one in each.get_config()["space"]) for each in (again, hp)]
        assert names[0] == names[1]


# What a trial draws


def every_kind(hp):
    """All kinds of parameters with all samplings; their values."""
    return {
        "int": hp.Int("int", 0, 10),
        "steps": hp.Int("steps", 6, 13, step=3),
        "log": hp.Int("log", 1, 100, sampling="log"),
        "powers": hp.Int("powers", 2, 40, step=2, sampling="log"),
        "reverse": hp.Int("reverse", 1, 10, sampling="reverse_log"),
        "mirrored": hp.Int("mirrored", 1, 10, step=2, sampling="reverse_log"),
        "float": hp.Float("float", -1, 1),
        "tenths": hp.Float("tenths", 0, 0.5, step=0.1),
        "rate": hp.Float("rate", 1e-4, 1e-1, sampling="log"),
        "tens": hp.Float("tens", 1e-3, 10, step=10, sampling="log"),
        "momentum": hp.Float("momentum", 0.5, 0.99, sampling="reverse_log"),
        "choice": hp.Choice("choice", ["a", "b"]),
        "boolean": hp.Boolean("boolean"),
        "fixed": hp.Fixed("fixed", 7),
    }


REACHED = {
    "steps": {6, 9, 12},
    "powers": {2, 4, 8, 16, 32},
    "mirrored": {3, 7, 9, 10},
    "tenths": {0.0, 0.1, 0.2, 0.3, 0.4, 0.5},  # Keras Tuner's own steps lose 0.5 and reach 0.30000000000000004
    "tens": {0.001, 0.01, 0.1, 1.0, 10.0},
    "choice": {"a", "b"},
    "boolean": {True, False},
    "fixed": {7},
}


def test_values_come_from_the_ranges_in_their_own_types(study):
    drawn = [every_kind(OptunaHyperParameters(study.ask())) for _ in range(60)]
    for name, values in REACHED.items():
        assert {values_of[name] for values_of in drawn} == values
    for name, kind, low, high in [("int", int, 0, 10), ("log", int, 1, 100), ("reverse", int, 1, 10),
                                  ("float", float, -1, 1), ("rate", float, 1e-4, 1e-1),
                                  ("momentum", float, 0.5, 0.99)]:  # fmt: skip
        assert all(type(one[name]) is kind and low <= one[name] <= high for one in drawn), name
    assert all(type(one["boolean"]) is bool for one in drawn)


def test_optuna_sees_the_names_and_ranges_of_keras_tuner(study):
    trial = study.ask()
    every_kind(OptunaHyperParameters(trial))
    of = optuna.distributions
    assert trial.distributions["int"] == of.IntDistribution(0, 10)
    assert trial.distributions["steps"] == of.IntDistribution(6, 12, step=3)
    assert trial.distributions["log"] == of.IntDistribution(1, 100, log=True)
    assert trial.distributions["tenths"] == of.FloatDistribution(0.0, 0.5, step=0.1)
    assert trial.distributions["rate"] == of.FloatDistribution(1e-4, 1e-1, log=True)
    assert trial.distributions["powers"] == of.CategoricalDistribution((2, 4, 8, 16, 32))
    assert trial.distributions["choice"] == of.CategoricalDistribution(("a", "b"))
    assert trial.distributions["momentum#prob"] == of.FloatDistribution(0.0, 1.0)
    assert {"momentum", "fixed"} <= set(trial.user_attrs)


def test_a_finished_trial_gives_the_values_that_it_had(study):
    trial = study.ask()
    values = every_kind(OptunaHyperParameters(trial))
    study.tell(trial, 1.0)
    assert every_kind(OptunaHyperParameters(study.best_trial)) == values


def test_one_name_for_two_things_is_two_parameters_of_a_study(study):
    def build(hp):
        kind = hp.Choice("kind", ["a", "b"])
        for value, high in (("a", 4), ("b", 400)):
            with hp.conditional_scope("kind", [value]):
                if kind == value:
                    hp.Int("units", 1, high)
        return hp.values

    for kind in ("a", "b", "a", "b"):
        study.enqueue_trial({"kind": kind})
        trial = study.ask()
        assert list(build(OptunaHyperParameters(trial))) == ["kind", "units"]
        study.tell(trial, 0.0)
    assert [list(trial.params) for trial in study.trials] == [
        ["kind", "units"], ["kind", "units[kind=b]"], ["kind", "units"], ["kind", "units[kind=b]"],
    ]  # fmt: skip
    assert build(OptunaHyperParameters(study.trials[1]))["units"] == study.trials[1].params["units[kind=b]"]


def test_what_becomes_active_later_is_drawn_and_what_becomes_inactive_goes():
    hp = fixed(a=1, b=5, c=6, d=6)
    hp.Choice("a", [1, 2])
    with hp.conditional_scope("a", 2):
        hp.Int("b", 0, 9)
    with hp.conditional_scope("a", 1):
        hp.Int("c", 0, 9)
        hp.Int("d", 6, 6)
    with hp.conditional_scope("a", 2):
        hp.Int("c", 0, 9)
    hp.ensure_active_values()
    assert hp.values == {"a": 1, "c": 6, "d": 6}  # c has two meanings, of which one is active
    hp.values["a"] = 2
    with hp.conditional_scope("a", 2):
        assert hp.Int("b", 0, 9) == 5
    hp.ensure_active_values()
    assert hp.values == {"a": 2, "b": 5, "c": 6}


# Parameters of a space


@pytest.mark.parametrize(
    ("hp", "parameter"),
    [
        (kt.Int("x", 0, 10), Int(low=0, high=10)),
        (kt.Int("x", 6, 13, step=3), Int(low=6, high=12, step=3)),
        (kt.Int("x", 5, 7, step=4), Int(low=5, high=5)),
        (kt.Int("x", 2, 40, step=2, sampling="log"), Int(low=2, high=32, step=2, log=True)),
        (kt.Int("x", 1, 10, sampling="reverse_log"), Int(low=1, high=10, log=True, reverse=True)),
        (kt.Int("x", 1, 10, step=2, sampling="reverse_log"), Ordinal(choices=(3, 7, 9, 10))),
        (kt.Float("x", 0, 0.5, step=0.1), Float(low=0.0, high=0.5, step=0.1)),
        (kt.Float("x", 0, 0.5, step=0.2), Float(low=0.0, high=0.4, step=0.2)),
        (kt.Float("x", 1e-3, 10, step=10, sampling="log"), Float(low=1e-3, high=10.0, step=10.0, log=True)),
        (kt.Float("x", 0.5, 0.99, sampling="reverse_log"), Float(low=0.5, high=0.99, log=True, reverse=True)),
        (kt.Choice("x", ["a", "b", "a"]), Categorical(choices=("a", "b"))),
        (kt.Choice("x", [8, 16]), Ordinal(choices=(8, 16))),
        (kt.Choice("x", [8, 16], ordered=False), Categorical(choices=(8, 16))),
        (kt.Boolean("x", default=True), Categorical(choices=(True, False))),
        (kt.Fixed("x", "y"), Fixed(value="y")),
    ],
)
def test_a_hyperparameter_becomes_a_parameter_of_the_same_values(hp, parameter):
    assert to_parameter(hp) == parameter


def branching(hp):
    for index in range(hp.Int("layers", 1, 4)):
        hp.Int(f"units_{index}", 32, 512, step=32)
    if hp.Choice("optimizer", ["adam", "sgd"]) == "sgd":
        hp.Float("momentum", 0.5, 0.99, sampling="reverse_log")
    kind = hp.Choice("kind", ["mlp", "cnn", "none"])
    for value, high in (("mlp", 10), ("cnn", 20)):
        with hp.conditional_scope("kind", [value]):
            if kind == value:
                hp.Int("width", 1, high)
            hp.Choice("act", ["relu", "tanh"])
    with hp.name_scope("head"):
        hp.Fixed("k", 3)
        with hp.conditional_scope("k", [4]):
            hp.Int("never", 0, 9)


@pytest.fixture(scope="module")
def space():
    return discover("package.module:branching", branching).space


def test_a_space_has_what_appears_beside_the_values_that_bring_it_up(space):
    assert {name: dict(one.when) for name, one in space.parameters.items() if one.when} == {
        "units_1": {"layers": (2, 3, 4)},
        "units_2": {"layers": (3, 4)},
        "units_3": {"layers": (4,)},
        "momentum": {"optimizer": ("sgd",)},
        "width[kind=mlp]": {"kind": ("mlp",)},
        "width[kind=cnn]": {"kind": ("cnn",)},
        "act": {"kind": ("mlp", "cnn")},
    }
    assert {"layers", "units_0", "optimizer", "kind", "head/k"} < set(space.parameters)
    assert "head/never" not in space.parameters


def test_the_text_of_a_space_is_read_as_the_same_space(space, tmp_path):
    (tmp_path / "space.toml").write_text(space_to_toml(space.model_dump(mode="json")))
    assert load_space("space.toml", tmp_path) == space
    assert load_space("mlp").canonical() == _again(load_space("mlp"), tmp_path).canonical()


def _again(space, folder):
    (folder / "again.toml").write_text(space_to_toml(space.model_dump(mode="json")))
    return load_space("again.toml", folder)


def test_every_trial_of_the_space_asks_for_exactly_what_it_was_given(space):
    from spaces import suggest

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(50):
        params = suggest(space, study.ask())
        hp = keras_tuner.HyperParameters()
        hp.values = to_values(params)
        branching(hp)
        assert hp.values == to_values(params)
        asked = keras_tuner.HyperParameters()
        branching(asked)
        assert {one.name for one in hp.space if hp.is_active(one)} == set(hp.values)


def test_params_become_hyperparameters_that_build_the_trials_model(space):
    params = {**space.default(), "kind": "cnn", "width[kind=cnn]": 13, "layers": 1}
    hp = to_hyperparameters(space, params)
    assert (hp["width"], hp["kind"], hp["layers"], hp["head/k"]) == (13, "cnn", 1, 3)
    assert "units_1" not in hp
    branching(hp)
    assert (hp["width"], hp["layers"]) == (13, 1)


def test_what_appears_for_more_than_one_reason_is_always_there():
    def build(hp):
        one, other = hp.Boolean("one"), hp.Boolean("other")
        if one or other:
            hp.Int("x", 0, 9)

    assert discover("m:build", build).space.parameters["x"].when == {}


def test_a_build_that_fails_is_passed_over_and_told():
    def build(hp):
        if hp.Choice("pool", [1, 2, 3]) == 3:
            raise RuntimeError("the kernel is larger than the image")
        hp.Boolean("bias")

    found = discover("m:build", build)
    assert list(found.space.parameters) == ["pool", "bias"]
    assert found.space.parameters["bias"].when == {}
    assert found.notes == [
        "1 of 4 builds failed while its space was looked for; the first: "
        "RuntimeError: the kernel is larger than the image"
    ]


def test_a_hypermodel_that_fails_with_its_defaults_says_why():
    def build(hp):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        discover("m:build", build)


@pytest.mark.parametrize(
    ("build", "problem"),
    [(lambda hp: None, "asks for no parameter"), (lambda hp: hp.Int("x[a=1]", 0, 1), "must not end in")],
)
def test_a_hypermodel_that_cannot_be_a_space_is_refused(build, problem):
    with pytest.raises(InputError, match=problem):
        discover("m:build", build)


def test_all_ranges_that_no_space_can_have_are_told_at_once():
    def build(hp):
        hp.Float("share", 0, 1, step=1e-6)
        hp.Int("units", 1, 9)
        hp.Int("seed", 0, 2**60)

    with pytest.raises(InputError) as caught:
        discover("m:build", build)
    share, seed = caught.value.problems
    assert share == "share: step must leave 10000 values or fewer, not 1000001 (step = 1e-06)"
    assert seed.startswith("seed: high: must be at most")


def test_any_name_is_a_hypermodels_and_others_stay_identifiers():
    table = {"type": "int", "low": 1, "high": 2}
    assert Space(model="keras_tuner:m:build", parameters={"a b/c": table}).full_names == ["a b/c"]
    assert Space(model="keras_tuner:m:build").parameters == {}
    with pytest.raises(ValueError, match="a name has letters"):
        Space(model="m:build", parameters={"a b/c": table})


def test_a_reversed_range_is_fine_near_its_high_end(study):
    from spaces.sampling import draw, from_index, to_index

    parameter = Float(low=0.5, high=0.99, log=True, reverse=True)
    drawn = sorted(draw(study.ask(), "x", parameter) for _ in range(201))
    assert drawn[100] == pytest.approx(0.5 + 0.99 - (0.5 * 0.99) ** 0.5, abs=0.03)
    assert all(0.5 <= value <= 0.99 for value in drawn)
    assert from_index(parameter, to_index(parameter, 0.9)) == pytest.approx(0.9)
    assert parameter.middle() == pytest.approx(0.5 + 0.99 - (0.5 * 0.99) ** 0.5)
    with pytest.raises(ValueError, match="reverse goes with log = true"):
        Float(low=0.5, high=0.99, reverse=True)
