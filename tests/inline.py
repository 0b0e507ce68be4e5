"""Real training without a process for it: a worker that does its jobs where it is asked to, with real Keras."""

import numpy as np
from running import no_pictures, options

from search import open_run
from search.discovery import with_space
from search.errors import SearchError
from search.messages import Pause, Ready, Refused, Workload
from search.pool import Pool
from search.signals import StopRequest
from search.study import run_study
from search.telling import to_nobody
from search.worker import _do
from studies.plan import load_study


class InlineWorker:
    """Answers an order before `send` returns."""

    def __init__(self, post):
        self._post = post
        self._trainer = None

    def send(self, order):
        from search.training import KerasTrainer

        try:
            if isinstance(order, Workload):
                self._trainer = KerasTrainer(order)
                self._post(Ready(backend="inline", devices=[], versions={}, seconds=0.0))
            elif not isinstance(order, Pause):
                self._post(_do(self._trainer, order, self._post, lambda: False))
        except SearchError as problem:
            self._post(Refused(message=str(problem)))

    def kill(self):
        """There is no process."""

    def close(self, seconds):
        """There is no process."""


def use_inline_workers(monkeypatch):
    """Let studies of this process train in it."""
    monkeypatch.setattr(open_run, "start_pool", lambda *_: Pool(lambda slot, post: InlineWorker(post), 1))


def run_inline(study, out, *overrides, observe=to_nobody):
    """Run a study of the catalog, or a file, in this process; its record."""
    loaded, _ = with_space(load_study(str(study), overrides), "tensorflow")
    with no_pictures():
        return run_study(loaded, options(out), StopRequest(), observe)


def make_images(path, shape, classes=10, each=8):
    """A small .npz of random images, a little brighter from class to class."""
    rng, arrays = np.random.default_rng(0), {}
    for split, rows in (("train", each * classes), ("test", 2 * classes)):
        y = np.arange(rows) % classes
        noise = rng.integers(0, 100, (rows, *shape))
        arrays[f"x_{split}"] = (noise + 15 * y.reshape(-1, *[1] * len(shape))).astype(np.uint8)
        arrays[f"y_{split}"] = y
    np.savez(path, **arrays)
    return path
