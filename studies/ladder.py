"""Rungs and brackets, in whole numbers: epochs are counted as completed, from 1."""

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from studies.rung import Rung

AHEAD = 2  # rungs that the first trial of a study passes, whatever its rank there
_MANY = 5_000  # trials in a bracket; a forecast of more is scaled from one of so many


@dataclass(frozen=True, slots=True)
class BracketForecast:
    """What one bracket will cost.

    Attributes:
        bracket: Its index, from 0.
        rungs: Its rungs in epochs.
        trials: How many trials start in it.
        expected: Expected number of trials that arrive at each rung; one value a rung.
        worst: The same in the worst case.
        expected_epochs: Epochs trained in the bracket, expected.
        worst_epochs: The same in the worst case.
    """

    bracket: int
    rungs: tuple[int, ...]
    trials: int
    expected: tuple[float, ...]
    worst: tuple[int, ...]
    expected_epochs: float
    worst_epochs: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a number of trials will cost, bracket by bracket."""

    brackets: tuple[BracketForecast, ...]

    @property
    def trials(self) -> int:
        """Trials in all brackets together."""
        return sum(bracket.trials for bracket in self.brackets)

    @property
    def expected_epochs(self) -> float:
        """Epochs in all brackets together, expected."""
        return sum(bracket.expected_epochs for bracket in self.brackets)

    @property
    def worst_epochs(self) -> int:
        """Epochs in all brackets together, worst case."""
        return sum(bracket.worst_epochs for bracket in self.brackets)


@dataclass(frozen=True, slots=True)
class Ladder:
    """Where trials are compared, and how many start on which rung.

    Bracket 0 starts at `min_resource` and has all rungs (1, 3, 9, 27); each further bracket starts one
    rung higher. A `max_resource` that is no such power is one more rung (1, 3, 9, 27, 50).

    Attributes:
        min_resource: First rung of bracket 0, in epochs.
        max_resource: Top rung of every bracket, in epochs.
        reduction_factor: One in so many goes up; rungs are this factor apart.
    Raises:
        ValueError: A rung below 1, a top below the first rung, a factor below 2.
    """

    min_resource: int = 1
    max_resource: int = 27
    reduction_factor: int = 3

    def __post_init__(self) -> None:
        if self.min_resource < 1:
            raise ValueError(f"min_resource must be at least 1 (min_resource = {self.min_resource})")
        if self.max_resource < self.min_resource:
            came = f"max_resource = {self.max_resource}, min_resource = {self.min_resource}"
            raise ValueError(f"max_resource must be at least min_resource ({came})")
        if self.reduction_factor < 2:
            raise ValueError(f"reduction_factor must be at least 2 (reduction_factor = {self.reduction_factor})")

    @classmethod
    def flat(cls, max_resource: int) -> "Ladder":
        """One bracket with one rung: every trial trains to the end."""
        return cls(max_resource, max_resource)

    @property
    def brackets(self) -> int:
        """How many brackets there are; counted by multiplying, for logarithms lose one at exact powers."""
        return len(self._starts())

    def rungs(self, bracket: int) -> tuple[int, ...]:
        """The rungs of a bracket in epochs, rising; the last is `max_resource`."""
        starts = self._starts()
        top = () if starts[-1] == self.max_resource else (self.max_resource,)
        return starts[bracket:] + top

    @property
    def quota(self) -> tuple[int, ...]:
        """How many trials of each turn start in each bracket: 27, 12, 6, 4 for 27 epochs.

        Source:
            Li et al. (2018), "Hyperband", algorithm 1: n = ceil((s_max + 1) / (s + 1) * eta^s).
        """
        brackets = self.brackets
        return tuple(-(-brackets * self.reduction_factor ** (left - 1) // left) for left in range(brackets, 0, -1))

    def bracket_of(self, number: int) -> int:
        """The bracket of trial `number`: quotas are filled in order, bracket 0 first, and then again."""
        filled = tuple(accumulate(self.quota))
        return bisect_right(filled, number % filled[-1])

    def least(self, bracket: int, rung: int, trials: int) -> int:
        """How many trials must have arrived at a rung before the rule lets one go up.

        As many as the factor. At the third rung of the first bracket it is twice the factor less one, one arrival
        before there is a second place: the study's first trial stands there without having earned it, so the best of
        fewer has beaten little. And what goes up from there counts for much: most of its epochs are still to come,
        and once it is complete no trial outranks it that isn't.

        Args:
            bracket: From 0.
            rung: The rung's index in the bracket, from 0.
            trials: How many the study has so far: once there are more than the first bracket's quota, all of that
                bracket have begun, and the plain rule holds.
        """
        filling = bracket == 0 and rung == AHEAD and trials <= self.quota[0]
        return 2 * self.reduction_factor - 1 if filling else self.reduction_factor

    def forecast(self, trials: int, *, stopping: bool = False) -> Forecast:
        """What `trials` trials cost if none of them fails.

        Expected: the mean over seeded imitations of the search in which values come in random order,
        so that nothing is learned. A sampler that learns sends more trials up.

        Worst case: each trial that arrives at a rung is better than all before it. Of n arrivals
        n - least + 1 then go up, since the rule first allows one promotion at the arrival of that number
        (see `least`) and at most one more with each that follows; at least one does, as a bracket
        completes a trial in the end. The study's first trial passes two rungs besides.

        Args:
            trials: Trials of the whole study.
            stopping: Forecast Optuna's stop-only rule instead, by which a trial goes on if it is among
                the best max(1, floor(n / reduction_factor)) at its arrival: in the worst case, all. Its brackets
                don't fill in order, but by a hash: each has its share of the trials from the beginning.
        """
        shares = _in_proportion(trials, self.quota) if stopping else self._shares(trials)
        return Forecast(tuple(self._forecast(b, n, trials, stopping) for b, n in enumerate(shares)))

    def _starts(self) -> tuple[int, ...]:
        starts = [self.min_resource]
        while starts[-1] * self.reduction_factor <= self.max_resource:
            starts.append(starts[-1] * self.reduction_factor)
        return tuple(starts)

    def _shares(self, trials: int) -> tuple[int, ...]:
        """How many of the first `trials` trials each bracket gets."""
        quota = self.quota
        turns, rest = divmod(trials, sum(quota))
        before = (0, *accumulate(quota))
        return tuple(turns * n + min(n, max(0, rest - b)) for n, b in zip(quota, before, strict=False))

    def _forecast(self, bracket: int, trials: int, of_study: int, stopping: bool) -> BracketForecast:
        rungs = self.rungs(bracket)
        steps = [high - low for low, high in zip((0, *rungs), rungs, strict=False)]
        if stopping:
            expected, worst = _mean_stopping(trials, len(rungs), self.reduction_factor), (trials,) * len(rungs)
        else:
            ahead = AHEAD if bracket == 0 else 0
            least = [self.least(bracket, rung, of_study) for rung in range(len(rungs))]
            expected = _mean_promoting(trials, least, self.reduction_factor, ahead)
            worst = _worst(trials, least, ahead)
        return BracketForecast(
            bracket=bracket,
            rungs=rungs,
            trials=trials,
            expected=expected,
            worst=worst,
            expected_epochs=sum(n * step for n, step in zip(expected, steps, strict=True)),
            worst_epochs=sum(n * step for n, step in zip(worst, steps, strict=True)),
        )


def _in_proportion(trials: int, quota: Sequence[int]) -> tuple[int, ...]:
    """So many trials dealt out as the quota is, the largest remainders rounded up."""
    whole, rests = zip(*(divmod(trials * n, sum(quota)) for n in quota), strict=True)
    order = sorted(range(len(quota)), key=lambda bracket: -rests[bracket])
    favoured = order[: trials - sum(whole)]
    return tuple(n + (bracket in favoured) for bracket, n in enumerate(whole))


def _worst(trials: int, least: Sequence[int], ahead: int) -> tuple[int, ...]:
    arrivals = [trials]
    for index, needed in enumerate(least[:-1]):
        promotions = arrivals[-1] - needed + 1 + (index < ahead)
        arrivals.append(max(promotions, min(1, trials)))
    return tuple(arrivals)


def _mean_promoting(trials: int, least: Sequence[int], reduction_factor: int, ahead: int) -> tuple[float, ...]:
    if trials > _MANY:  # shares hardly change any more
        return tuple(n * trials / _MANY for n in _mean_promoting(_MANY, least, reduction_factor, ahead))
    draws = max(4, min(200, 20_000 // max(trials, 1)))
    rng = random.Random(0)
    totals = [0] * len(least)
    for _ in range(draws):
        arrivals = trials
        for index, needed in enumerate(least):
            totals[index] += arrivals
            going_up = _promotions(arrivals, Rung(reduction_factor, needed), rng, index < ahead)
            arrivals = max(going_up, min(1, trials))
    return tuple(total / draws for total in totals)


def _promotions(arrivals: int, rung: Rung, rng: random.Random, first_in_any_case: bool) -> int:
    """How many of so many arrivals in random order go up from a rung, each as soon as it may."""
    promoted = {0} if first_in_any_case and arrivals else set()
    for number in range(arrivals):
        rung.arrive((rng.random(), number))
        while (best := rung.promotable()) is not None:
            rung.leave(best[1])
            promoted.add(best[1])
    return len(promoted)


def _mean_stopping(trials: int, rungs: int, reduction_factor: int) -> tuple[float, ...]:
    """By the stop-only rule the n-th arrival passes with a chance of max(1, floor(n / factor)) / n."""
    arrivals = [float(trials)]
    for _ in range(rungs - 1):
        counts = range(1, round(arrivals[-1]) + 1)
        arrivals.append(sum(max(1, n // reduction_factor) / n for n in counts))
    return tuple(arrivals)
