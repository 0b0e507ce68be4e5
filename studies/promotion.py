"""Which paused trial goes up, and why each stands where it stands."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from studies.errors import StudyError
from studies.ladder import AHEAD, Ladder
from studies.records import Direction, TrialRecord, sign_of
from studies.rung import Key, Rung, places

Verdict = Literal["promoted", "complete", "paused", "pruned", "failed"]


class Step(NamedTuple):
    """The next stretch of a trial: from the epochs it has completed to the rung it goes to."""

    number: int
    from_epoch: int
    to_epoch: int


class _Place(NamedTuple):
    """A rung of a bracket, both by index."""

    bracket: int
    rung: int


class Promotion:
    """Asynchronous successive halving that pauses every trial at its rung and lets the best go on.

    The first trial of a study goes on to the third rung in any case. It is the middle of the space, or what the user
    knows to be good, and all others are measured by it; by the rule alone as many trials as the factor's square would
    be begun, and judged by their first epochs, before one of them is trained that far. The third rung then lets nobody
    up before a few more have arrived, or the bracket has all its trials (`Ladder.least`).

    The same calls give the same answers, and the order in which trials arrived leaves no trace: what
    may go up follows from who has arrived where and who has gone on. So a search that is rebuilt from
    its records goes on as if it had never been interrupted.

    Attributes:
        closing: No new trial will come. A bracket in which none is complete, none is on its way and
            none may go up by the rule then sends up the best of its highest rung, until one completes.
    """

    def __init__(self, ladder: Ladder, direction: Direction) -> None:
        self.closing = False
        self._ladder = ladder
        self._sign = -sign_of(direction)
        self._epochs = [ladder.rungs(bracket) for bracket in range(ladder.brackets)]
        self._rungs = [[Rung(ladder.reduction_factor) for _ in epochs[:-1]] for epochs in self._epochs]
        self._numbers: set[int] = set()  # every trial that was ever added
        self._running: dict[int, _Place] = {}  # by number; the rung a trial is on its way to
        self._paused: dict[int, _Place] = {}  # by number; the rung a trial stands on
        self._completed: set[int] = set()  # brackets in which a trial is complete

    @classmethod
    def rebuild(cls, ladder: Ladder, direction: Direction, records: Iterable[TrialRecord]) -> "Promotion":
        """The scheduler as it stood when `records` were written.

        Running trials are on their way to the rung above their last one (`under_way` lists them).
        """
        promotion = cls(ladder, direction)
        for record in records:
            promotion._restore(record)
        return promotion

    def add(self, number: int) -> int:
        """Enter a new trial.

        Returns:
            Its first rung, in epochs.
        Raises:
            ValueError: The trial was added before.
        """
        return self._enter(number, self._ladder.bracket_of(number))

    def arrive(self, number: int, epochs: int, value: float) -> None:
        """A trial finished a rung: it pauses there, or is complete at the top.

        A value that is not finite is never promoted and counts for nobody's competition.

        Args:
            number: The trial.
            epochs: The rung it was on its way to.
            value: What it is ranked by there.
        Raises:
            ValueError: The trial was not on its way to that rung.
        """
        place = self._running.get(number)
        if place is None or self._at(place) != epochs:
            expected = "it is not running" if place is None else f"its rung is {self._at(place)}"
            raise ValueError(f"trial {number} cannot arrive at {epochs} epochs: {expected}")
        del self._running[number]
        if epochs == self._ladder.max_resource:
            self._completed.add(place.bracket)
            return
        self._paused[number] = place
        if math.isfinite(value):
            self._rung(place).arrive((self._sign * value, number))

    def fail(self, number: int) -> None:
        """A trial is out: it failed, or it was told pruned. Its values at rungs stay in the ranking.

        Raises:
            ValueError: The trial is neither running nor paused.
        """
        if number in self._running:
            del self._running[number]
        elif number in self._paused:
            self._rung(self._paused.pop(number)).leave(number)
        else:
            raise ValueError(f"trial {number} cannot fail: it is neither running nor paused")

    def candidates(self) -> list[Step]:
        """All that may go up: highest rung first, then the best value, then the oldest."""
        found = {(-epochs, key) for epochs, rung in self._every_rung() for key in rung.candidates()}
        found.update(self._first())
        return [self._step(number, self._above(number)) for _, (_, number) in sorted(found)]

    def take(self, number: int | None = None) -> Step | None:
        """Send up a candidate, or the best trial that may go: highest rung first, then the best value, then the oldest.

        Args:
            number: The candidate; None for the best, which may also be a last resort.
        """
        if number is not None:
            return self._go_up(number)
        candidates = list(self._promotable()) or (list(self._last_resort()) if self.closing else [])
        if not candidates:
            return None
        _, (_, best) = min(candidates)
        return self._go_up(best)

    def out(self, number: int) -> bool:
        """Whether a trial will certainly never go on: nobody, for each that arrives may make a place."""
        return False

    def paused(self) -> list[int]:
        """The trials that stand at a rung, by number."""
        return sorted(self._paused)

    def under_way(self) -> list[Step]:
        """The trials on their way to a rung, by number."""
        return [self._step(number, self._running[number]) for number in sorted(self._running)]

    def _promotable(self) -> Iterator[tuple[int, Key]]:
        """The best of each rung that may go up, with the negative epochs of its rung for sorting."""
        for epochs, rung in self._every_rung():
            if (best := rung.promotable()) is not None:
                yield -epochs, best
        yield from self._first()

    def _first(self) -> Iterator[tuple[int, Key]]:
        """The study's first trial while it stands below the third rung."""
        place = self._paused.get(0)
        if place is not None and place.rung < AHEAD and (key := self._rung(place).key_of(0)) is not None:
            yield -self._at(place), key

    def _last_resort(self) -> Iterator[tuple[int, Key]]:
        """The best of the highest rung of each bracket that would otherwise complete no trial."""
        on_their_way = {place.bracket for place in self._running.values()}
        for bracket, rungs in enumerate(self._rungs):
            if bracket in self._completed or bracket in on_their_way:
                continue
            waiting = ((-at, rung.best()) for at, rung in zip(self._epochs[bracket], rungs, strict=False))
            yield from sorted((at, best) for at, best in waiting if best is not None)[:1]

    def _enter(self, number: int, bracket: int) -> int:
        if number in self._numbers:
            raise ValueError(f"trial {number} cannot be added: it is already here")
        self._numbers.add(number)
        for rung, competition in enumerate(self._rungs[0]):
            competition.least = self._ladder.least(0, rung, len(self._numbers))
        return self._run(number, _Place(bracket, 0)).to_epoch

    def _go_up(self, number: int) -> Step:
        above = self._above(number)
        self._rung(self._paused.pop(number)).leave(number)
        return self._run(number, above)

    def _above(self, number: int) -> _Place:
        """The rung above the one that a trial stands on."""
        place = self._paused[number]
        return _Place(place.bracket, place.rung + 1)

    def _run(self, number: int, place: _Place) -> Step:
        self._running[number] = place
        return self._step(number, place)

    def _restore(self, record: TrialRecord) -> None:
        """Replay a trial: through the rungs it passed, then to how it stands."""
        bracket = _bracket(record, self._ladder)
        self._enter(record.number, bracket)
        for epochs in _passed(record, self._epochs[bracket]):
            if record.number in self._paused:
                self._go_up(record.number)
            self.arrive(record.number, epochs, record.rungs.get(epochs, math.nan))
        if record.state == "running" and record.number in self._paused:
            self._go_up(record.number)
        if record.finished and (record.number in self._running or record.number in self._paused):
            self.fail(record.number)
            if record.state == "complete":
                self._completed.add(bracket)

    def _every_rung(self) -> Iterator[tuple[int, Rung]]:
        """Each rung below the top, with its epochs."""
        for epochs, rungs in zip(self._epochs, self._rungs, strict=True):
            yield from zip(epochs, rungs, strict=False)

    def _rung(self, place: _Place) -> Rung:
        return self._rungs[place.bracket][place.rung]

    def _at(self, place: _Place) -> int:
        return self._epochs[place.bracket][place.rung]

    def _step(self, number: int, to: _Place) -> Step:
        start = self._epochs[to.bracket][to.rung - 1] if to.rung else 0
        return Step(number, start, self._at(to))


@dataclass(frozen=True, slots=True)
class RungVerdict:
    """What became of a trial at one rung, as its records stand now.

    Attributes:
        bracket: The bracket, from 0.
        rung: The rung's index in the bracket, from 0.
        epochs: The rung in epochs.
        value: The trial's value there.
        places: How many of the competitors may go up.
        cutoff: The value of the last of these; None while the rule lets nobody up, and at the top.
        rank: The trial's rank among the competitors, from 1; None if its value is not finite.
        competitors: (number, value) of all that arrived with a finite value, best first, this trial included.
        verdict: "promoted", "complete", or how it stands here: "paused", "pruned", "failed". A trial
            promoted early keeps going though better ones arrived later; its rank may be below the cut-off.
            So may that of the study's first trial at the first two rungs.
    """

    bracket: int
    rung: int
    epochs: int
    value: float
    places: int
    cutoff: float | None
    rank: int | None
    competitors: tuple[tuple[int, float], ...]
    verdict: Verdict


def explain(records: Sequence[TrialRecord], ladder: Ladder, direction: Direction, number: int) -> list[RungVerdict]:
    """Why a trial was stopped or promoted: one verdict a rung it arrived at.

    Raises:
        StudyError: There is no such trial.
    """
    trial = next((record for record in records if record.number == number), None)
    if trial is None:
        raise StudyError(f"trial {number}: no such trial (the study has {len(records)}, counted from 0)")
    bracket = _bracket(trial, ladder)
    rivals = [record for record in records if _bracket(record, ladder) == bracket]
    passed = _passed(trial, ladder.rungs(bracket))
    verdicts = []
    for rung, epochs in enumerate(passed):
        competitors = _competitors(rivals, direction, epochs)
        numbers = [rival for rival, _ in competitors]
        going_up = _going_up(len(competitors), ladder, _Place(bracket, rung), len(records))
        verdicts.append(
            RungVerdict(
                bracket=bracket,
                rung=rung,
                epochs=epochs,
                value=trial.rungs.get(epochs, math.nan),
                places=going_up,
                cutoff=competitors[going_up - 1][1] if going_up else None,
                rank=numbers.index(number) + 1 if number in numbers else None,
                competitors=competitors,
                verdict=_standing(trial, epochs) if epochs == passed[-1] else "promoted",
            )
        )
    return verdicts


def _going_up(arrivals: int, ladder: Ladder, place: _Place, trials: int) -> int:
    """How many of those that arrived at a rung may leave it upwards; none where it is the top."""
    if ladder.rungs(place.bracket)[place.rung] == ladder.max_resource:
        return 0
    return places(arrivals, ladder.reduction_factor, ladder.least(place.bracket, place.rung, trials))


def _competitors(rivals: Sequence[TrialRecord], direction: Direction, epochs: int) -> tuple[tuple[int, float], ...]:
    sign = sign_of(direction)
    arrived = [(record.number, record.rungs[epochs]) for record in rivals if epochs in record.rungs]
    finite = [(number, value) for number, value in arrived if math.isfinite(value)]
    return tuple(sorted(finite, key=lambda one: (-sign * one[1], one[0])))


def _standing(trial: TrialRecord, epochs: int) -> Verdict:
    """How a trial stands at the last rung it arrived at."""
    if trial.state == "complete":
        return "complete"
    return "promoted" if trial.state == "running" or trial.epochs > epochs else trial.state


def _bracket(record: TrialRecord, ladder: Ladder) -> int:
    return ladder.bracket_of(record.number) if record.bracket is None else record.bracket


def _passed(record: TrialRecord, rungs: Sequence[int]) -> list[int]:
    """The rungs up to the last one whose value the record holds."""
    last = max((epochs for epochs in rungs if epochs in record.rungs), default=0)
    return [epochs for epochs in rungs if epochs <= last]
