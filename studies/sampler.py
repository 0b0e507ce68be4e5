"""New params for a study: a sampler seeded for each trial that learns from every trial, paused ones too."""

import math
import warnings
from collections.abc import Iterator, Sequence
from decimal import Decimal
from importlib.util import find_spec
from itertools import chain, pairwise
from operator import attrgetter
from statistics import median
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from spaces.parameters import Fixed, Float, Int, Parameter, Params
from spaces.relations import parents
from spaces.sampling import suggest, to_index
from spaces.space import Space
from studies.cube import Cube
from studies.errors import StudyError
from studies.evolution import Evolution
from studies.grid import Grid, Key, endless, key
from studies.ladder import Ladder
from studies.plan import SamplerPlan
from studies.quiet import quiet
from studies.records import Direction, TrialRecord, sign_of
from studies.spread import START, spread
from studies.thompson import MOST_TRIALS, Thompson

_MOST_GOOD = 25
_ATTEMPTS = 5  # draws of the sampler for what is not tried yet
_BY_CHANCE = 20  # draws after them
_BEST_SHOWN = 50
_MOST_SHOWN_TO_TPE = 1000
_LEARNING = ("tpe", "gp")  # cmaes has a beginning of its own
_LOOK_AROUND = 3  # of so many of tpe's trials one, by chance, looks elsewhere


class Proposer:
    """Chooses params for new trials.

    What is drawn follows from the plan's seed, the number of the trial and the records, and from
    nothing else: a study that was interrupted goes on as the undisturbed one would.

    What the sampler sees of the trials so far (all of them for cmaes; for tpe the 50 best and the
    latest up to 1,000, for gp up to 100, which bounds the time of a proposal; TPE's own weights make
    older trials count for little, and its good ones are never more than 25):

    - Every trial that has a value is shown as complete, be it complete, pruned, paused at a rung or on
      its way from one, with a value that stands for the top rung: what it had at its last rung, plus
      the median gain, from there to the top, of the trials that went on. So a good trial paused after
      three epochs counts for more than a bad one that began on a high rung, and samplers that know
      only complete trials (gp, cmaes) learn from the first epoch on.
    - A trial without a value yet is shown as running: tpe keeps away from it; gp's draws by chance differ anyway.
      One that was pruned before it had a value says nothing, and is not shown.
    - To tpe a failed trial is one that runs for ever: it keeps away. To gp it is as bad as the worst.

    Until six trials have a value, tpe and gp have little to learn from: the first trial is the middle of the
    space, and the next ones are spread evenly over it. With tpe and rungs a third of those that follow are,
    too: what is good after one epoch need not be good in the end, and TPE alone stays with the few that were
    first to look good.

    All is shown in the terms in which values are drawn: a geometric grid as its indices.

    Source:
        Falkner, Klein and Hutter (2018), "BOHB", arXiv:1807.01774: a third is its random fraction.

    Args:
        space: What may vary.
        plan: The sampler and its seed.
        direction: Of the monitor.
        ladder: Of the study; tells which values are comparable.

    Raises:
        StudyError: The sampler needs a package that is not installed, or steps that the space has not.
    """

    def __init__(self, space: Space, plan: SamplerPlan, direction: Direction, ladder: Ladder) -> None:
        if plan.name == "cmaes" and find_spec("cmaes") is None:
            law = "needs a package that is not installed: pip install cmaes"
            raise StudyError(f'sampler.name: "cmaes" {law}', exit_code=3)
        self._space = space
        self._plan = plan
        self._direction = direction
        self._rungs = ladder.rungs(0)
        self._grid = Grid(space, plan.seed) if plan.name == "grid" or not endless(space) else None
        self._cube = Cube(space)
        self._thompson = Thompson(self._cube)
        self._drawn: dict[int, tuple[Params, Params]] = {}
        self._sampler(0)  # so that what it refuses is refused before the first trial

    def propose(self, number: int, records: Sequence[TrialRecord], given: Params | None = None) -> Params | None:
        """Params for a new trial, unlike those of any other where that is possible.

        Args:
            number: Of the new trial.
            records: All other trials.
            given: Values that are kept; the rest is drawn.

        Returns:
            The params, fixed ones included; None when all configurations of the space were tried.
        """
        others = sorted((record for record in records if record.number != number), key=attrgetter("number"))
        taken = {key(record.params) for record in others if record.begun}
        if self._grid and self._plan.name == "grid" and given is None:
            return self._grid.next(taken)
        return self._spread_out(number, others, taken, given) or self._draw(number, others, taken, given)

    def _spread_out(
        self, number: int, others: Sequence[TrialRecord], taken: set[Key], given: Params | None
    ) -> Params | None:
        """Where a search begins or looks around; None where the sampler decides."""
        if self._plan.name not in _LEARNING:
            return None
        if sum(other.value is not None for other in others) >= START and not self._looks_around(number):
            return None
        begun = others or given
        first = spread(self._space, self._plan.seed, START, number, given) if begun else self._space.default()
        return first if key(first) not in taken else None

    def _looks_around(self, number: int) -> bool:
        misled = self._plan.name == "tpe" and len(self._rungs) > 1
        return misled and _seed(self._plan.seed, number, _ATTEMPTS) % _LOOK_AROUND == 0

    def _draw(self, number: int, others: Sequence[TrialRecord], taken: set[Key], given: Params | None) -> Params | None:
        wishes = self._wishes(number, others, given)
        first = next(wishes)
        for params in chain([first], wishes, self._by_chance(number, given)):
            if key(params) not in taken:
                return params
        return self._grid.next(taken) if self._grid and given is None else first

    def _by_chance(self, number: int, given: Params | None) -> Iterator[Params]:
        for attempt in range(_BY_CHANCE):
            sampler = RandomSampler(_seed(self._plan.seed, number, _ATTEMPTS + 1 + attempt))
            yield suggest(self._space, _trial(sampler, self._direction, []), given)

    def _wishes(self, number: int, others: Sequence[TrialRecord], given: Params | None) -> Iterator[Params]:
        """What the sampler would like to see next, and if it cannot be that, what then."""
        if self._plan.name == "gp":
            yield from self._thompson.propose(_seed(self._plan.seed, number, 0), self._worth(others), given)
            return
        shown = self._shown(others)
        for attempt in range(_ATTEMPTS):
            sampler = self._sampler(_seed(self._plan.seed, number, attempt))
            yield suggest(self._space, _trial(sampler, self._direction, shown), given)

    def _worth(self, records: Sequence[TrialRecord]) -> list[tuple[TrialRecord, float]]:
        """What gp learns from: trials and their values at the top, more being better; a failure has the worst."""
        sign = sign_of(self._direction)
        worth = {number: sign * value for number, value in values_at_top(records, self._rungs).items()}
        worst = min(worth.values(), default=0.0)
        known = [record for record in records if record.number in worth or record.state == "failed"]
        return [(record, worth.get(record.number, worst)) for record in _chosen(known, worth, "maximize", MOST_TRIALS)]

    def _sampler(self, seed: int) -> BaseSampler:
        name = self._plan.name
        if name == "tpe":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # group=True
                warnings.simplefilter("ignore", FutureWarning)  # gamma, which Optuna means to take away
                return TPESampler(
                    seed=seed, n_startup_trials=START, gamma=_good, multivariate=True, group=True, constant_liar=True
                )
        if name == "cmaes":
            return Evolution(self._always_numbers(), seed)
        return RandomSampler(seed=seed)

    def _shown(self, records: Sequence[TrialRecord]) -> list[FrozenTrial]:
        """The records as trials that the sampler learns from, by number."""
        if self._plan.name in ("random", "grid"):
            return []
        values = values_at_top(records, self._rungs)
        telling = [one for one in records if one.number in values or one.state == "failed" or not one.finished]
        most = _MOST_SHOWN_TO_TPE if self._plan.name == "tpe" else len(telling)
        chosen = _chosen(telling, values, self._direction, most)
        return [self._copy(record, values.get(record.number)) for record in chosen]

    def _copy(self, record: TrialRecord, value: float | None) -> FrozenTrial:
        state = TrialState.RUNNING if value is None else TrialState.COMPLETE
        if record.state == "failed":
            state = TrialState.RUNNING if self._plan.name == "tpe" else TrialState.FAIL
        drawn = self._as_drawn(record)
        return FrozenTrial(
            number=record.number + 1,  # 0 is the trial that is being drawn
            trial_id=record.number + 1,
            state=state,
            value=value if state == TrialState.COMPLETE else None,
            params=drawn,
            distributions={full: self._cube.kinds[full] for full in drawn},
            datetime_start=None,
            datetime_complete=None,
            user_attrs={},
            system_attrs={},
            intermediate_values={},
        )

    def _as_drawn(self, record: TrialRecord) -> Params:
        """The params of a trial as a sampler draws them, without fixed ones; kept, for they never change."""
        params, drawn = self._drawn.get(record.number, ({}, {}))
        if params != record.params:
            varying = {full: value for full, value in record.params.items() if full in self._cube.kinds}
            drawn = {full: to_index(self._space.parameter(full), value) for full, value in varying.items()}
            self._drawn[record.number] = (record.params, drawn)
        return drawn

    def _always_numbers(self) -> dict[str, BaseDistribution]:
        """The number parameters that every trial has, and what they are drawn from."""
        always = [name for name, one in self._space.parameters.items() if not parents(one)]
        kinds = {name: self._cube.kinds[name] for name in always if name in self._cube.kinds}
        return {
            name: kind
            for name, kind in kinds.items()
            if not isinstance(kind, CategoricalDistribution) and not kind.single()
        }


def distributions(space: Space, params: Params) -> dict[str, BaseDistribution]:
    """What the store says each of some params was drawn from, in terms of the values themselves.

    Args:
        space: What may vary.
        params: Of one trial; fixed ones are left out of the result.
    """
    return {
        full: _distribution(space.parameter(full)) for full in params if not isinstance(space.parameter(full), Fixed)
    }


def values_at_top(records: Sequence[TrialRecord], rungs: Sequence[int]) -> dict[int, float]:
    """What each trial would have at the top rung, had it gained what others gained on their way.

    Args:
        records: Of one study.
        rungs: All its rungs in epochs, rising.

    Returns:
        Trial number to value; trials without a finite value are left out.
    """
    left = {rungs[-1]: 0.0}
    for low, high in reversed(list(pairwise(rungs))):
        both = [record.rungs for record in records if low in record.rungs and high in record.rungs]
        gains = [passed[high] - passed[low] for passed in both]
        left[low] = left[high] + median([gain for gain in gains if math.isfinite(gain)] or [0.0])
    values = {}
    for record in records:
        at, value = _last(record, rungs)
        if value is not None and math.isfinite(value):
            values[record.number] = value + left[at]
    return values


def _last(record: TrialRecord, rungs: Sequence[int]) -> tuple[int, float | None]:
    """The highest rung that a trial reached (early stopping takes it there with fewer epochs), and its value there."""
    passed = [rung for rung in rungs if rung in record.rungs]
    if passed and not record.finished:  # what came after the rung depends on when it was interrupted
        return passed[-1], record.rungs[passed[-1]]
    reached = [rung for rung in rungs if rung <= record.epochs or rung in record.rungs] or [rungs[0]]
    return reached[-1], record.value if record.finished and record.state != "failed" else None


def _chosen(
    records: Sequence[TrialRecord], values: dict[int, float], direction: Direction, most: int
) -> list[TrialRecord]:
    """The best records and the latest others, by number."""
    if len(records) <= most:
        return list(records)
    ranked = sorted(values, key=lambda number: values[number], reverse=direction == "maximize")
    best = set(ranked[:_BEST_SHOWN])
    others = [record.number for record in records if record.number not in best]
    kept = best | set(others[-(most - len(best)) :])
    return [record for record in records if record.number in kept]


class _Shown(Study):
    """A study that shows a sampler other trials than the storage has.

    Samplers ask `_get_trials`, as they do of Optuna's own `_BracketStudy`.
    """

    shown: Sequence[FrozenTrial] = ()

    def _get_trials(self, deepcopy: bool = True, states: Any = None, use_cache: bool = False) -> list[FrozenTrial]:
        return [trial for trial in self.shown if states is None or trial.state in states]


def _trial(sampler: BaseSampler, direction: Direction, shown: Sequence[FrozenTrial]) -> Trial:
    """A trial, numbered 0 in a study of its own, whose values the sampler draws."""
    storage = InMemoryStorage()
    with quiet():
        study_id = storage.create_new_study([StudyDirection[direction.upper()]], "shown")
    study = _Shown("shown", storage, sampler=sampler)
    study.shown = shown
    return Trial(study, storage.create_new_trial(study_id))


def _distribution(parameter: Parameter) -> BaseDistribution:
    match parameter:
        case Int(low=low, high=high, step=step, log=log, reverse=reverse):
            return IntDistribution(low, high, log=log and not reverse, step=1 if log else step or 1)
        case Float(low=low, high=high, step=step, log=log, reverse=reverse):
            return FloatDistribution(
                low, high, log=log and not reverse, step=None if log else _divisor(low, high, step)
            )
    return CategoricalDistribution(parameter.grid() or ())


def _divisor(low: float, high: float, step: float | None) -> float | None:
    """The step as Optuna can take it: it would move high where step does not divide the range exactly."""
    if step is None or (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)):
        return None
    return step


def _seed(seed: int, number: int, attempt: int) -> int:
    return int(np.random.SeedSequence([seed, number, attempt]).generate_state(1)[0])


def _good(trials: int) -> int:
    """How many of so many trials tpe imitates: a fifth. With Optuna's tenth it hardly learns from a few dozen."""
    return min(math.ceil(trials / 5), _MOST_GOOD)
