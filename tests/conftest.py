"""What every test finds as the first one did."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _plain_precision():
    """Trainers set the precision of the whole process; the next test starts with Keras's own."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].config.set_dtype_policy("float32")
