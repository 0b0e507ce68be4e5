"""A seeded training of trials from rung to rung, epoch by epoch, with a checkpoint after each."""

from __future__ import annotations

import io
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from search.balance import class_weights
from search.blobs import Blobs, open_blobs
from search.checkpoints import Checkpoints
from search.errors import SearchError, Unusable
from search.failures import ends_search, failure
from search.losses import make_loss
from search.machines import Kinship, Machine, Machines
from search.members import Member, by_member, mean, part
from search.messages import (
    EpochDone,
    EvaluateJob,
    ExportJob,
    JobDone,
    PredictJob,
    Task,
    TrainJob,
    TrialFailed,
    WeightsJob,
    Workload,
)
from search.metrics import metrics_for, probabilities
from search.models import build, export, keras_file, weights_by_layer
from search.models.custom import import_function
from search.models.fitness import NOT_FOR_OWN_FIT
from search.models.purpose import Purpose
from search.models.summary import layer_rows
from search.programs import (
    COHORT,
    JIT_COMPILE,
    VALIDATION_BATCH,
    Cohort,
    DeviceArrays,
    Kin,
    Program,
    Tensors,
    build_program,
    faster_together,
    is_out_of_memory,
    making,
    read,
    write,
)
from search.programs.fit import FitProgram
from search.recording import Recorder
from search.scalars import Scalars, make_optimizer
from search.schedules import Span
from search.seeds import derive
from spaces.space import is_custom, is_hypermodel

if TYPE_CHECKING:
    from search.hypermodels import Hypermodels
    from search.own_fit import OwnFit

Report = Callable[[EpochDone | TrialFailed], None]
Data = tuple[DeviceArrays, DeviceArrays | None]  # to train on, and to validate by


class KerasTrainer:
    """What a worker does with its jobs; holds the data and the programs compiled so far."""

    def __init__(self, workload: Workload) -> None:
        sys.path[:0] = workload.paths
        self._hypermodels: Hypermodels | None = None
        if is_hypermodel(workload.model):
            from search.hypermodels import Hypermodels

            self._hypermodels = Hypermodels(workload)
        elif is_custom(workload.model):
            import_function(workload.model)  # refused now rather than by every trial
        self._workload = workload
        self._blobs: Blobs = open_blobs(workload.blobs)
        self._machines = Machines()
        self._arrays: dict[str, NDArray[Any]] = {}  # mapped
        self._on_device: dict[tuple[str, type, str], DeviceArrays] = {}
        self._most = COHORT  # trainings at a time that the device's memory has room for, as far as is known

    @property
    def cohort(self) -> int:
        """Trials that a job should hold at most."""
        return 1 if self._streams else faster_together()

    def train(self, job: TrainJob, report: Report, paused: Callable[[], bool]) -> JobDone:
        """Train every trial of the job to its epoch, as many at a time as the program can; report each epoch."""
        weights, left = 0, deque(job.tasks)
        while left and not paused():
            try:
                machine = self._machine(job.structure, left[0])
            except Exception as problem:
                if ends_search(problem):
                    raise
                report(failure(left.popleft(), problem))
                continue
            weights = machine.weight_count
            room = 1 if left[0].record else max(1, min(self._most, machine.program.capacity) // left[0].seeds)
            tasks = [left.popleft() for _ in range(min(len(left), room))]
            self._train_tasks(job, tasks, report, paused)
        return JobDone(weights=weights, note=self._hypermodels.news() if self._hypermodels else "")

    def evaluate(self, job: EvaluateJob) -> JobDone:
        """The metrics of a trial's best weights on two arrays, the mean over its seeds."""
        x, y = self._blobs.array(job.x), self._blobs.array(job.y)
        logs = []
        for place in range(job.task.seeds):
            machine = self._with_best_weights(job, place)
            logs.append(machine.program.validate(machine.program.to_device(x, machine.labels(y))))
        return JobDone(metrics=mean(logs), weights=machine.weight_count)

    def export(self, job: ExportJob) -> JobDone:
        """A trial's best weights as a `.keras` file of ordinary layers."""
        trained = self._with_best_weights(job).model
        model = export(self._workload.model, job.task.params, self._purpose, trained)
        self._blobs.put(job.output, keras_file(model), durable=True)
        return JobDone(weights=model.count_params())

    def predict(self, job: PredictJob) -> JobDone:
        """The probabilities that a trial's best weights give rows of an array, and the weights."""
        model = self._with_best_weights(job).model
        outputs = model.predict(np.asarray(self._blobs.array(job.x)), batch_size=VALIDATION_BATCH, verbose=0)
        weights = weights_by_layer(model)
        arrays: dict[str, Any] = {f"weight:{place}": read([weight])[0] for place, (_, weight) in enumerate(weights)}
        names = np.array([[layer, weight.name] for layer, weight in weights], str).reshape(-1, 2)
        file = io.BytesIO()
        np.savez(file, probabilities=probabilities(outputs), names=names, layers=layer_rows(model), **arrays)
        self._blobs.put(job.output, file.getvalue())
        return JobDone()

    def _train_tasks(self, job: TrainJob, tasks: Sequence[Task], report: Report, paused: Callable[[], bool]) -> None:
        """Train a cohort. After an error its trials go on from their checkpoints, each by itself: one may be at fault.

        If the device's memory ran out, they go on in cohorts of a fourth of the size, the largest from then on; the
        seeds of one trial may have to take turns. Trials that have failed are left out, and epochs that were told.
        """
        failed: set[int] = set()
        known = {task.trial: task.known_epochs for task in tasks}

        def told(event: EpochDone | TrialFailed) -> None:
            if isinstance(event, TrialFailed):
                failed.add(event.trial)
            else:
                known[event.trial] = event.epoch
            report(event)

        try:
            self._train_cohort(self._machine(job.structure, tasks[0]), job, tasks, told, paused)
            return
        except Exception as problem:
            if ends_search(problem):
                raise
            self._machines.pop(job.structure, None)
            size = self._next_size(tasks, problem)
            left = [task for task in tasks if task.trial not in failed]
            tasks = [task.model_copy(update={"known_epochs": known[task.trial]}) for task in left]
            if size == 0:
                for task in tasks:
                    report(failure(task, problem))
                return
        # not in the handler: while an error is handled it keeps alive what the cohort had on the device
        for begin in range(0, len(tasks), size):
            self._train_tasks(job, tasks[begin : begin + size], report, paused)

    def _next_size(self, tasks: Sequence[Task], problem: Exception) -> int:
        """How many of the trials to train together after an error; 0 if there is only one, which has failed then."""
        together = sum(task.seeds for task in tasks)
        if is_out_of_memory(problem) and 1 < together <= self._most:
            self._most = max(1, together // 4)
            return max(1, self._most // tasks[0].seeds)
        return 1 if len(tasks) > 1 else 0

    def _train_cohort(
        self, machine: Machine, job: TrainJob, tasks: Sequence[Task], report: Report, paused: Callable[[], bool]
    ) -> None:
        data = self._data(machine, job.data)
        if machine.own_fit is not None:
            member = self._enter(machine, machine.cohort(tasks, None), tasks[0], job.to_epoch, report)
            self._train_by_own_fit(machine, machine.own_fit, member, data, report, paused)
            return
        recorder = self._recorder(machine, tasks[0], *data) if tasks[0].record else None
        cohort = machine.cohort(tasks, recorder, self._most)
        members = [self._enter(machine, cohort, task, job.to_epoch, report) for task in tasks]
        while (going := sum(member.going for member in members)) and not paused():
            started = time.perf_counter()
            if recorder:
                recorder.begin(members[0].epoch)
            metrics = self._epoch(machine, cohort, members, data)
            seconds = (time.perf_counter() - started) / going
            if recorder:
                recorder.keep(self._blobs, tasks[0].folder)
            states = by_member(members, cohort.read(machine.state))
            for member, found, own in zip(members, metrics, states, strict=True):
                if member.going:
                    report(self._keep(machine, member, found, own, seconds))

    def _train_by_own_fit(
        self, machine: Machine, program: OwnFit, member: Member, data: Data, report: Report, paused: Callable[[], bool]
    ) -> None:
        """Train a trial by its hypermodel's `fit`; its random numbers follow from the epoch at which a call begins."""

        def told(logs: dict[str, float], seconds: float) -> bool:
            metrics = program.metrics(logs, data[1], self._workload.monitor)
            report(self._keep(machine, member, metrics, [read(machine.state)], seconds))
            return member.going and not paused()

        def seeded() -> None:
            keras.utils.set_random_seed(derive(member.task.seed, member.epoch))
            states = [member.generator_states(index, one.dtype)[0] for index, one in enumerate(machine.generators)]
            write(machine.generators, states)

        if member.task.seeds > 1 or member.task.record:
            raise Unusable(NOT_FOR_OWN_FIT)
        beside = data[1] or self._resident(machine, "validation")  # trained on as well: what it says is left out
        program.stretch(data[0], beside, member.progress.epoch, member.to_epoch, self._workload.monitor, told, seeded)

    def _enter(self, machine: Machine, cohort: Cohort, task: Task, to_epoch: int, report: Report) -> Member:
        """Take a trial up where its checkpoint stands, telling what the supervisor hasn't recorded of it."""
        checkpoints = Checkpoints(self._blobs, task.folder, task.identity)
        member, state = Member(task, checkpoints, to_epoch, self._workload.early_stopping), None
        if (found := member.checkpoints.load()) is not None:
            member.progress, state = found
            for epoch in task.untold(member.progress.epoch):
                report(member.told(epoch))
        for place, seed in enumerate(task.each_seed):
            if state is None:
                machine.prepare(task.params, seed)
            else:
                machine.resume(task.params, part(state, place, task.seeds))
            cohort.enter()
        return member

    def _epoch(self, machine: Machine, cohort: Cohort, members: Sequence[Member], data: Data) -> list[dict[str, float]]:
        """One epoch more of every member; each one's metrics."""
        train, validation = data
        for index, state in enumerate(machine.generators):
            values = [value for member in members for value in member.generator_states(index, state.dtype)]
            cohort.assign(state, values)
        if self._workload.plateau:
            rates = [rate for member in members for rate in member.learning_rates(self._workload.plateau)]
            cohort.assign(machine.model.optimizer.learning_rate, rates)
        logs = cohort.train(train, [order for member in members for order in member.orders(train.rows)])
        metrics = [_prefixed("train_", log) for log in logs]
        if validation is not None:
            pairs = zip(metrics, cohort.validate(validation), strict=True)
            metrics = [ours | _prefixed("val_", log) for ours, log in pairs]
            if all(member.epoch == 1 for member in members):
                self._require_monitor(metrics[0])
        return [self._summed_up(own) for own in by_member(members, metrics)]

    def _summed_up(self, metrics: Sequence[dict[str, float]]) -> dict[str, float]:
        """The mean over a trial's seeds, and the standard deviation of the monitor."""
        monitor = self._workload.monitor
        if len(metrics) == 1 or monitor not in metrics[0]:
            return mean(metrics)
        spread = float(np.std([one[monitor] for one in metrics], ddof=1))
        return mean(metrics) | {f"{monitor}_spread": spread}

    def _keep(
        self, machine: Machine, member: Member, metrics: dict[str, float], states: Sequence[Tensors], seconds: float
    ) -> EpochDone | TrialFailed:
        """Write down what a member's epoch brought, the states of its seeds one after the other; the news of it."""
        wrong = [f"{name} is {value}" for name, value in metrics.items() if not math.isfinite(value)]
        if member.progress.epoch:
            wrong += [f"{name} is not reported" for name in sorted(member.progress.history.keys() ^ metrics.keys())]
        if wrong:
            member.failed = True
            return TrialFailed(trial=member.task.trial, reason=f"{wrong[0]} at epoch {member.epoch}")
        best, workload = member.progress.best_epoch, self._workload
        member.progress = member.progress.after(metrics, workload.monitor, workload.direction, seconds)
        count = len(machine.model.weights) if member.progress.best_epoch != best else 0
        weights = [tensor for state in states for tensor in state[:count]] or None
        everything = [tensor for state in states for tensor in state]
        member.checkpoints.save(member.progress, everything, weights, durable=not member.going)
        return member.told(member.progress.epoch)

    def _require_monitor(self, metrics: dict[str, float]) -> None:
        if self._workload.monitor not in metrics:
            raise Unusable(
                f"objective.monitor: the model doesn't report it ({self._workload.monitor!r}); "
                f"it reports {', '.join(sorted(metrics))}"
            )

    def _data(self, machine: Machine, data: str) -> Data:
        return self._resident(machine, data), self._resident(machine, "validation") if data == "train" else None

    def _resident(self, machine: Machine, name: str) -> DeviceArrays:
        x, y = self._split(name)
        labels = machine.labels(y)
        key = (name, type(machine.program), labels.dtype.name)
        if key not in self._on_device:
            self._on_device[key] = machine.program.to_device(x, labels)
        return self._on_device[key]

    def _split(self, name: str) -> tuple[NDArray[Any], NDArray[np.int32]]:
        if name == "train+validation":
            pairs = zip(self._split("train"), self._split("validation"), strict=True)
            x, y = (np.concatenate(pair) for pair in pairs)
            return x, y
        return self._array(f"data/x_{name}.npy"), self._array(f"data/y_{name}.npy")

    def _array(self, key: str) -> NDArray[Any]:
        if key not in self._arrays:
            try:
                self._arrays[key] = self._blobs.array(key)
            except KeyError:
                raise SearchError(f"{key}: gone from the study's folder; run it again", exit_code=3) from None
        return self._arrays[key]

    def _machine(self, structure: str, task: Task) -> Machine:
        return self._machines.of(structure, lambda: self._build(task))

    def _build(self, task: Task) -> Machine:
        params = task.params
        keras.config.set_dtype_policy(params["precision"])
        if self._hypermodels is not None:
            return self._hypermodels.machine(params, self._purpose, self._program)
        scalars, kin = Scalars.variable(params), self._machines.kin(params)
        with making(kin):
            model = build(self._workload.model, params, self._purpose, scalars, seed=None)
            model.compile(
                optimizer=make_optimizer(str(params["optimizer"]), params, scalars, self._span(params)),
                loss=make_loss(str(params["loss"]), self._workload.classes, scalars),
                metrics=metrics_for(self._workload.monitor, self._workload.classes),
                jit_compile=JIT_COMPILE,
            )
            program = self._program(model, params, kin)
        kinship = None if is_custom(self._workload.model) else Kinship.of(params, scalars)  # whose widths have any name
        return Machine(model, scalars, program, kinship=kinship)

    def _program(self, model: keras.Model, params: dict[str, Any], kin: Kin | None = None) -> Program:
        """Whole epochs on the device where the data fits there, else `fit`, which streams it."""
        batch_size, jit_compile = int(params["batch_size"]), params["jit_compile"] is True
        weights = self._class_weights(params)
        if self._streams:
            return FitProgram(model, batch_size, weights, jit_compile=jit_compile)
        return build_program(model, batch_size, jit_compile=jit_compile, class_weights=weights, kin=kin)

    def _span(self, params: dict[str, Any]) -> Span:
        rows = len(self._split("train")[1])
        return Span(self._workload.epochs, math.ceil(rows / int(params["batch_size"])))

    def _recorder(self, machine: Machine, task: Task, train: DeviceArrays, validation: DeviceArrays | None) -> Recorder:
        steps, weights = math.ceil(train.rows / int(task.params["batch_size"])), self._class_weights(task.params)
        jit_compile = task.params["jit_compile"] is True
        program, model = machine.program, machine.model
        return Recorder(program, model, validation, task.record, steps, weights, jit_compile=jit_compile)

    def _class_weights(self, params: dict[str, Any]) -> NDArray[np.float32] | None:
        """What each class weighs, by the training split: shape (classes,); a hypermodel reads its params alone."""
        if self._hypermodels is not None or params.get("class_weight") != "balanced":
            return None
        return class_weights(self._split("train")[1], self._workload.classes)

    @property
    def _streams(self) -> bool:
        """Whether the data is too large for the device."""
        return self._split("train")[0].nbytes > self._workload.resident_bytes

    @property
    def _purpose(self) -> Purpose:
        """What the study's models are built for."""
        (x, _), workload = self._split("train"), self._workload
        folder = Path(workload.paths[0]) if workload.paths else Path()
        return Purpose(x.shape[1:], x.dtype.name, workload.classes, workload.scale, workload.offset, folder)

    def _with_best_weights(self, job: WeightsJob, place: int = 0) -> Machine:
        """The trial's model with the best weights of one of its seeds."""
        machine = self._machine(job.structure, job.task)
        machine.prepare(job.task.params, job.task.each_seed[place])
        best = Checkpoints(self._blobs, job.task.folder).best(job.best_epoch)
        machine.take_weights(part(best, place, job.task.seeds))
        return machine


def _prefixed(prefix: str, logs: dict[str, float]) -> dict[str, float]:
    return {f"{prefix}{name}": value for name, value in logs.items()}
