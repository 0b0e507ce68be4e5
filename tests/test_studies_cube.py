import numpy as np
import pytest

from spaces.space import Space
from studies.cube import BELOW_ONE, Cube

SPACE = Space.model_validate(
    {
        "model": "mlp",
        "parameters": {
            "layers": {"type": "int", "low": 1, "high": 3},
            "even": {"type": "int", "low": 2, "high": 8, "step": 2},
            "units": {"type": "int", "low": 16, "high": 128, "log": True, "step": 2, "per": "layers"},
            "width": {"type": "int", "low": 1, "high": 1000, "log": True},
            "dropout": {"type": "float", "low": 0.0, "high": 0.5},
            "tenths": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.1},
            "size": {"type": "ordinal", "choices": ["small", "medium", "large"]},
            "optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
            "norm": {"type": "categorical", "choices": [True, False], "per": "layers"},
            "decay": {"type": "float", "low": 0.0, "high": 1.0, "per": "layers", "when": {"norm": False}},
            "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
            "momentum": {
                **{"type": "float", "low": 0.5, "high": 0.99, "log": True, "reverse": True},
                "when": {"optimizer": "sgd"},
            },
            "bias": {"type": "fixed", "value": True},
        },
    }
)


CUBE = Cube(SPACE)


def points(count, seed=0):
    return np.random.default_rng(seed).random((count, len(CUBE.names)))


def test_a_settled_point_is_that_of_its_configuration():
    settled = CUBE.settled(points(200))
    for before, point in zip(points(200), settled, strict=True):
        params = CUBE.params(point)
        assert CUBE.point(params) == pytest.approx(point, nan_ok=True)
        assert CUBE.params(before) == pytest.approx(params)


def test_settled_points_are_nan_along_what_their_configurations_lack():
    for point in CUBE.settled(points(50)):
        lacked = {name for name, at in zip(CUBE.names, point, strict=True) if np.isnan(at)}
        assert lacked == set(CUBE.names) - CUBE.params(point).keys()


def test_given_values_hold_and_decide_what_else_there_is():
    given = {"layers": 2, "optimizer": "adam", "momentum": 0.9, "dropout": 0.25}
    for point in CUBE.settled(points(20), given):
        params = CUBE.params(point, given)
        assert {"layers": 2, "optimizer": "adam", "dropout": 0.25}.items() <= params.items()
        assert {"units_0", "units_1", "bias"} <= params.keys()
        assert not {"units_2", "momentum"} & params.keys()
        assert CUBE.point(params) == pytest.approx(point, nan_ok=True)


def test_nothing_that_varies_is_a_cube_of_no_coordinates():
    cube = Cube(Space.model_validate({"model": "mlp", "parameters": {"units": {"type": "fixed", "value": 8}}}))
    assert cube.settled(np.empty((3, 0))).shape == (3, 0)
    assert cube.params(np.empty(0)) == {"units": 8}


def test_both_ends_of_the_cube_are_within_the_ranges():
    ints = {f"from_{low}": {"type": "int", "low": low, "high": 10 * low, "log": True} for low in range(1, 40)}
    floats = {f"to_{low}": {"type": "float", "low": 0.1 * low, "high": 0.3 * low, "log": True} for low in range(1, 40)}
    space = Space.model_validate({"model": "mlp", "parameters": {**ints, **floats}})
    cube = Cube(space)
    ends = np.stack([np.zeros(len(cube.names)), np.full(len(cube.names), BELOW_ONE)])
    settled = cube.settled(ends)
    for end, point in zip(ends, settled, strict=True):
        params = cube.params(end)
        assert space.problems_with(params) == []
        assert cube.point(params) == pytest.approx(point)


def test_ends_of_ranges_lie_in_the_cube_and_parts_have_their_middles():
    low = {"layers": 1, "units_0": 16, "dropout": 0.0, "optimizer": "adam", "learning_rate": 1e-4, "size": "medium"}
    found = dict(zip(CUBE.names, CUBE.point(low), strict=True))
    assert {name: found[name] for name in low} == pytest.approx(
        {"layers": 1 / 6, "units_0": 1 / 8, "dropout": 0, "optimizer": 1 / 4, "learning_rate": 0, "size": 1 / 2}
    )
    high = CUBE.point({"layers": 3, "width": 1000, "dropout": 0.5, "optimizer": "sgd", "learning_rate": 1e-1})
    assert np.nanmin(high) > 0.7
    assert np.nanmax(high) < 1
