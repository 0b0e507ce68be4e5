from collections import Counter

import pytest

from spaces.space import Space
from studies.spread import spread

SPACE = Space.model_validate(
    {
        "model": "mlp",
        "parameters": {
            "blocks": {"type": "int", "low": 1, "high": 2},
            "filters": {"type": "int", "low": 16, "high": 128, "log": True, "step": 2, "per": "blocks"},
            "width": {"type": "int", "low": 10, "high": 1000, "log": True},
            "dropout": {"type": "float", "low": 0.0, "high": 0.5},
            "optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
            "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
            "momentum": {"type": "float", "low": 0.0, "high": 0.9, "when": {"optimizer": "sgd"}},
        },
    }
)


@pytest.mark.parametrize("cube", [0, 1, 7])
def test_each_parameter_takes_every_part_of_its_range_once_in_a_hypercube(cube):
    drawn = [spread(SPACE, 3, 8, 8 * cube + place) for place in range(8)]
    assert sorted(int(params["dropout"] / 0.5 * 8) for params in drawn) == list(range(8))
    assert Counter(params["optimizer"] for params in drawn) == {"adam": 4, "sgd": 4}
    assert Counter(params["filters_0"] for params in drawn) == {16: 2, 32: 2, 64: 2, 128: 2}
    assert sum(params["learning_rate"] < 10**-2.5 for params in drawn) == 4
    assert sum(params["width"] < 100 for params in drawn) == 4


def test_parameters_take_the_parts_of_their_ranges_in_orders_of_their_own():
    """Else all would be small together, then all large."""
    drawn = [spread(SPACE, 3, 8, place) for place in range(8)]
    orders = [sorted(range(8), key=lambda place: drawn[place][name]) for name in ("dropout", "learning_rate", "width")]
    assert [*range(8)] not in orders
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_what_is_spread_is_a_complete_configuration_of_the_space():
    for number in range(40):
        params = spread(SPACE, 0, 10, number)
        assert SPACE.problems_with(params) == []
        assert SPACE.active(params) == params


def test_given_values_are_kept():
    params = spread(SPACE, 0, 10, 4, {"optimizer": "sgd", "dropout": 0.25})
    assert (params["optimizer"], params["dropout"]) == ("sgd", 0.25)
    assert "momentum" in params


def test_a_place_depends_on_the_seed_and_the_number_alone():
    drawn = [spread(SPACE, seed, 10, number)["dropout"] for seed, number in ((0, 1), (0, 1), (0, 2), (1, 1))]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3
