"""Trials in training together: how far each has come, and which places of the cohort are its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from reports.gaps import mean_over_seeds
from search.checkpoints import Checkpoints, Tensors
from search.messages import EpochDone, Task
from search.progress import Progress
from search.seeds import derive
from studies.patience import EarlyStopping, Plateau

Place = TypeVar("Place")


@dataclass(eq=False)
class Member:
    """A trial of a cohort in training, with a place in it for each of its seeds.

    Shuffles and random numbers follow from the seed and the epoch alone, its end and its rate from its history.
    """

    task: Task
    checkpoints: Checkpoints
    to_epoch: int
    early_stopping: EarlyStopping | None = None
    progress: Progress = field(default_factory=Progress)
    failed: bool = False

    @property
    def epoch(self) -> int:
        """The epoch that comes next."""
        return self.progress.epoch + 1

    @property
    def going(self) -> bool:
        """Whether it trains on; once it has arrived, stopped or failed, it keeps its place but counts no more."""
        return self.progress.epoch < self.to_epoch and not self.failed and not self._stopped

    @property
    def _stopped(self) -> bool:
        return self.early_stopping is not None and self.early_stopping.stopped(self.progress.history) is not None

    def orders(self, rows: int) -> list[NDArray[np.int32]]:
        """The next epoch's shuffles, one a seed."""
        generators = [np.random.default_rng([seed, self.epoch]) for seed in self.task.each_seed]
        return [generator.permutation(rows).astype(np.int32) for generator in generators]

    def generator_states(self, index: int, dtype: str) -> list[NDArray[Any]]:
        """Where a generator of random numbers starts the next epoch, one a seed."""
        return [np.array([derive(seed, self.epoch, index), 0], dtype) for seed in self.task.each_seed]

    def learning_rates(self, plateau: Plateau) -> list[NDArray[np.float32]]:
        """The next epoch's, after the reductions that its history brought, or else its task: the same for each seed."""
        history = self.progress.history
        reduced = plateau.reductions(history) if plateau.monitor in history else self.task.reduced_after
        times = sum(epoch <= self.progress.epoch for epoch in reduced)
        rate = plateau.rate(float(self.task.params["learning_rate"]), times)
        return [np.array(rate, np.float32)] * self.task.seeds

    def told(self, epoch: int) -> EpochDone:
        """What the supervisor hears of a completed epoch."""
        metrics = self.progress.at(epoch)
        return EpochDone(trial=self.task.trial, epoch=epoch, metrics=metrics, seconds=self.progress.seconds)


def mean(logs: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each metric over a trial's seeds."""
    return {name: mean_over_seeds([log[name] for log in logs]) for name in logs[0]}


def by_member(members: Sequence[Member], places: Sequence[Place]) -> list[list[Place]]:
    """What each place of a cohort has, together for the seeds of a trial."""
    each = iter(places)
    return [list(islice(each, member.task.seeds)) for member in members]


def part(tensors: Tensors, place: int, seeds: int) -> Tensors:
    """One seed's of the tensors of all, which lie one seed after the other."""
    size = len(tensors) // seeds
    return tensors[place * size : (place + 1) * size]
