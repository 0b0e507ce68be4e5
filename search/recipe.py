"""How the params of a trial become a worker's task."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

from search.messages import Task
from search.models import is_width
from search.seeds import derive
from spaces.parameters import Params
from spaces.space import OF_HYPERMODELS
from studies.files import trial_folder
from studies.plan import LoadedStudy
from studies.records import TrialRecord


@dataclass(frozen=True)
class Recipe:
    """What a study adds to the params of its trials.

    Attributes:
        loaded: The study.
        backend: Keras's, of the workers.
    """

    loaded: LoadedStudy
    backend: str = "tensorflow"

    def completed(self, params: Params) -> Params:
        """A trial's params, and the plan's values of those that its space leaves to the plan."""
        return {**self._defaults, **params}

    def task(self, record: TrialRecord) -> Task:
        """The trial for a worker."""
        plan = self.loaded.plan
        return Task(
            trial=record.number,
            folder=trial_folder(record.number),
            params=self.completed(record.params),
            seed=derive(plan.sampler.seed, record.number),
            known_epochs=record.epochs,
            seeds=plan.objective.seeds,
            record=plan.record.every if plan.record else 0,
        )

    def structure(self, params: Params) -> str:
        """The key of the compiled program for a task's params.

        Equal where one program serves: for equal structural params, and the same scalar ones present.
        """
        space = self.loaded.space
        return json.dumps([space.structural(params), sorted(space.scalar(params))], sort_keys=True)

    def trace(self, params: Params) -> str:
        """The key of what that program is made of by tracing, which under TensorFlow those of other widths share.

        It is a guess, made without Keras: what programs really share, a worker finds out by itself (see `Kinship`). A
        wrong guess costs time and changes no result.
        """
        if self.backend == "tensorflow" and not self.loaded.space.is_custom and params.get("jit_compile") is not True:
            params = {name: value for name, value in params.items() if not is_width(name, value)}
        return self.structure(params)

    @cached_property
    def _defaults(self) -> Params:
        """The plan's training section."""
        kept = set(OF_HYPERMODELS) if self.loaded.space.is_hypermodel else None
        return self.loaded.plan.training.model_dump(exclude_none=True, include=kept)
