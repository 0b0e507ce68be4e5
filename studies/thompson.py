"""Params that a Gaussian process takes for good, or does not know to be bad."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from threadpoolctl import ThreadpoolController

from spaces.parameters import Fixed, Scalar
from spaces.sampling import suggest, to_index
from spaces.space import Space
from studies.cube import BELOW_ONE, Place, coordinate, drawn_from
from studies.records import Params, TrialRecord
from studies.surrogate import Array, GaussianProcess

Coordinates = Mapping[str, float]

MOST = 100  # trials a process learns from: it takes time by their cube
_ANYWHERE = 100  # candidates
_NEARBY = 20  # candidates about each of the best
_BEST = 5
_STEP = 0.1  # of a parameter's range, from one of the best to a candidate near it
_UNKNOWN = 0.5  # where a configuration lies along a parameter that it lacks

_BLAS = ThreadpoolController().select(user_api="blas")


@dataclass(frozen=True, slots=True)
class _Axis:
    """A coordinate of the process: a number's, or whether a choice is the one at a place of its list."""

    full: str
    choice: int | None = None
    choices: int = 0

    def of(self, coordinates: Coordinates) -> float:
        """Two choices are as far from each other as the ends of a range."""
        if self.full not in coordinates:
            return _UNKNOWN
        at = coordinates[self.full]
        return at if self.choice is None else math.sqrt(0.5) * (math.floor(at * self.choices) == self.choice)


class Thompson:
    """Thompson sampling: what each candidate may be worth is drawn by chance, and the best draw is proposed.

    The candidates are drawn anywhere in the space and near the five trials that the process takes for the best.
    So promising regions are searched closely and unknown ones now and then, and several workers are not sent to one
    place. The draws are independent: neighbours are compared by what each may be by itself.

    Values are shown to the process by their order of magnitude below the best (-log(best - value + half the
    median)), for what separates good trials from the best matters more than how bad a bad one is.

    Args:
        space: What may vary.

    Source:
        Thompson (1933), Biometrika 25(3/4); Russo et al. (2018), "A Tutorial on Thompson Sampling", arXiv:1707.02038.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._kinds: dict[str, BaseDistribution] = {}
        self._known: dict[int, tuple[Params, Coordinates]] = {}
        self._learned: tuple[Array, Array, GaussianProcess] | None = None

    def propose(
        self, seed: int, seen: Sequence[tuple[TrialRecord, float]], given: Params | None = None
    ) -> list[Params]:
        """Candidates, the best draw first.

        Args:
            seed: Of this proposal.
            seen: Trials and what they are worth, more being better; of none the candidates come as they are drawn.
            given: Values that every candidate has.
        """
        rng = np.random.default_rng(seed)
        if not seen:
            return [params for params, _ in self._candidates([], rng, given or {})]
        trials = [self._of_trial(record) for record, _ in seen]
        axes = self._axes(trials)
        places = _matrix(trials, axes)
        with _BLAS.limit(limits=1):  # more threads would wait for the cores that workers train on
            process = self._process(places, _magnitudes([value for _, value in seen]))
            means, _ = process.predict(places)
            best = [trials[index] for index in np.argsort(-means, kind="stable")[:_BEST]]
            candidates = list(self._candidates(best, rng, given or {}))
            worth = rng.normal(*process.predict(_matrix([coordinates for _, coordinates in candidates], axes)))
        return [candidates[index][0] for index in np.argsort(-worth, kind="stable")]

    def _candidates(
        self, best: Sequence[Coordinates], rng: np.random.Generator, given: Params
    ) -> Iterator[tuple[Params, Coordinates]]:
        """Configurations and where they lie."""
        kept = self._coordinates(given)
        nowhere: Coordinates = {}
        for centre in [nowhere] * _ANYWHERE + [one for one in best for _ in range(_NEARBY)]:
            place = _Near(centre, rng)
            params = suggest(self._space, place, given)
            yield params, {full: kept[full] for full in kept if full in params} | place.coordinates

    def _process(self, places: Array, values: Array) -> GaussianProcess:
        """The one before, where nothing was learned since."""
        if self._learned is not None:
            *before, process = self._learned
            if all(map(np.array_equal, before, (places, values))):
                return process
        self._learned = (places, values, GaussianProcess(places, values))
        return self._learned[2]

    def _of_trial(self, record: TrialRecord) -> Coordinates:
        """Where a trial lies; kept, for its params never change."""
        params, coordinates = self._known.get(record.number, ({}, {}))
        if params != record.params:
            coordinates = self._coordinates(record.params)
            self._known[record.number] = (record.params, coordinates)
        return coordinates

    def _coordinates(self, params: Params) -> Coordinates:
        """Where a configuration lies along each parameter that varies."""
        found = {}
        for full, value in params.items():
            parameter = self._space.parameter(full)
            if not isinstance(parameter, Fixed):
                kind = self._kinds.setdefault(full, drawn_from(parameter))
                found[full] = coordinate(kind, to_index(parameter, value))
        return found

    def _axes(self, trials: Sequence[Coordinates]) -> list[_Axis]:
        """Those along which trials differ, in the order of the parameters: one a number, one a choice."""
        found = []
        for full in dict.fromkeys(full for trial in trials for full in trial):
            kind = self._kinds[full]
            if isinstance(kind, CategoricalDistribution):
                found += [_Axis(full, choice, len(kind.choices)) for choice in range(len(kind.choices))]
            else:
                found.append(_Axis(full))
        return [axis for axis in found if len({axis.of(trial) for trial in trials}) > 1]


class _Near(Place):
    """A place near another, by chance; anywhere along what the other lacks."""

    def __init__(self, centre: Coordinates, rng: np.random.Generator) -> None:
        super().__init__()
        self._centre = centre
        self._rng = rng

    def at(self, name: str) -> float:
        if name not in self._centre:
            return self._rng.random()
        return min(BELOW_ONE, max(0.0, self._centre[name] + _STEP * self._rng.standard_normal()))

    def suggest_categorical(self, name: str, choices: Sequence[Scalar]) -> Scalar:
        stays = name in self._centre and self._rng.random() >= _STEP
        return choices[self._part(name, self._centre[name] if stays else self._rng.random(), len(choices))]


def _matrix(configurations: Sequence[Coordinates], axes: Sequence[_Axis]) -> Array:
    rows = [[axis.of(coordinates) for axis in axes] for coordinates in configurations]
    return np.array(rows, float).reshape(len(configurations), len(axes))


def _magnitudes(values: Sequence[float]) -> Array:
    """How near values are to the best, by order of magnitude; of mean 0 and deviation 1 where they differ."""
    behind = max(values) - np.array(values)
    usual = float(np.median(behind)) or float(behind.mean()) or 1.0
    found = -np.log(behind + usual / 2)
    return np.asarray((found - found.mean()) / (found.std() or 1.0))
