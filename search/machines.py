"""A compiled model and what trains it: one for all trials of a structure in a worker."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from search.messages import Task
from search.models import TRAINING, is_width
from search.models.weights import initialise
from search.programs import COHORT, Alone, Cohort, InTurn, Kin, Program, Tensors, faster_together, write
from search.recording import Recorder
from search.scalars import Scalars, is_scalar

if TYPE_CHECKING:
    from search.own_fit import OwnFit

_KEPT = 48  # a traced program of a small model holds a few megabytes
_OF_VALIDATION = {"jit_compile", "label_smoothing", "loss", "precision"}  # of the parameters of training


@dataclass(frozen=True)
class Kinship:
    """Which models can share traces: those with equal keys, which differ in widths and variable numbers alone.

    Attributes:
        training: Key of the trace of a training epoch.
        validation: Key of the trace of a validation, in which the optimizer has no part.
    """

    training: str
    validation: str

    @classmethod
    def of(cls, params: dict[str, Any], scalars: Scalars) -> Kinship:
        """The keys of the model for some params; `scalars` tells which of them are variables of it."""
        varies = {name for name, value in params.items() if name in scalars.names or is_width(name, value)}
        counts = {name: None if name in varies else value for name, value in params.items()}
        judged = {name: value for name, value in counts.items() if name not in TRAINING - _OF_VALIDATION}
        return cls(json.dumps(counts, sort_keys=True), json.dumps(judged, sort_keys=True))


@dataclass(frozen=True)
class Machine:
    """A compiled model of one structure, which trials of that structure use one after the other."""

    model: keras.Model
    scalars: Scalars
    program: Program
    labels: Callable[[NDArray[np.int32]], NDArray[Any]] = np.asarray  # class numbers as the loss takes them
    own_fit: OwnFit | None = None
    kinship: Kinship | None = None  # None for models that share no traces

    def prepare(self, params: dict[str, Any], seed: int) -> None:
        """Make it a new trial's: its scalar parameters, initial weights from its seed, a fresh optimizer."""
        initialise(self.model, seed)
        self.scalars.assign(params)

    def resume(self, params: dict[str, Any], tensors: Tensors) -> None:
        """Make it a trial's that has trained already: its scalar parameters, its weights and its optimizer.

        Another backend may have trained it, which counts steps by a smaller type.
        """
        self.scalars.assign(params)
        pairs = zip(self.state, tensors, strict=True)
        write(self.state, [tensor.astype(variable.dtype, copy=False) for variable, tensor in pairs])

    @cached_property
    def weight_count(self) -> int:
        """Numbers in the model's weights, its scalar parameters left out."""
        return sum(math.prod(variable.shape) for variable in self.model.weights if not is_scalar(variable))

    @cached_property
    def state(self) -> list[Any]:
        """The variables that a checkpoint keeps: the model's weights, then the optimizer's."""
        return [*self.model.weights, *self.model.optimizer.variables]

    @cached_property
    def generators(self) -> list[Any]:
        """The states of what dropout and augmentation draw from."""
        return [v for v in self.model.variables if v.name.endswith("seed_generator_state")]

    def cohort(self, tasks: Sequence[Task], recorder: Recorder | None = None, most: int = COHORT) -> Cohort:
        """For trials that train together; the seeds of one only where that is faster, else they take turns.

        Args:
            tasks: A task a trial.
            recorder: Trains in place of the program.
            most: Trainings at a time that the device's memory has room for.
        """
        places = sum(task.seeds for task in tasks)
        if recorder:
            return InTurn(recorder, [*self.state, *self.generators]) if places > 1 else Alone(recorder)
        if len(tasks) == 1 < places and (faster_together() == 1 or places > min(most, self.program.capacity)):
            return InTurn(self.program, [*self.state, *self.generators])
        return self.program.cohort()

    def take_weights(self, tensors: Tensors) -> None:
        """Set the model's weights."""
        write(self.model.weights, tensors)


class Machines(OrderedDict[str, Machine]):
    """The machines of a worker, by structure; those that were used longest ago give way to new ones."""

    def of(self, structure: str, make: Callable[[], Machine]) -> Machine:
        """The machine of a structure, made if there is none."""
        if structure not in self:
            while len(self) >= _KEPT:
                self.popitem(last=False)
            self[structure] = make()
        self.move_to_end(structure)
        return self[structure]

    def kin(self, params: dict[str, Any]) -> Kin:
        """The programs whose traces a new model, of some params, can use."""
        training = validation = None
        for machine in self.values():
            if machine.kinship is not None:
                own = Kinship.of(params, machine.scalars)
                training = machine.program if machine.kinship.training == own.training else training
                validation = machine.program if machine.kinship.validation == own.validation else validation
        return Kin(training, validation)
