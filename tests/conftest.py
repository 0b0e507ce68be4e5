"""What every test finds as the first one did."""

import gc
import importlib.util
import os
import sys
from tempfile import TemporaryDirectory

import postgres as servers
import pytest

# What JAX compiles serves all tests of a run, and none of another: compiling took half of the time.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compiled = TemporaryDirectory(prefix="toprung-tests-compiled-")  # pytest's own; its processes get it from there
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")  # a GPU's usual one is not good to five digits
gc.set_threshold(100_000)  # as the commands do: with Python's own a tenth of the time went into looking for garbage


# The files that take longest, which begin first: else one process has half a minute left when the others are through.
LONGEST = [
    *("search_whole", "search_training", "search_run", "search_hypermodels"),
    *("faults_processes", "studies_store_postgres", "catalog_experiments"),
]


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest."""
    places = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(autouse=True)
def _plain_precision():
    """Trainers set the precision of the whole process; the next test starts with Keras's own."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def undisturbed_run(tmp_path_factory):
    """A run of the tiny study with one worker: its record, what was told while it ran, and its folder of runs."""
    from running import make_study, run

    folder, told = tmp_path_factory.mktemp("undisturbed"), []
    record = run(make_study(folder), folder / "runs", observe=lambda kind, **fields: told.append((kind, fields)))
    return record, told, folder / "runs"


@pytest.fixture(scope="session")
def undisturbed(undisturbed_run):
    """The record of that run: what any other must come to, whatever happens to it."""
    return undisturbed_run[0]


@pytest.fixture
def blobs(tmp_path):
    """Data to train on, and a place for checkpoints."""
    from trainers import make_blobs

    return make_blobs(tmp_path)


@pytest.fixture
def trainer(blobs):
    """What trains a small network on them."""
    from trainers import make_trainer

    return make_trainer(blobs)


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
