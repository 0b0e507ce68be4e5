"""A trainer as a worker has it, with a small network, and the jobs that tests give it."""

import keras
import numpy as np
import pytest

from search.blobs import FolderBlobs
from search.checkpoints import Checkpoints
from search.messages import Task, TrainJob, TrialFailed, Workload
from search.training import KerasTrainer

PARAMS = {
    "batch_size": 16,
    "loss": "sparse_categorical_crossentropy",
    "optimizer": "adam",
    "learning_rate": 0.01,
    "precision": "float32",
    "jit_compile": "auto",
    "layers": 1,
    "units": 8,
    "dropout": 0.3,
    "l1": 1e-4,
}
COMPILED = pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch trains by `fit`, step by step")
ROWS = 72  # four batches of 16 and a remainder of 8


def make_blobs(folder, validation=30):
    """Three classes of 4 x 4 images that a small network tells apart within some epochs."""
    rng, blobs = np.random.default_rng(0), FolderBlobs(folder)
    for name, rows in (("train", ROWS), ("validation", validation)):
        y = (np.arange(rows) % 3).astype(np.int32)
        x = rng.integers(0, 80, (rows, 4, 4)) + 80 * y[:, None, None]
        blobs.put_array(f"data/x_{name}.npy", x.astype(np.uint8))
        blobs.put_array(f"data/y_{name}.npy", y)
    return blobs


def make_trainer(blobs, **changes):
    return KerasTrainer(make_workload(blobs, **changes))


def make_workload(blobs, **changes):
    told = {
        "blobs": blobs.address(),
        "model": "mlp",
        "monitor": "val_accuracy",
        "direction": "maximize",
        "classes": 3,
        "scale": 1 / 255,
        "offset": 0.0,
        "threads": 1,
        "resident_bytes": 10**9,
        "epochs": 5,
    }
    return Workload(**told | changes)


def train(trainer, to_epoch, params=PARAMS, *, trial=0, seed=5, known=0, structure="s", data="train", pause_at=99):
    """Train one trial that doesn't fail; its epochs' metrics."""
    events = job_events(trainer, to_epoch, params, trial, seed, known, structure, data, pause_at)
    for event in events:
        assert not isinstance(event, TrialFailed), event.details
    return [event.metrics for event in events]


def kept(trainer, params=PARAMS):
    """The checkpoint of trial 0."""
    task = Task(trial=0, folder="trials/0", params=params, seed=5)
    return Checkpoints(trainer._blobs, task.folder, task.identity).load()


def job_events(trainer, to_epoch, params, trial=0, seed=5, known=0, structure="s", data="train", pause_at=99):
    return cohort_events(trainer, to_epoch, {trial: params}, seed - trial, known, structure, data, pause_at)


def cohort_events(trainer, to_epoch, params, seed=5, known=0, structure="s", data="train", pause_at=99):
    """What is told of a job of several trials: params by number; a trial's seed is `seed` plus its number."""
    tasks = [
        Task(trial=trial, folder=f"trials/{trial}", params=own, seed=seed + trial, known_epochs=known)
        for trial, own in params.items()
    ]
    events = []
    job = TrainJob(structure=structure, tasks=tasks, to_epoch=to_epoch, data=data)
    trainer.train(job, events.append, lambda: len(events) >= pause_at)
    return events


def train_cohort(trainer, to_epoch, params, **options):
    """Train trials that don't fail together; each one's metrics, epoch by epoch."""
    epochs = {trial: [] for trial in params}
    for event in cohort_events(trainer, to_epoch, params, **options):
        assert not isinstance(event, TrialFailed), event.details
        epochs[event.trial].append(event.metrics)
    return epochs


def assert_equal(ours, theirs, tolerance=1e-5):
    assert [sorted(epoch) for epoch in ours] == [sorted(epoch) for epoch in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(other, abs=tolerance)
