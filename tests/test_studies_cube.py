import numpy as np
import pytest

from spaces.sampling import suggest, to_index
from spaces.space import Space
from studies.cube import Place, coordinate, drawn_from

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
            "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
            "momentum": {"type": "float", "low": 0.5, "high": 0.99, "log": True, "reverse": True},
        },
    }
)


class There(Place):
    def __init__(self, coordinates):
        super().__init__()
        self._coordinates = coordinates

    def at(self, name):
        return self._coordinates[name]


class Anywhere(Place):
    def __init__(self, seed):
        super().__init__()
        self._rng = np.random.default_rng(seed)

    def at(self, name):
        return self._rng.random()


def coordinates(params):
    return {
        full: coordinate(drawn_from(SPACE.parameter(full)), to_index(SPACE.parameter(full), value))
        for full, value in params.items()
    }


@pytest.mark.parametrize("seed", range(20))
def test_a_place_knows_the_coordinates_of_what_it_answered_and_is_found_again_by_them(seed):
    place = Anywhere(seed)
    params = suggest(SPACE, place)
    assert place.coordinates == pytest.approx(coordinates(params))
    assert suggest(SPACE, There(coordinates(params))) == pytest.approx(params)


def test_ends_of_ranges_lie_in_the_cube_and_parts_have_their_middles():
    low = {"layers": 1, "units_0": 16, "dropout": 0.0, "optimizer": "adam", "learning_rate": 1e-4, "size": "medium"}
    assert coordinates(low) == pytest.approx(
        {"layers": 1 / 6, "units_0": 1 / 8, "dropout": 0, "optimizer": 1 / 4, "learning_rate": 0, "size": 1 / 2}
    )
    high = coordinates({"layers": 3, "width": 1000, "dropout": 0.5, "optimizer": "sgd", "learning_rate": 1e-1})
    assert all(0.7 < at < 1 for at in high.values())
