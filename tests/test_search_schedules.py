"""Learning rates over a training, against Keras's own schedules."""

import keras
import numpy as np
import pytest

from search.errors import SearchError
from search.optimizers import keras_optimizer
from search.scalars import Scalars, make_optimizer
from search.schedules import Schedule, Span

pytestmark = pytest.mark.backend

SPAN = Span(epochs=12, steps=5)
STEPS = range(60)


def rates(schedule) -> list[float]:
    return [float(np.asarray(schedule(step))) for step in STEPS]


def ours(kind: str, by_step: bool = True, **numbers: float) -> list[float]:
    return rates(Schedule(kind, SPAN, by_step, {"learning_rate": 0.1, **numbers}))


def test_a_step_schedule_is_keras_s_staircase():
    expected = keras.optimizers.schedules.ExponentialDecay(0.1, 7, 0.5, staircase=True)
    np.testing.assert_allclose(ours("step", schedule_every=7, schedule_factor=0.5), rates(expected), rtol=1e-6)


def test_a_step_schedule_that_acts_a_few_times_is_keras_s_piecewise_constant():
    expected = keras.optimizers.schedules.PiecewiseConstantDecay([19, 39], [0.1, 0.01, 0.001])  # up to 19, not below
    np.testing.assert_allclose(ours("step", schedule_every=20, schedule_times=2), rates(expected), rtol=1e-6)


def test_an_exponential_schedule_is_keras_s_exponential_decay():
    expected = keras.optimizers.schedules.ExponentialDecay(0.1, 7, 0.5)
    np.testing.assert_allclose(ours("exponential", schedule_every=7, schedule_factor=0.5), rates(expected), rtol=1e-6)


def test_a_cosine_is_keras_s_cosine_and_takes_the_whole_run_unless_told():
    expected = keras.optimizers.schedules.CosineDecay(0.1, 60, alpha=0.2)
    np.testing.assert_allclose(ours("cosine", schedule_factor=0.2), rates(expected), atol=1e-7)
    shorter = keras.optimizers.schedules.CosineDecay(0.1, 30)
    np.testing.assert_allclose(ours("cosine", schedule_every=30), rates(shorter), atol=1e-7)


@pytest.mark.parametrize("kind", ["step", "exponential", "cosine"])
def test_a_schedule_by_epochs_changes_between_epochs_alone(kind):
    numbers = {"schedule_every": 4, "schedule_factor": 0.5}
    by_epoch, by_step = ours(kind, by_step=False, **numbers), ours(kind, by_step=True, **numbers)
    for step in STEPS:
        assert by_epoch[step] == by_step[step // 5]


def test_the_rate_is_divided_by_ten_once_after_the_tenth_epoch():
    found = ours("step", by_step=False, schedule_every=10, schedule_times=1)
    np.testing.assert_allclose(found, [0.1] * 50 + [0.01] * 10, rtol=1e-6)


def test_whole_numbers_of_steps_are_not_rounded_in_a_long_training():
    schedule = Schedule("step", Span(), True, {"learning_rate": 1.0, "schedule_every": 3, "schedule_times": 10**6})
    before = [int(np.asarray(schedule._acted(np.int32(3 * n - 1)))) for n in (5, 333_333, 999_999)]
    assert before == [4, 333_332, 999_998]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_numbers_of_a_schedule_are_variables_of_the_optimizer(name):
    first = {"schedule": "step", "schedule_every": 2, "schedule_factor": 0.5, "learning_rate": 0.1, "momentum": 0.5}
    second = first | {"schedule_every": 3, "schedule_factor": 0.1, "learning_rate": 0.2}
    scalars = Scalars.variable(first)
    optimizer = make_optimizer(name, first, scalars)
    scalars.assign(second)
    momentum = {"momentum": 0.5} if name == "sgd" else {}
    plain = keras_optimizer(name)(Schedule("step", Span(), False, second), **momentum)
    weights = []
    for one in (optimizer, plain):
        variable = keras.Variable([1.0, 2.0])
        for _ in range(8):
            one.apply([keras.ops.convert_to_tensor([0.3, -0.4])], [variable])
        weights.append(np.asarray(variable))
    np.testing.assert_allclose(*weights, rtol=1e-6)
    names = {variable.name for variable in optimizer.variables}
    assert {"scalar_learning_rate", "scalar_schedule_every", "scalar_schedule_factor"} <= names
    assert "learning_rate" not in names


def test_a_schedule_that_there_is_not_is_refused_with_those_there_are():
    params = {"schedule": "cosin"}
    with pytest.raises(SearchError, match='schedule: unknown "cosin"; did you mean "cosine"'):
        make_optimizer("adam", params, Scalars.variable(params))
