"""Params that a Gaussian process takes for good, or does not know to be bad."""

from collections.abc import Iterator, Sequence
from statistics import median  # NumPy's imports its masked arrays first

import numpy as np
from optuna.distributions import CategoricalDistribution
from threadpoolctl import ThreadpoolController

from spaces.parameters import Params
from studies.cube import BELOW_ONE, Array, Cube
from studies.records import TrialRecord
from studies.surrogate import GaussianProcess

MOST_TRIALS = 100  # that a process learns from: it takes time by their cube
_ANYWHERE = 100  # candidates
_NEARBY = 20  # candidates about each of the best
_BEST = 5
_STEP = 0.1  # of a parameter's range, from one of the best to a candidate near it
_UNKNOWN = 0.5  # where a configuration lies along a parameter that it lacks
_TO_A_CHOICE = np.sqrt(0.5)  # so two choices are as far from each other as the ends of a range

_BLAS = ThreadpoolController().select(user_api="blas")


class Thompson:
    """Thompson sampling: what the candidates may be worth is drawn by chance, and the best of them is proposed.

    The candidates are drawn anywhere in the space and near the five trials that the process takes for the best.
    So promising regions are searched closely and unknown ones now and then, and several workers are not sent to one
    place.

    Values are shown to the process by their order of magnitude below the best (-log(best - value + half the
    median)), for what separates good trials from the best matters more than how bad a bad one is.

    Args:
        cube: Of the space.

    Source:
        Thompson (1933), Biometrika 25(3/4); Russo et al. (2018), "A Tutorial on Thompson Sampling", arXiv:1707.02038.
    """

    def __init__(self, cube: Cube) -> None:
        self._cube = cube
        self._is_choice = np.array([isinstance(kind, CategoricalDistribution) for kind in self._cube.kinds.values()])
        self._known: dict[int, tuple[Params, Array]] = {}
        self._learned: tuple[Array, Array, GaussianProcess] | None = None

    def propose(
        self, seed: int, seen: Sequence[tuple[TrialRecord, float]], given: Params | None = None
    ) -> Iterator[Params]:
        """Candidates, the best draw first.

        Args:
            seed: Of this proposal.
            seen: Trials and what they are worth, more being better; of none the candidates come as they are drawn.
            given: Values that every candidate has.
        """
        rng = np.random.default_rng(seed)
        trials = np.array([self._of_trial(record) for record, _ in seen]).reshape(len(seen), len(self._cube.names))
        with _BLAS.limit(limits=1):  # more threads would wait for the cores that workers train on
            candidates = self._ranked(trials, [value for _, value in seen], rng, given or {})
        for point in candidates:
            yield self._cube.params(point, given)

    def _ranked(self, trials: Array, values: Sequence[float], rng: np.random.Generator, given: Params) -> Array:
        """The points of candidates, the best draw first."""
        if not len(trials):
            return self._candidates(trials, rng, given)
        places = self._embedded(trials)
        varies = np.ptp(places, axis=0) > 0
        process = self._process(places[:, varies], _magnitudes(values))
        best = np.argsort(-process.means(places[:, varies]), kind="stable")[:_BEST]
        candidates = self._candidates(trials[best], rng, given)
        means, covariance = process.predict(self._embedded(candidates)[:, varies])
        worth = means + np.linalg.cholesky(covariance) @ rng.standard_normal(len(candidates))
        return candidates[np.argsort(-worth, kind="stable")]

    def _candidates(self, best: Array, rng: np.random.Generator, given: Params) -> Array:
        """Points of configurations anywhere, and near the best where those have the parameter."""
        anywhere = np.full((_ANYWHERE, best.shape[1]), np.nan)
        centres = np.concatenate([anywhere, np.repeat(best, _NEARBY, axis=0)])
        free, step = rng.random(centres.shape), _STEP * rng.standard_normal(centres.shape)
        moves = rng.random(centres.shape) < _STEP  # a choice: to any, the same one included
        near = np.where(self._is_choice, np.where(moves, free, centres), np.clip(centres + step, 0.0, BELOW_ONE))
        return self._cube.settled(np.where(np.isnan(centres), free, near), given)

    def _process(self, places: Array, values: Array) -> GaussianProcess:
        """The one before, where nothing was learned since."""
        if self._learned is not None:
            *before, process = self._learned
            if all(map(np.array_equal, before, (places, values))):
                return process
        self._learned = (places, values, GaussianProcess(places, values))
        return self._learned[2]

    def _of_trial(self, record: TrialRecord) -> Array:
        """Where a trial lies; kept, for its params never change."""
        params, point = self._known.get(record.number, (None, np.empty(0)))
        if params != record.params:
            point = self._cube.point(record.params)
            self._known[record.number] = (record.params, point)
        return point

    def _embedded(self, points: Array) -> Array:
        """Points as the process sees them: a column a number, and one for each choice, whether it is the one."""
        columns = [np.empty((len(points), 0))]
        for at, kind in zip(points.T[:, :, None], self._cube.kinds.values(), strict=True):
            seen = at
            if isinstance(kind, CategoricalDistribution):
                count = len(kind.choices)
                seen = _TO_A_CHOICE * (np.floor(at * count) == np.arange(count))
            columns.append(np.where(np.isnan(at), _UNKNOWN, seen))
        return np.concatenate(columns, axis=1)


def _magnitudes(values: Sequence[float]) -> Array:
    """How near values are to the best, by order of magnitude; of mean 0 and deviation 1 where they differ."""
    behind = max(values) - np.array(values)
    usual = float(median(behind)) or float(behind.mean()) or 1.0
    found = -np.log(behind + usual / 2)
    return np.asarray((found - found.mean()) / (found.std() or 1.0))
