"""How the params of a trial become a worker's task."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from search.messages import Task
from search.models import is_width
from search.seeds import derive
from spaces import Space
from spaces.parameters import Params
from spaces.space import OF_HYPERMODELS
from studies.files import trial_folder
from studies.plan import LoadedStudy
from studies.records import TrialRecord


@dataclass(frozen=True)
class Recipe:
    """What a study adds to the params of its trials.

    Attributes:
        defaults: The plan's training section.
        structure: From all of a task's params to the key of its compiled program.
        trace: The same for what such a program is made of by tracing, which programs of other widths may share.
        seed: The study's; a trial's follows from it and its number.
        seeds: Trainings of a trial.
        record: Steps from one that is recorded to the next; 0 for no recording.
    """

    defaults: Mapping[str, Any]
    structure: Callable[[Params], str]
    trace: Callable[[Params], str]
    seed: int
    seeds: int = 1
    record: int = 0

    def completed(self, params: Params) -> Params:
        """A trial's params, and the plan's values of those that its space leaves to the plan."""
        return {**self.defaults, **params}

    def task(self, record: TrialRecord) -> Task:
        """The trial for a worker."""
        return Task(
            trial=record.number,
            folder=trial_folder(record.number),
            params=self.completed(record.params),
            seed=derive(self.seed, record.number),
            known_epochs=record.epochs,
            seeds=self.seeds,
            record=self.record,
        )


def make_recipe(loaded: LoadedStudy, backend: str = "tensorflow") -> Recipe:
    """How the params of a study's trials become tasks for workers of a backend."""
    space, plan = loaded.space, loaded.plan
    kept = set(OF_HYPERMODELS) if space.is_hypermodel else None
    return Recipe(
        defaults=plan.training.model_dump(exclude_none=True, include=kept),
        structure=lambda params: _structure(space, params),
        trace=lambda params: _trace(space, params, backend),
        seed=plan.sampler.seed,
        seeds=plan.objective.seeds,
        record=plan.record.every if plan.record else 0,
    )


def _structure(space: Space, params: Params) -> str:
    """Equal where one compiled program serves: equal structural params, and the same scalar ones present."""
    return json.dumps([space.structural(params), sorted(space.scalar(params))], sort_keys=True)


def _trace(space: Space, params: Params, backend: str) -> str:
    """Equal where one trace serves, as far as is known without Keras: under TensorFlow widths may differ.

    What a worker shares it decides by itself, see `Kinship`; where they differ, that costs time and changes no result.
    """
    shared = backend == "tensorflow" and not space.is_custom and params.get("jit_compile") is not True
    return _structure(space, {name: value for name, value in params.items() if not (shared and is_width(name, value))})
