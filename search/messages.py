"""What a supervisor and its workers say to each other: one JSON object a line."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from search.seeds import repeated
from spaces.parameters import Params
from studies.patience import EarlyStopping, Plateau
from studies.records import Direction

_SAY_NOTHING = {("class_weight", "none"), ("schedule", "none")}  # since the first release


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")  # as null it could not be read


class Workload(_Message):
    """What a worker must know of a study before its first job.

    Attributes:
        blobs: Address of the store of arrays and checkpoints.
        model: A family of search/models, or "package.module:function".
        monitor: The metric that decides the best epoch, with its "val_" prefix.
        direction: Of the monitor.
        classes: Number of classes.
        scale: With `offset`: the model computes x * scale + offset first; one number or one a channel.
        offset: See `scale`.
        threads: Processor threads for this worker.
        resident_bytes: Splits larger than this stay out of the device's memory; `fit` then streams them.
        epochs: Of a trial that goes all the way.
        early_stopping: When a trial ends before its last epoch; None for never.
        plateau: When its learning rate is reduced; None for never.
        paths: Folders where a user's own module may be found.
        own_fit: Whether a hypermodel may train by a `fit` of its own, which has one seed and records nothing.
    """

    type: Literal["workload"] = "workload"
    blobs: dict[str, str]
    model: str
    monitor: str
    direction: Direction
    classes: int
    scale: float | list[float]
    offset: float | list[float]
    threads: int
    resident_bytes: int
    epochs: int = 1
    early_stopping: EarlyStopping | None = None
    plateau: Plateau | None = None
    paths: list[str] = []
    own_fit: bool = True


class Task(_Message):
    """One trial of a job.

    Attributes:
        trial: Its number.
        folder: Where its checkpoints are.
        params: The plan's training section, overruled by the values drawn for the trial.
        seed: Its weights, shuffles and dropout masks follow from this and the epoch.
        known_epochs: Epochs that the supervisor has recorded.
        seeds: Trainings whose mean is the trial, the first with `seed`, the others with seeds that follow from it.
        record: Steps from one that is recorded to the next; 0 for no recording.
        reduced_after: Epochs after which the learning rate is reduced where no validation says so.
    """

    trial: int
    folder: str
    params: Params
    seed: int
    known_epochs: int = 0
    seeds: int = 1
    record: int = 0
    reduced_after: list[int] = []

    @property
    def each_seed(self) -> list[int]:
        """The seed of each training."""
        return repeated(self.seed, self.seeds)

    def untold(self, epochs: int) -> range:
        """The epochs of a checkpoint that are reported: those that the supervisor hasn't recorded.

        All, where it has recorded more than there are: they were trained elsewhere, and these may be others.
        """
        return range(1 if epochs < self.known_epochs else self.known_epochs + 1, epochs + 1)

    @property
    def identity(self) -> str:
        """Equal for equal params and seeds: what a checkpoint of this trial was made of.

        A key of [training] that came later and says nothing doesn't count: checkpoints from before it are the same.
        """
        told = {name: value for name, value in self.params.items() if (name, value) not in _SAY_NOTHING}
        return json.dumps([told, *self.each_seed], sort_keys=True)


class TrainJob(_Message):
    """Train a cohort, trials of one structure, until each has completed `to_epoch` epochs."""

    type: Literal["train"] = "train"
    structure: str
    tasks: list[Task]
    to_epoch: int
    data: Literal["train", "train+validation"] = "train"


class WeightsJob(_Message):
    """Do something with the best weights of a trial."""

    structure: str
    task: Task
    best_epoch: int


class EvaluateJob(WeightsJob):
    """Evaluate them on the rows of two arrays, `x` and `y`."""

    type: Literal["evaluate"] = "evaluate"
    x: str
    y: str


class ExportJob(WeightsJob):
    """Write them as a model that plain Keras loads."""

    type: Literal["export"] = "export"
    output: str


class PredictJob(WeightsJob):
    """Write what they make of the rows of an array: an .npz file.

    It holds "probabilities", shape (rows, classes), every weight as "weight:0", "weight:1", ..., "names", shape
    (weights, 2): of the layer and of the weight; and "layers", shape (layers, 4): name, kind, output and weights.
    """

    type: Literal["predict"] = "predict"
    x: str
    output: str


class Pause(_Message):
    """Stop at the end of the epoch under way; the checkpoints stay."""

    type: Literal["pause"] = "pause"


class Ready(_Message):
    """A worker has imported Keras and loaded its data.

    Attributes:
        backend: Keras's backend.
        devices: Accelerators by name; empty where it computes on cores.
        versions: Of keras and the backend.
        seconds: Since the process started.
        cohort: Trials of one structure that it trains together faster than one after the other.
        warning: What the user should know of it: a GPU that was expected and isn't seen.
    """

    type: Literal["ready"] = "ready"
    backend: str
    devices: list[str]
    versions: dict[str, str]
    seconds: float
    cohort: int = 1
    warning: str = ""


class EpochDone(_Message):
    """A trial has completed an epoch, and its checkpoint is written.

    Attributes:
        metrics: "train_loss", "val_accuracy", ... after this epoch.
        seconds: Training and validation so far, of all epochs.
    """

    type: Literal["epoch"] = "epoch"
    trial: int
    epoch: int
    metrics: dict[str, float]
    seconds: float


class TrialFailed(_Message):
    """A trial cannot go on: its own fault, so it isn't tried again."""

    type: Literal["failed"] = "failed"
    trial: int
    reason: str
    details: str = ""


class JobDone(_Message):
    """A job has ended: all its trials reached `to_epoch`, failed, or were paused before.

    Attributes:
        weights: Number of weights of the job's model; 0 where none was built.
        metrics: What an evaluation found: "loss", "accuracy", ...
        memory_bytes: What the worker has taken at most so far.
        note: What the user should know of the model, told once.
    """

    type: Literal["done"] = "done"
    weights: int = 0
    note: str = ""
    metrics: dict[str, float] = {}
    memory_bytes: int = 0


class Refused(_Message):
    """The study cannot be trained as it is written, or not on this machine as it is: told once, ends the search."""

    type: Literal["refused"] = "refused"
    message: str
    exit_code: int = 2


Job = TrainJob | EvaluateJob | ExportJob | PredictJob
Order = Workload | Job | Pause
Event = Ready | EpochDone | TrialFailed | JobDone | Refused

ORDERS: TypeAdapter[Order] = TypeAdapter(Annotated[Order, Field(discriminator="type")])
EVENTS: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])
