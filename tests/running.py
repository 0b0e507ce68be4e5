"""Studies that run in seconds: a tiny npz file, a small space, workers that sleep instead of training."""

import dataclasses
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from reports.canvas import Chart
from search.open_run import Options
from search.signals import StopRequest
from search.study import run_study
from search.telling import to_nobody
from studies.plan import load_study
from studies.store import Store, sqlite_url

SLEEPING_WORKER = (sys.executable, str(Path(__file__).with_name("sleeping_worker.py")))

SPACE = """
model = "mlp"
[parameters]
units = { type = "int", low = 32, high = 128, log = true, step = 2 }
optimizer = { type = "categorical", choices = ["adam", "sgd"] }
learning_rate = { type = "float", low = 1e-4, high = 1e-1, log = true }
momentum = { type = "float", low = 0.0, high = 0.9, when = { optimizer = "sgd" } }
"""

STUDY = """
name = "tiny"
space = "space.toml"
[data]
source = "data.npz"
[hyperband]
max_resource = 9
[budget]
trials = 12
[retrain]
seeds = 2
"""


def make_study(folder, *, study=STUDY, space=SPACE, test_seed=1):
    """Write a study, its space and its data; the path of the study."""
    folder.mkdir(parents=True, exist_ok=True)
    train, test = np.random.default_rng(0), np.random.default_rng(test_seed)
    np.savez(
        folder / "data.npz",
        x_train=train.integers(0, 256, (60, 4, 4), dtype=np.uint8),
        y_train=np.arange(60) % 3,
        x_test=test.integers(0, 256, (30, 4, 4), dtype=np.uint8),
        y_test=np.arange(30) % 3,
    )
    (folder / "space.toml").write_text(space)
    path = folder / "study.toml"
    path.write_text(study)
    return path


def options(out, workers=1, worker_command=SLEEPING_WORKER):
    store = sqlite_url(Path(out).absolute() / "studies.db")
    return Options(Path(out), store, workers=workers, worker_command=worker_command)


def no_pictures():
    """Reports have frames in place of their pictures."""
    return patch.object(Chart, "svg", lambda _: "<svg/>")


def run(path, out, *overrides, workers=1, observe=to_nobody, stop=None, worker_command=SLEEPING_WORKER, pictures=False):
    """Run a study in this process; its record. The report's pictures are drawn if asked: they take the most time."""
    loaded = load_study(str(path), overrides)
    with nullcontext() if pictures else no_pictures():
        return run_study(loaded, options(out, workers, worker_command), stop or StopRequest(), observe)


def stored(out, name="tiny"):
    """What the store of a run holds."""
    with Store.open(options(out).store, create=False) as store:
        return store.load(name)


def outcome(record):
    """All of a study that must not depend on interruptions: everything but times."""
    trials = [dataclasses.replace(trial, seconds=0.0, started=None, ended=None) for trial in record.trials]
    retrained = [dataclasses.replace(again, seconds=0.0) for again in record.retrained]
    return trials, retrained


def at_epoch(count, act):
    """An observer of a run that does something when so many epochs are done."""
    told = []

    def observe(kind, **_):
        told.append(kind)
        if kind == "epoch" and told.count("epoch") == count:
            act()

    return observe


RUNNER = "import sys; sys.path.insert(0, {tests!r}); from running import run; run({path!r}, {out!r}, *{overrides!r})"


def start_process(path, out, *overrides):
    """Run a study in a process of its own."""
    tests = str(Path(__file__).parent)
    code = RUNNER.format(tests=tests, path=str(path), out=str(out), overrides=overrides)
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True, cwd=Path(tests).parent)


def times_open(path):
    """How often this process has a file open."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("this system doesn't tell which files are open")
    links = [os.path.realpath(descriptor) for descriptor in descriptors.iterdir()]
    return links.count(os.path.realpath(path))
