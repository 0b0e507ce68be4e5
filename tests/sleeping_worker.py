"""A worker that sleeps instead of training: real processes, real checkpoints, no Keras.

A trial's accuracy after an epoch follows from its learning rate and its seed alone. The environment may say
how long an epoch takes (SLEEP_SECONDS), after which epoch nothing gets better (PEAK), how many trials it takes
together (COHORT), on which device it is, as all numbers depend on it (DEVICE), which trial misbehaves, and how
(MISBEHAVE, "number:epoch:how"; "retrained:epoch:how"; "all:epoch:how"; "start:how"), and where to note every epoch that
is begun (EPOCHS).
"""

import ctypes
import io
import math
import os
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np

from search.blobs import open_blobs
from search.checkpoints import Checkpoints
from search.messages import EpochDone, JobDone, Ready, TrialFailed
from search.progress import Progress
from search.worker import serve

SECONDS = float(os.environ.get("PYTHON_SLEEP_SECONDS", "0"))
PEAK = float(os.environ.get("PYTHON_PEAK", "inf"))
COHORT = int(os.environ.get("PYTHON_COHORT", "1"))
DEVICE = int(os.environ.get("PYTHON_DEVICE", "0"))
MISBEHAVE = os.environ.get("PYTHON_MISBEHAVE", "")
EPOCHS = os.environ.get("PYTHON_EPOCHS")


def accuracy(params, seed, epoch):
    """Between 0 and 1: better near a learning rate of 0.01, rising with epochs, a little noise by seed."""
    epoch = int(min(epoch, PEAK))
    distance = abs(math.log10(params["learning_rate"]) + 2)
    noise = np.random.default_rng([seed, epoch, DEVICE]).normal(0, 0.002)
    return float(np.clip(0.95 - 0.2 * distance - 0.5 * math.exp(-epoch / 4) + noise, 0, 1))


class SleepingTrainer:
    def __init__(self, workload):
        self.workload = workload
        self.blobs = open_blobs(workload.blobs)

    def train(self, job, report, paused):
        """Like the trainers that take cohorts: all trials of the job train their next epoch, then all the next."""
        if f"{job.tasks[0].trial}:idle" == MISBEHAVE:
            return JobDone(weights=1000)
        members = [Member(self.workload, self.blobs, job, task, report) for task in job.tasks]
        while any(member.going for member in members) and not paused():
            going = [member for member in members if member.going]
            for member in going:
                member.begin()
            time.sleep(SECONDS)
            for member in going:
                member.train()
        return JobDone(weights=1000)

    def evaluate(self, job):
        (value,) = Checkpoints(self.blobs, job.task.folder).best(job.best_epoch)
        assert len(self.blobs.array(job.x)) == len(self.blobs.array(job.y))
        return JobDone(metrics={"accuracy": float(value[0]) - 0.01, "loss": 1.0}, weights=1000)

    def export(self, job):
        self.blobs.put(job.output, b"a model")
        return JobDone(weights=1000)

    def predict(self, job):
        rows = len(self.blobs.array(job.x))
        file = io.BytesIO()
        chances = np.full((rows, self.workload.classes), 1 / self.workload.classes, np.float32)
        kernel = np.ones((2, 3), np.float32)
        told = {"names": [["dense", "kernel"]], "layers": [["dense", "Dense", "3", "6"]], "weight:0": kernel}
        np.savez(file, probabilities=chances, **told)
        self.blobs.put(job.output, file.getvalue())
        return JobDone()


class Member:
    """A trial of a cohort."""

    def __init__(self, workload, blobs, job, task, report):
        self.workload, self.job, self.task, self.report = workload, job, task, report
        self.checkpoints = Checkpoints(blobs, task.folder, task.identity)
        found = self.checkpoints.load()
        self.progress = found[0] if found else Progress()
        self.failed = False
        for epoch in task.untold(self.progress.epoch):
            metrics = self.progress.at(epoch)
            report(EpochDone(trial=task.trial, epoch=epoch, metrics=metrics, seconds=1.0 * epoch))

    @property
    def going(self):
        rule = self.workload.early_stopping
        stopped = rule is not None and rule.stopped(self.progress.history) is not None
        return self.progress.epoch < self.job.to_epoch and not self.failed and not stopped

    def begin(self):
        if EPOCHS:
            with Path(EPOCHS).open("a") as file:
                file.write(f"{self.task.folder} {self.progress.epoch + 1}\n")

    def train(self):
        trial, epoch = self.task.trial, self.progress.epoch + 1
        number = "retrained" if self.task.folder.startswith("retrained") else str(trial)
        try:
            misbehave(number, str(epoch))
        except ValueError as told:
            self.failed = True
            for _ in range(2):  # the supervisor ignores the second
                self.report(TrialFailed(trial=trial, reason=f"ValueError: {told}", details="a traceback"))
            return
        value = accuracy(self.task.params, self.task.seed, epoch)
        metrics = {"train_accuracy": value, "train_loss": 1 - value}
        if self.job.data == "train":
            metrics |= {"val_accuracy": value, "val_loss": 1 - value}
        before = self.progress.best_epoch
        seconds = 3.0 if self.task.record else 1.0
        self.progress = self.progress.after(metrics, self.workload.monitor, self.workload.direction, seconds)
        best = [np.float32([value])] if self.progress.best_epoch != before else None
        self.checkpoints.save(self.progress, [np.float32([value])], best)
        misbehave(number, f"{epoch} saved")
        self.report(EpochDone(trial=trial, epoch=epoch, metrics=metrics, seconds=self.progress.seconds))


def misbehave(*where):
    """Do what the environment says, once a run of the tests unless "always"."""
    *at, how = MISBEHAVE.split(":")
    mark = Path(os.environ.get("PYTHON_MISBEHAVE_MARK", "/nowhere/mark"))
    if tuple(at) not in (where, ("all", *where[1:])) or (mark.exists() and not how.startswith("always")):
        return
    if mark.parent.is_dir():
        mark.touch()
    DEEDS[how.removeprefix("always-")]()


def fail():
    """What is the trial's own fault."""
    raise ValueError("told to")


def write_half():
    """Be killed in the middle of writing the next file."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


def load():
    """Wait for ever for a process that reads data."""
    child = os.fork()
    time.sleep(1e6) if not child else os.waitpid(child, 0)


def exhaust():
    """Take memory until there is none."""
    taken = []
    while True:
        taken.append(np.ones(1_000_000))


DEEDS = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "exit": lambda: os._exit(0),
    "exit-3": lambda: os._exit(3),
    "crash": lambda: ctypes.string_at(0),
    "error": lambda: 1 / 0,
    "half": write_half,
    "load": load,
    "exhaust": exhaust,
    "raise": fail,
    "": lambda: None,
}


def make_trainer(workload):
    return SleepingTrainer(workload), Ready(backend="none", devices=[], versions={}, seconds=0.0, cohort=COHORT)


if __name__ == "__main__":
    misbehave("start")
    if MISBEHAVE == "start":
        sys.exit("no such library")
    serve(make_trainer)
