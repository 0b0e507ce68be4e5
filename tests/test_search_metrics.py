import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from search.metrics import numbers


def test_a_metric_has_the_digits_that_its_float32_has():
    logs = {"accuracy": np.float32(35 / 36), "half": np.float32(0.5), "mean": 35 / 36, "rows": 123456792.0}
    assert numbers(logs) == {"accuracy": 0.9722222, "half": 0.5, "mean": 35 / 36, "rows": 123456792.0}
    assert math.isnan(numbers({"loss": np.float32("nan")})["loss"])
    assert numbers({"loss": np.float32("-inf"), "large": 1e300}) == {"loss": -math.inf, "large": 1e300}


@given(st.floats(width=32, allow_nan=False))
def test_no_float32_is_lost_and_their_order_stays(value):
    (told,) = numbers({"loss": value}).values()
    assert np.float32(told) == np.float32(value)
    assert numbers({"loss": told})["loss"] == told
