"""What a search trains next: trials that were under way, then the best that may go up, then new ones, in cohorts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from search.logbook import Logbook
from search.recipe import Recipe
from spaces.parameters import Params
from studies.grid import key
from studies.plan import StudyPlan
from studies.promotion import Promotion, Step
from studies.records import TrialRecord
from studies.sampler import Proposer
from studies.stopping import Stopping

_MISSES = 4  # draws of other structures until no more trials are looked for
_TOGETHER_AGAIN = 1  # deaths of workers that a trial may have seen and still be trained with others

Left = Callable[[int], bool]
"""Whether a trial, by its number, is left to another worker for now."""


class Kind(NamedTuple):
    """What steps must share to be one cohort."""

    structure: str
    from_epoch: int
    to_epoch: int
    number: int | None  # of a trial that may be the death of workers: it shares its kind with nobody


class Rule(Protocol):
    """Which trial goes on: `studies.promotion.Promotion`, or Optuna's pruner in `studies.stopping`."""

    closing: bool

    def add(self, number: int) -> int:
        """Enter a new trial; its first rung in epochs."""

    def arrive(self, number: int, epochs: int, value: float) -> None:
        """A trial finished a rung."""

    def fail(self, number: int) -> None:
        """A trial is out."""

    def candidates(self) -> list[Step]:
        """The trials that may go on, in the order in which they should."""

    def take(self, number: int | None = None) -> Step | None:
        """Let a candidate go on; without a number the first or, where no new trial will come, a last resort."""

    def out(self, number: int) -> bool:
        """Whether a trial that stands at a rung will certainly never go on."""

    def under_way(self) -> list[Step]:
        """The trials on their way to a rung."""


class Agenda:
    """The steps of a search that no worker has yet; it proposes new trials when there are none.

    A worker is given a cohort of steps of one kind: trials of one structure, from one rung to the next. When a new
    trial is given, the sampler's next draws are looked at: those of its structure become trials of its cohort, and a
    few of other structures may come between and are forgotten. All follows from how the trials stand, so that an
    interrupted search goes on as it would have.

    Attributes:
        rule: Says which trials may go on.
    """

    def __init__(self, logbook: Logbook, recipe: Recipe) -> None:
        space, plan = recipe.loaded.space, recipe.loaded.plan
        self.rule = _rule(plan, logbook.records)
        self._logbook = logbook
        self._plan = plan
        self._proposer = Proposer(space, plan.sampler, plan.objective.direction, plan.hyperband.ladder)
        self._recipe = recipe
        self._enqueue = list({key(given): given for given in map(logbook.settled, plan.enqueue)}.values())
        self._keys: dict[int, tuple[str, str]] = {}  # by number: the structure and the trace
        steps = self.rule.under_way()
        self._waiting = deque(step for step in steps if logbook.flights[step.number].epochs)
        self._new = [step for step in steps if not logbook.flights[step.number].epochs]
        self._note_the_last()

    def find_more(self) -> bool:
        """See that there is a step, or may be one; where there would be none, take the rule's last resort.

        Returns:
            False if the search is through, but for what workers are busy with.
        """
        if not self._waiting and not self._new and self.rule.closing and (step := self.rule.take()):
            self._waiting.append(step)
        return bool(self._waiting or self._new or not self.rule.closing)

    def again(self, steps: Sequence[Step]) -> None:
        """Put back steps that a worker didn't finish; they come first."""
        self._waiting.extendleft(reversed(steps))

    def next(self, size: int, left: Left, ahead: int) -> list[Step]:
        """The next cohort for a worker; empty if there is nothing to do.

        Args:
            size: Trials that it may hold.
            left: Which trials are left to other workers for now.
            ahead: How many new trials may be created to find one that isn't.
        """
        lead = self._lead(left, ahead)
        if lead is None:
            return []
        if size > 1 and lead in self._new:
            self._recruit(lead, size)
        steps = [*self._waiting]
        if self._logbook.flights[lead.number].epochs < lead.to_epoch:  # else it is trained, and has only to arrive
            steps += [*self.rule.candidates(), *self._new]
        kind = self._kind(lead)
        cohort = [lead, *(step for step in steps if step != lead and self._kind(step) == kind)][:size]
        for step in cohort:
            self._begin(step)
        return cohort

    def prepare(self) -> None:
        """Have a new trial at hand: to propose one takes time, and a worker that asks for it would wait."""
        if not self._new:
            self._propose()

    def structure(self, number: int) -> str:
        """The key of the compiled program that a trial needs."""
        return self._keys_of(number)[0]

    def trace(self, number: int) -> str:
        """The key of that program's trace, which others may share."""
        return self._keys_of(number)[1]

    def _keys_of(self, number: int) -> tuple[str, str]:
        if number not in self._keys:
            params = self._recipe.completed(self._logbook.flights[number].record.params)
            self._keys[number] = self._recipe.structure(params), self._recipe.trace(params)
        return self._keys[number]

    def _lead(self, left: Left, ahead: int) -> Step | None:
        """The most urgent step that isn't left to another worker; if all are, the most urgent."""
        if self._waiting:
            return self._waiting[0]
        candidates = self.rule.candidates()
        if mine := self._mine(candidates, left):
            return mine[0]
        mine = self._mine(self._new, left)
        while not mine and len(self._new) < ahead and self._propose():
            mine = self._mine(self._new, left)
        if mine:
            return mine[0]
        if not candidates and not self._new:
            self.find_more()
        return next(iter([*candidates, *self._new, *self._waiting]), None)

    def _mine(self, steps: Sequence[Step], left: Left) -> list[Step]:
        return [step for step in steps if not left(step.number)]

    def _kind(self, step: Step) -> Kind:
        alone = self._logbook.flights[step.number].deaths > _TOGETHER_AGAIN
        return Kind(self.structure(step.number), step.from_epoch, step.to_epoch, step.number if alone else None)

    def _begin(self, step: Step) -> None:
        if step in self._waiting:
            self._waiting.remove(step)
        elif step in self._new:
            self._new.remove(step)
        else:
            self.rule.take(step.number)

    # New trials

    def _propose(self) -> bool:
        """Create the next trial; False if there is none."""
        number, records = len(self._logbook), self._logbook.records
        if not self.rule.closing:
            params = self._proposer.propose(number, records, self._enqueued(records))
            if params is not None:
                self._create(params)
                return True
        self.rule.closing = True
        return False

    def _recruit(self, lead: Step, size: int) -> None:
        """Create trials to go with a new one, as long as the sampler's next draws are of its structure.

        Some may have been created already, before an interruption. The draws are repeated from the first, so that
        they come out as they would have, and those trials are left out.
        """
        kind, misses = self._kind(lead), 0
        created = [step.number for step in self._new if step != lead and self._kind(step) == kind]
        records = [record for record in self._logbook.records if record.number not in created]
        mates: list[Params] = []
        while len(mates) < size - 1 and misses < _MISSES and self._may_join(lead, len(records)):
            params = self._proposer.propose(len(records) + misses, records)
            if params is not None and self._recipe.structure(self._recipe.completed(params)) == kind.structure:
                records.append(TrialRecord(number=len(records), state="running", params=params))
                mates.append(params)
            else:
                misses += 1
        for params in mates[len(created) :]:
            self._create(params)

    def _may_join(self, lead: Step, number: int) -> bool:
        """Whether a new trial of that number may be created to go with another."""
        enough = number >= self._plan.budget.trials or self._enqueued(self._logbook.records) is not None
        return not enough and self._first_rung(number) == lead.to_epoch

    def _create(self, params: Params) -> None:
        number = len(self._logbook)
        self._logbook.create(params, self._bracket(number))
        self._new.append(Step(number, 0, self.rule.add(number)))
        self._note_the_last()

    def _enqueued(self, records: Sequence[TrialRecord]) -> Params | None:
        """The next enqueued params that no trial has; each trial has one of them at most."""
        tried = [record.params.items() for record in records]
        for given in self._enqueue:
            match = next((params for params in tried if given.items() <= params), None)
            if match is None:
                return given
            tried.remove(match)
        return None

    def _bracket(self, number: int) -> int | None:
        """A new trial's; Optuna's pruner deals out brackets of its own."""
        hyperband = self._plan.hyperband
        return None if hyperband.mode == "stop" else hyperband.ladder.bracket_of(number)

    def _first_rung(self, number: int) -> int:
        return self._plan.hyperband.ladder.rungs(self._bracket(number) or 0)[0]

    def _note_the_last(self) -> None:
        self.rule.closing = self.rule.closing or len(self._logbook) >= self._plan.budget.trials


def _rule(plan: StudyPlan, records: Sequence[TrialRecord]) -> Rule:
    """The rule of the plan's mode, as it stood when the records were written."""
    ladder, direction = plan.hyperband.ladder, plan.objective.direction
    if plan.hyperband.mode == "stop":
        return Stopping.rebuild(plan.name, ladder, direction, records)
    return Promotion.rebuild(ladder, direction, records)
