"""What every test finds as the first one did."""

import importlib.util
import os
import sys

import postgres as servers
import pytest

os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # no test finds what another has compiled
os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")  # a GPU's usual one is not good to five digits


@pytest.fixture(autouse=True)
def _plain_precision():
    """Trainers set the precision of the whole process; the next test starts with Keras's own."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server that runs."""
    found = servers.programs()
    if found is None or importlib.util.find_spec("psycopg") is None:
        pytest.skip("no PostgreSQL server: apt-get install postgresql, pip install 'toprung[postgres]'")
    server = servers.Server(found)
    try:
        server.start()
        yield server
    finally:
        server.remove()
