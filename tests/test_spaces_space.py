"""What parameters demand of each other, and what params are within a space."""

import json
import pickle

import pytest

from spaces import Categorical, Fixed, Float, InputError, Int, Ordinal, Space, load_space, validate

OPTIMIZER = {"type": "categorical", "choices": ["adam", "sgd", "rmsprop"]}
BLOCKS = {"type": "int", "low": 1, "high": 3}
RATE = {"type": "float", "low": 0.0, "high": 1.0}


def space(**parameters):
    return Space(model="mlp", parameters=parameters)


def problems(**tables):
    """What is wrong with a space file that holds these parameters."""
    with pytest.raises(InputError) as error:
        validate(Space, {"model": "mlp", "parameters": tables}, "mlp.toml")
    return error.value.problems


@pytest.fixture
def cnn():
    return load_space("cnn")


@pytest.fixture
def layered():
    """Each of up to three layers has a kind; a convolution has filters, one with many of them a stride."""
    return space(
        layers=Int(low=0, high=3),
        kind=Categorical(choices=["conv", "pool"], per="layers"),
        filters=Ordinal(choices=[16, 64], per="layers", when={"kind": "conv"}),
        stride=Int(low=1, high=2, per="layers", when={"filters": [64]}),
    )


# Laws


def test_an_unknown_parent_is_told_with_the_name_that_was_meant():
    assert problems(optimizer=OPTIMIZER, momentum={**RATE, "when": {"optimiser": "sgd"}}) == [
        'parameters.momentum.when: unknown parameter "optimiser"; did you mean "optimizer"?'
    ]
    assert problems(blocks=BLOCKS, filters={**BLOCKS, "per": "block"}) == [
        'parameters.filters.per: unknown parameter "block"; did you mean "blocks"?'
    ]


def test_a_condition_that_the_parent_cannot_meet_is_refused():
    assert problems(optimizer=OPTIMIZER, momentum={**RATE, "when": {"optimizer": ["sgd", "sdg"]}}) == [
        'parameters.momentum.when.optimizer: must be one of "adam", "sgd" or "rmsprop" (came "sdg"); '
        'did you mean "sgd"?'
    ]
    assert problems(flag={"type": "fixed", "value": True}, rate={**RATE, "when": {"flag": 1}}) == [
        "parameters.rate.when.flag: must be true, which is fixed (came 1)"
    ]


def test_a_continuous_parent_is_refused_in_a_condition_and_a_stepped_one_is_not():
    assert "continuous" in problems(rate=RATE, units={**BLOCKS, "when": {"rate": 0.5}})[0]
    stepped = {**RATE, "step": 0.1}
    assert validate(
        Space,
        {"model": "mlp", "parameters": {"rate": stepped, "units": {**BLOCKS, "when": {"rate": 0.3}}}},
        "x",
    )


def test_conditions_that_contradict_each_other_are_refused():
    lines = problems(
        optimizer=OPTIMIZER,
        momentum={**RATE, "step": 0.5, "when": {"optimizer": ["sgd", "rmsprop"]}},
        nesterov={"type": "fixed", "value": True, "when": {"momentum": 0.5, "optimizer": "adam"}},
    )
    assert lines == [
        'parameters.nesterov: is never drawn: optimizer would have to be "adam" and also "sgd" or "rmsprop"'
    ]


@pytest.mark.parametrize(
    "tables",
    [
        {"a": {**BLOCKS, "per": "a"}},
        {"a": {**BLOCKS, "when": {"a": 1}}},
        {"a": {**BLOCKS, "when": {"b": 1}}, "b": {**BLOCKS, "when": {"c": 1}}, "c": {**BLOCKS, "per": "a"}},
    ],
)
def test_parameters_that_wait_for_each_other_are_refused(tables):
    lines = problems(**tables)
    assert any("depends on itself (a needs " in line and line.endswith(" needs a)") for line in lines)


def test_a_child_of_a_circle_is_not_blamed_for_it():
    lines = problems(
        child={**BLOCKS, "when": {"a": 1}},
        a={**BLOCKS, "when": {"b": 1}},
        b={**BLOCKS, "when": {"a": 1}},
    )
    assert lines == ["parameters.a: depends on itself (a needs b needs a)"]


@pytest.mark.parametrize(
    "parent",
    [
        RATE,
        OPTIMIZER,
        {"type": "int", "low": -1, "high": 3},
        {"type": "int", "low": 1, "high": 10**6},
        {"type": "fixed", "value": True},
        {"type": "ordinal", "choices": [1, 1.5]},
    ],
)
def test_only_a_number_of_times_can_be_repeated(parent):
    assert problems(parent=parent, units={**BLOCKS, "per": "parent"}) == [
        'parameters.units.per: must name a parameter of whole numbers from 0 to 1000 (came "parent")'
    ]


def test_a_repeat_of_a_repeat_is_refused():
    tables = {"blocks": BLOCKS, "layers": {**BLOCKS, "per": "blocks"}, "units": {**BLOCKS, "per": "layers"}}
    assert "not repeated itself" in problems(**tables)[0]


def test_what_depends_on_a_repeated_parameter_must_be_repeated_alike():
    tables = {
        "blocks": BLOCKS,
        "kind": {**OPTIMIZER, "per": "blocks"},
        "units": {**BLOCKS, "when": {"kind": "sgd"}},
    }
    assert problems(**tables) == [
        'parameters.units.when.kind: kind is drawn per blocks, so what depends on it needs per = "blocks" too'
    ]


@pytest.mark.parametrize(
    "tables",
    [
        {"blocks": BLOCKS, "filters": {**BLOCKS, "per": "blocks"}, "filters_0": BLOCKS},
        {"blocks": BLOCKS, "filters_2": BLOCKS, "filters": {**BLOCKS, "per": "blocks"}},
        {"blocks": BLOCKS, "a": {**BLOCKS, "per": "blocks"}, "a_1": {**BLOCKS, "per": "blocks"}},
    ],
)
def test_a_repeat_cannot_have_the_name_of_another_parameter(tables):
    assert "has the name of another parameter" in problems(**tables)[0]


def test_a_name_beyond_the_last_repeat_is_free():
    assert space(blocks=Int(low=1, high=2), f=Int(low=1, high=2, per="blocks"), f_2=Int(low=1, high=2))


@pytest.mark.parametrize("name", ["", "0", "_a", "a-b", "a.b", "a b", "é", "a\n"])
def test_a_name_that_is_no_identifier_is_refused(name):
    assert "a name has letters" in problems(**{name: BLOCKS})[0]


def test_a_name_that_is_no_text_as_python_can_give_one_is_told_beside_the_rest():
    with pytest.raises(InputError) as error:
        validate(Space, {"model": "mlp", "parameters": {3: BLOCKS, "layers": {"type": "int", "low": 3}}}, "space")
    assert error.value.problems == ["parameters[3]: must be text (came 3)", "parameters.layers.high: must be given"]
    with pytest.raises(InputError, match=r"parameters\.layers\[3\]: must be text \(came 3\)"):
        validate(Space, {"model": "mlp", "parameters": {"layers": {**BLOCKS, 3: 4}}}, "space")


@pytest.mark.parametrize("model", ["", "a b", "a:", ":b", "a:b:c", "../x", "package.module"])
def test_a_model_is_a_family_or_a_function(model):
    with pytest.raises(InputError, match="model: must be a family of models"):
        validate(Space, {"model": model, "parameters": {"a": BLOCKS}}, "x.toml")


def test_a_space_without_parameters_is_refused():
    assert problems() == ["parameters: must hold a parameter or more"]


def test_problems_inside_parameters_and_between_them_come_at_once():
    lines = problems(
        layers={"type": "int", "low": 3, "high": 1},
        units={**BLOCKS, "per": "layers", "when": {"optimizr": "sgd"}},
        optimizer=OPTIMIZER,
        rate={**RATE, "hihg": 1.0},
    )
    assert lines == [
        "parameters.layers: low must be at most high (low = 3, high = 1)",
        'parameters.rate: unknown key "hihg"; did you mean "high"?',
        'parameters.units.when: unknown parameter "optimizr"; did you mean "optimizer"?',
    ]


# Params


def test_parents_come_before_their_children_and_the_rest_stays_as_written():
    written = space(
        momentum=Float(low=0.0, high=0.9, when={"optimizer": "sgd"}),
        filters=Int(low=1, high=2, per="blocks"),
        dropout=Float(low=0.0, high=0.5),
        blocks=Int(low=1, high=3),
        optimizer=Categorical(choices=["adam", "sgd"]),
    )
    assert list(written.parameters) == ["dropout", "blocks", "filters", "optimizer", "momentum"]


def test_a_repeated_parameter_has_a_name_for_each_repeat(cnn):
    assert cnn.members("filters", {"blocks": 2}) == ["filters_0", "filters_1"]
    assert cnn.members("filters", {}) == []
    assert cnn.members("units", {}) == ["units"]
    assert cnn.parameter("filters_2") is cnn.parameters["filters"]
    with pytest.raises(KeyError):
        cnn.parameter("filters_3")
    with pytest.raises(KeyError):
        cnn.parameter("filters")


def test_a_conditional_parameter_exists_only_beside_the_right_value(cnn):
    assert cnn.members("momentum", {"optimizer": "sgd"}) == ["momentum"]
    assert cnn.members("momentum", {"optimizer": "adam"}) == []
    assert cnn.members("momentum", {}) == []


def test_a_condition_between_repeats_holds_for_each_repeat_by_itself(layered):
    params = {
        "layers": 3,
        "kind_0": "conv",
        "kind_1": "pool",
        "kind_2": "conv",
        "filters_0": 64,
        "filters_2": 16,
    }
    assert layered.members("filters", params) == ["filters_0", "filters_2"]
    assert layered.members("stride", params) == ["stride_0"]


def test_true_does_not_meet_a_condition_that_asks_for_one():
    spaced = space(depth=Int(low=0, high=1), units=Int(low=1, high=2, when={"depth": 1}))
    assert spaced.members("units", {"depth": 1}) == ["units"]
    assert spaced.members("units", {"depth": True}) == []


def test_what_depends_on_an_absent_parent_is_absent_too():
    chain = space(
        optimizer=Categorical(choices=["adam", "sgd"]),
        nesterov=Categorical(choices=[True, False], when={"optimizer": "sgd"}),
        momentum=Float(low=0.0, high=0.9, when={"nesterov": True}),
    )
    stale = {"optimizer": "adam", "nesterov": True, "momentum": 0.5}
    assert chain.active(stale) == {"optimizer": "adam"}


def test_the_default_is_a_configuration_in_the_middle(cnn):
    assert cnn.default() == {
        "blocks": 2,
        "filters_0": 32,
        "filters_1": 32,
        "units": 64,
        "dropout": 0.25,
        "l1": 1e-5,
        "optimizer": "adam",
        "learning_rate": 0.00316227766017,
        "batch_norm": True,
    }
    assert cnn.problems_with(cnn.default()) == []


def test_a_fixed_value_can_be_a_parent():
    fixed = space(
        blocks=Fixed(value=2),
        units=Int(low=1, high=3, per="blocks"),
        optimizer=Fixed(value="sgd"),
        momentum=Float(low=0.0, high=1.0, when={"optimizer": "sgd"}),
    )
    assert fixed.default() == {"blocks": 2, "units_0": 2, "units_1": 2, "optimizer": "sgd", "momentum": 0.5}
    assert fixed.problems_with({"units_1": 3, "momentum": 0.1}) == []


def test_a_fixed_value_can_hang_on_a_condition():
    spaced = space(
        optimizer=Categorical(choices=["adam", "sgd"]), nesterov=Fixed(value=True, when={"optimizer": "sgd"})
    )
    assert spaced.active({"optimizer": "sgd"}) == {"optimizer": "sgd", "nesterov": True}
    assert spaced.active({"optimizer": "adam", "nesterov": True}) == {"optimizer": "adam"}


def test_params_that_make_the_same_model_are_the_same_once_active(cnn):
    params = cnn.default()
    shuffled = dict(reversed(params.items()))
    assert list(cnn.active({**shuffled, "momentum": 0.9}).items()) == list(params.items())
    assert cnn.active({name: value for name, value in params.items() if name != "batch_norm"}) == params
    assert json.dumps(cnn.active({**params, "dropout": 0})) == json.dumps(cnn.active({**params, "dropout": 0.0}))
    assert cnn.active({**params, "units": 128}) != params


def test_the_canonical_space_leaves_out_what_draws_nothing_different():
    one = Space(
        description="one",
        model="mlp",
        parameters={"o": Categorical(choices=["a", "b"]), "m": Float(low=0, high=1, when={"o": "a"})},
    )
    other = Space(
        model="mlp",
        parameters={"m": Float(low=0.0, high=1.0, when={"o": ["a"]}), "o": Categorical(choices=["a", "b"])},
    )
    assert one.canonical() == other.canonical() == json.loads(json.dumps(one.canonical()))
    assert space(o=Categorical(choices=["b", "a"])).canonical() != space(o=Ordinal(choices=["b", "a"])).canonical()


def test_a_space_crosses_processes_and_stays_equal(cnn):
    assert cnn.members("filters", {"blocks": 1}) == ["filters_0"]
    assert pickle.loads(pickle.dumps(cnn)) == load_space("cnn") == cnn
    assert Space(**cnn.model_dump()) == cnn


# Structural and scalar


def test_numbers_fed_into_a_program_are_scalar_and_all_else_is_structural(cnn):
    params = {**cnn.default(), "optimizer": "sgd", "momentum": 0.9}
    assert list(cnn.scalar(params)) == ["dropout", "l1", "learning_rate", "momentum"]
    assert list(cnn.structural(params)) == [
        "blocks",
        "filters_0",
        "filters_1",
        "units",
        "optimizer",
        "batch_norm",
    ]


def test_a_scalar_is_known_by_its_name_or_the_end_of_it():
    spaced = space(
        blocks=Int(low=1, high=2),
        dropout=Float(low=0.0, high=0.5, per="blocks"),
        head_dropout=Ordinal(choices=[0.0, 0.5]),
        spatial_dropout=Categorical(choices=[True, False]),
        l2=Fixed(value=1e-4),
        l1=Categorical(choices=["none", "weak"]),
        dropout_kind=Categorical(choices=["plain", "alpha"]),
        xl1=Float(low=0.0, high=1.0),
    )
    assert spaced.scalar(spaced.default()) == {"dropout_0": 0.25, "head_dropout": 0.0, "l2": 1e-4}


def test_everything_is_structural_in_a_users_own_model():
    own = Space(model="my.models:build", parameters={"dropout": Float(low=0.0, high=0.5)})
    assert own.scalar({"dropout": 0.1}) == {}
    assert own.structural({"dropout": 0.1}) == {"dropout": 0.1}


# What a user enqueues


def test_a_part_of_a_configuration_has_no_problems(cnn):
    assert cnn.problems_with({}) == []
    assert cnn.problems_with({"units": 128, "learning_rate": 0.001}) == []
    assert cnn.problems_with({"dropout": 0, "filters_0": 16}) == []
    assert cnn.problems_with({"optimizer": "sgd", "momentum": 0.9, "blocks": 3, "filters_2": 64}) == []


@pytest.mark.parametrize(
    ("params", "line"),
    [
        ({"unist": 64}, 'unknown parameter "unist"; did you mean "units"?'),
        ({"filters_3": 64}, 'unknown parameter "filters_3"; did you mean "filters_'),
        ({"units": 65}, "units: must be a whole number from 32 to 256 in factors of 2 (came 65)"),
        ({"units": True}, "units: must be a whole number from 32 to 256 in factors of 2 (came true)"),
        ({"batch_norm": False}, "batch_norm: must be true, which is fixed (came false)"),
        (
            {"optimizer": "adam", "momentum": 0.9},
            'momentum: exists only when optimizer = "sgd" (optimizer = "adam")',
        ),
        ({"momentum": 0.9}, 'momentum: exists only when optimizer = "sgd" (optimizer has no value)'),
        ({"blocks": 1, "filters_1": 16}, "filters_1: exists only when blocks is 2 or more (blocks = 1)"),
        ({"filters_1": 16}, "filters_1: exists only when blocks is 2 or more (blocks has no value)"),
    ],
)
def test_params_that_cannot_be_are_told(cnn, params, line):
    problem, *others = cnn.problems_with(params)
    assert problem.startswith(line)
    assert others == []


def test_all_problems_with_params_come_at_once(cnn):
    assert len(cnn.problems_with({"unist": 64, "dropout": 2.0, "blocks": 9, "momentum": 0.1, "filters_0": 16})) == 4


def test_a_repeat_under_a_condition_needs_its_own_parent(layered):
    assert layered.problems_with({"layers": 2, "kind_1": "conv", "filters_1": 16}) == []
    assert layered.problems_with({"layers": 2, "kind_0": "conv", "kind_1": "pool", "filters_1": 16}) == [
        'filters_1: exists only when kind_1 = "conv" (kind_1 = "pool")'
    ]


def test_the_values_given_for_a_repeat_do_not_prove_that_it_exists(layered):
    lines = layered.problems_with({"kind_0": "conv", "filters_0": 16})
    assert lines == [
        "kind_0: exists only when layers is 1 or more (layers has no value)",
        "filters_0: exists only when layers is 1 or more (layers has no value)",
    ]


def test_what_decides_which_parameters_exist_is_known_by_full_names(layered):
    kinds, filters = ([f"{name}_{index}" for index in range(3)] for name in ("kind", "filters"))
    assert layered.decisive == ["layers", *kinds, *filters]
    assert space(rate=Float(low=0.0, high=1.0)).decisive == []
