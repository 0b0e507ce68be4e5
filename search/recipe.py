"""How the params of a trial become a worker's task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from search.messages import Task
from search.seeds import derive
from spaces.parameters import Params
from studies.files import trial_folder
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

    def task(self, record: TrialRecord) -> Task:
        """The trial for a worker."""
        return Task(
            trial=record.number,
            folder=trial_folder(record.number),
            params={**self.defaults, **record.params},
            seed=derive(self.seed, record.number),
            known_epochs=record.epochs,
            seeds=self.seeds,
            record=self.record,
        )
