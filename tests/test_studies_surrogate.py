import numpy as np
import pytest

from studies.surrogate import GaussianProcess


def wave(places):
    return np.sin(6 * places[:, 0])


def seen(count, coordinates=2, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    places = rng.random((count, coordinates))
    values = wave(places) + noise * rng.standard_normal(count)
    return places, values - values.mean(), values.mean()


def test_between_what_was_seen_the_mean_is_near_the_function():
    places, values, mean = seen(60)
    means, covariance = GaussianProcess(places, values).predict(np.random.default_rng(1).random((200, 2)))
    deviations = np.sqrt(np.diag(covariance))
    off = means + mean - wave(np.random.default_rng(1).random((200, 2)))
    assert np.sqrt(np.mean(off**2)) < 0.1
    assert np.mean(np.abs(off) < 2 * deviations) > 0.9


def test_far_from_what_was_seen_it_knows_that_it_does_not_know():
    places, values, _ = seen(40)
    means, covariance = GaussianProcess(places / 4, values).predict(np.array([places[0] / 4, [1.0, 1.0]]))
    assert covariance[1, 1] > 4 * covariance[0, 0]
    assert abs(means[1]) < abs(values).max()


def test_noise_is_not_taken_for_the_function():
    places, values, mean = seen(100, coordinates=1, noise=0.5)
    line = np.linspace(0.05, 0.95, 50)[:, None]
    means, _ = GaussianProcess(places, values).predict(line)
    assert np.sqrt(np.mean((means + mean - wave(line)) ** 2)) < 0.3


def test_a_coordinate_that_does_not_matter_gets_a_greater_length():
    places, values, _ = seen(80)
    lengths = GaussianProcess(places, values)._lengths
    assert lengths[1] > lengths[0]


def test_its_prediction_is_that_of_the_formula():
    places, values, _ = seen(12)
    process = GaussianProcess(places, values)
    asked = np.random.default_rng(2).random((5, 2))

    def kernel(one, other):
        far = np.sqrt(5 * (((one[:, None] - other[None]) / process._lengths) ** 2).sum(axis=2))
        return (1 + far + far**2 / 3) * np.exp(-far)

    inverse = np.linalg.inv(kernel(places, places) + (process._noise + 1e-6) * np.eye(12))
    near = kernel(asked, places)
    means, covariance = process.predict(asked)
    assert means == pytest.approx(near @ inverse @ values)
    variance = values @ inverse @ values / 12
    assert covariance == pytest.approx(variance * (kernel(asked, asked) - near @ inverse @ near.T), abs=1e-5)


def test_what_it_may_be_at_places_side_by_side_goes_together():
    places, values, _ = seen(20)
    _, covariance = GaussianProcess(places, values).predict(np.array([[0.5, 0.5], [0.501, 0.5], [0.0, 1.0]]))
    deviations = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviations, deviations)
    assert correlation[0, 1] > 0.99
    assert abs(correlation[0, 2]) < 0.8


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_alike_values_or_no_coordinates_are_enough(count):
    for places in (np.zeros((count, 0)), np.full((count, 3), 0.5)):
        means, covariance = GaussianProcess(places, np.zeros(count)).predict(places)
        assert means == pytest.approx(0)
        assert np.isfinite(covariance).all()
