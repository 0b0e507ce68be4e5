"""CMA-ES without a memory: every proposal replays the generations so far from the trials themselves."""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna._transform import _SearchSpaceTransform
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import TrialState

from studies.errors import StudyError

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_SIGMA = 1 / 6  # of the unit cube, as in Optuna


class Evolution(BaseSampler):
    """Draws number parameters by CMA-ES and the others at random.

    Optuna's own CmaEsSampler keeps its state on trials of its own study; here it follows from the
    trials, so that it is the same after an interruption. Trials in the order of their numbers make up
    the generations; one that failed has the worst value of its generation.

    Args:
        numbers: The number parameters that every trial has.
        seed: Of this proposal.

    Raises:
        StudyError: There are fewer than two of them.

    Source:
        Hansen and Ostermeier (2001), doi:10.1162/106365601750190398.
    """

    def __init__(self, numbers: dict[str, BaseDistribution], seed: int) -> None:
        if len(numbers) < 2:
            law = "needs two or more number parameters without when and per"
            raise StudyError(f'sampler.name: "cmaes" {law} (there are {len(numbers)})')
        self._numbers = numbers
        self._seed = seed
        self._chance = RandomSampler(seed=seed)
        self._cube = _SearchSpaceTransform(numbers, transform_0_1=True)

    def infer_relative_search_space(self, study: "Study", trial: "FrozenTrial") -> dict[str, BaseDistribution]:
        """The number parameters."""
        return self._numbers

    def sample_relative(
        self, study: "Study", trial: "FrozenTrial", search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Their values for one trial."""
        strategy = import_module("cmaes").CMA(
            mean=np.full(len(self._cube.bounds), 0.5),
            sigma=_SIGMA,
            bounds=self._cube.bounds,
            seed=self._seed,
        )
        sign = -1.0 if study.direction.name == "MAXIMIZE" else 1.0
        trials = study._get_trials(deepcopy=False)
        size = strategy.population_size
        for start in range(0, len(trials) - size + 1, size):
            generation = trials[start : start + size]
            if any(one.state == TrialState.RUNNING for one in generation):
                break
            strategy.tell(self._told(generation, sign))
        return self._cube.untransform(strategy.ask())

    def sample_independent(
        self, study: "Study", trial: "FrozenTrial", param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A value of another parameter."""
        return self._chance.sample_independent(study, trial, param_name, param_distribution)

    def _told(self, generation: "Sequence[FrozenTrial]", sign: float) -> list[tuple[NDArray[np.float64], float]]:
        """Places in the unit cube and losses; a generation that failed as a whole says nothing."""
        losses = [None if one.values is None else sign * one.values[0] for one in generation]
        worst = max((loss for loss in losses if loss is not None), default=0.0)
        return [
            (self._cube.transform({name: one.params[name] for name in self._numbers}), worst if loss is None else loss)
            for one, loss in zip(generation, losses, strict=True)
        ]
