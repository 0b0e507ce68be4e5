import math
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studies.errors import StudyError
from studies.ladder import Ladder
from studies.promotion import Promotion, Step, explain
from studies.records import TrialRecord
from studies.rung import Rung

SMALL = Ladder(1, 9, 3)


def arrive_all(promotion, values, first=0):
    for number, value in enumerate(values, start=first):
        promotion.add(number)
        promotion.arrive(number, 1, value)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40))
def test_candidates_are_all_that_wait_among_the_best_third_the_best_first(arrivals):
    rung = Rung(reduction_factor=3)
    keys = [(float(value), number) for number, (value, _) in enumerate(arrivals)]
    for key in keys:
        rung.arrive(key)
    gone = {number for number, (_, leaves) in enumerate(arrivals) if leaves}
    for number in gone:
        rung.leave(number)
    best_third = sorted(keys)[: len(keys) // 3]
    assert rung.candidates() == [key for key in best_third if key[1] not in gone]


def test_a_new_trial_runs_to_the_first_rung_of_its_bracket():
    promotion = Promotion(SMALL, "maximize")
    assert [promotion.add(number) for number in range(17)] == [1] * 9 + [3] * 5 + [9] * 3


def test_nobody_goes_up_before_one_in_three_may():
    promotion = Promotion(SMALL, "maximize")
    arrive_all(promotion, [0.5, 0.7], first=1)
    assert promotion.take() is None
    promotion.add(3)
    promotion.arrive(3, 1, 0.6)
    assert promotion.take() == Step(2, from_epoch=1, to_epoch=3)
    assert promotion.take() is None
    assert promotion.paused() == [1, 3]
    assert promotion.under_way() == [Step(2, 1, 3)]


def test_the_first_trial_of_a_study_goes_on_to_the_third_rung_whatever_it_is_worth():
    promotion = Promotion(Ladder(1, 27, 3), "maximize")
    arrive_all(promotion, [0.1, 0.8, 0.9])
    assert [promotion.take(), promotion.take(), promotion.take()] == [(2, 1, 3), (0, 1, 3), None]
    promotion.arrive(0, 3, 0.2)
    promotion.arrive(2, 3, 0.95)
    assert promotion.candidates() == [(0, 3, 9)]
    assert [promotion.take(), promotion.take()] == [(0, 3, 9), None]
    promotion.arrive(0, 9, 0.99)
    assert promotion.take() is None


@pytest.mark.parametrize(("factor", "arrivals"), [(2, 3), (3, 5), (4, 7)])
def test_nobody_goes_up_from_the_third_rung_of_the_first_bracket_before_twice_the_factor_less_one(factor, arrivals):
    ladder, best = Ladder(1, factor**3, factor), arrivals - 1
    third = ladder.rungs(0)[2]
    records = [
        TrialRecord(number, "paused", bracket=0, epochs=third, rungs=dict.fromkeys(ladder.rungs(0)[:3], 0.1 * number))
        for number in range(arrivals)
    ]
    assert Promotion.rebuild(ladder, "maximize", records[:best]).take() is None
    assert Promotion.rebuild(ladder, "maximize", records).take() == (best, third, ladder.max_resource)
    assert explain(records[:best], ladder, "maximize", 0)[-1].cutoff is None
    assert explain(records, ladder, "maximize", 0)[-1].cutoff == 0.1 * best


def test_once_the_first_bracket_has_all_its_trials_the_best_of_three_goes_up_from_its_third_rung():
    ladder = Ladder(1, 27, 3)
    rungs = [{1: 0.5, 3: 0.6, 9: value} for value in (0.0, 0.1, 0.2)]
    arrived = [TrialRecord(number, "paused", bracket=0, epochs=9, rungs=rungs[number]) for number in range(3)]
    others = [TrialRecord(number, "failed", bracket=0) for number in range(3, 27)]
    next_bracket = TrialRecord(27, "running", bracket=1)
    assert Promotion.rebuild(ladder, "maximize", [*arrived, *others]).take() is None
    full = [*arrived, *others, next_bracket]
    assert Promotion.rebuild(ladder, "maximize", full).take() == (2, 9, 27)
    assert explain(full, ladder, "maximize", 0)[-1].cutoff == 0.2


def test_the_place_that_the_first_trial_did_not_need_is_still_there():
    promotion = Promotion(SMALL, "maximize")
    arrive_all(promotion, [0.1])
    assert promotion.take() == (0, 1, 3)
    arrive_all(promotion, [0.8, 0.9], first=1)
    assert promotion.take() == (2, 1, 3)


def test_a_first_trial_without_a_usable_value_does_not_go_on():
    promotion = Promotion(SMALL, "maximize")
    arrive_all(promotion, [math.nan, 0.5])
    assert promotion.candidates() == []
    assert promotion.take() is None


def test_the_smallest_value_goes_up_when_the_monitor_is_minimised():
    promotion = Promotion(SMALL, "minimize")
    arrive_all(promotion, [0.5, 0.7, 0.6])
    assert promotion.take() == (0, 1, 3)


def test_places_of_promoted_trials_stay_taken():
    promotion = Promotion(SMALL, "maximize")
    arrive_all(promotion, [0.9, 0.1, 0.2])
    assert promotion.take() == (0, 1, 3)
    for number, value in ((3, 0.3), (4, 0.4)):
        promotion.add(number)
        promotion.arrive(number, 1, value)
        assert promotion.take() is None
    promotion.add(5)
    promotion.arrive(5, 1, 0.35)
    assert promotion.take() == (4, 1, 3)


def test_a_newcomer_better_than_the_promoted_one_goes_up_too():
    promotion = Promotion(SMALL, "maximize")
    arrive_all(promotion, [0.5, 0.1, 0.2])
    assert promotion.take() == (0, 1, 3)
    promotion.add(3)
    promotion.arrive(3, 1, 0.8)
    assert promotion.take() == (3, 1, 3)


def test_of_equal_values_the_older_trial_goes_up():
    promotion = Promotion(SMALL, "maximize")
    for number in (2, 1, 0):
        promotion.add(number)
    for number in (2, 1, 0):
        promotion.arrive(number, 1, 0.5)
    assert promotion.take() == (0, 1, 3)


def test_the_highest_rung_comes_first_then_the_best_value():
    promotion = Promotion(SMALL, "maximize")
    arrive_all(promotion, [0.1 * number for number in range(9)])
    ups = [promotion.take() for _ in range(3)]
    assert ups == [(8, 1, 3), (7, 1, 3), (6, 1, 3)]
    for up in ups:
        promotion.arrive(up.number, 3, 0.5)
    for number in range(17, 23):
        promotion.add(number)
        promotion.arrive(number, 1, 0.95)
    assert promotion.take() == (6, 3, 9)
    assert promotion.take() == (17, 1, 3)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_value_that_is_not_finite_never_goes_up(direction, value):
    promotion = Promotion(SMALL, direction)
    arrive_all(promotion, [value] * 9)
    promotion.closing = True
    assert promotion.take() is None
    assert promotion.paused() == list(range(9))


def test_a_value_that_is_not_finite_helps_nobody_up():
    promotion = Promotion(SMALL, "maximize")
    arrive_all(promotion, [0.5, 0.6, math.nan], first=1)
    assert promotion.take() is None


def test_a_failed_trial_never_goes_up_and_its_value_still_counts():
    promotion = Promotion(SMALL, "maximize")
    arrive_all(promotion, [0.9, 0.5])
    promotion.fail(0)
    promotion.add(2)
    promotion.arrive(2, 1, 0.6)
    assert promotion.take() is None
    assert promotion.paused() == [1, 2]


def test_calls_that_cannot_be_are_refused():
    promotion = Promotion(SMALL, "maximize")
    promotion.add(0)
    with pytest.raises(ValueError, match="trial 0 cannot be added: it is already here"):
        promotion.add(0)
    with pytest.raises(ValueError, match="trial 0 cannot arrive at 3 epochs: its rung is 1"):
        promotion.arrive(0, 3, 0.5)
    with pytest.raises(ValueError, match="trial 7 cannot arrive at 1 epochs: it is not running"):
        promotion.arrive(7, 1, 0.5)
    promotion.fail(0)
    with pytest.raises(ValueError, match="trial 0 cannot fail"):
        promotion.fail(0)
    with pytest.raises(ValueError, match="already here"):
        promotion.add(0)


def test_when_closing_the_best_of_a_bracket_completes():
    promotion = Promotion(SMALL, "maximize")
    arrive_all(promotion, [0.5, 0.6], first=1)
    assert promotion.take() is None
    promotion.closing = True
    assert promotion.take() == (2, 1, 3)
    assert promotion.take() is None
    promotion.arrive(2, 3, 0.7)
    assert promotion.take() == (2, 3, 9)
    promotion.arrive(2, 9, 0.8)
    assert promotion.take() is None
    assert promotion.paused() == [1]


def test_closing_waits_for_trials_on_their_way():
    promotion = Promotion(SMALL, "maximize")
    arrive_all(promotion, [0.5, 0.6], first=1)
    promotion.add(3)
    promotion.closing = True
    assert promotion.take() is None
    promotion.arrive(3, 1, 0.9)
    assert promotion.take() == (3, 1, 3)


def test_closing_sends_up_the_next_when_the_first_fails():
    promotion = Promotion(SMALL, "maximize")
    arrive_all(promotion, [0.5, 0.6], first=1)
    promotion.closing = True
    assert promotion.take() == (2, 1, 3)
    promotion.fail(2)
    assert promotion.take() == (1, 1, 3)
    promotion.fail(1)
    assert promotion.take() is None


def test_on_a_flat_ladder_every_trial_completes_at_its_only_rung():
    promotion = Promotion(Ladder.flat(5), "maximize")
    assert promotion.add(0) == 5
    promotion.arrive(0, 5, 0.5)
    assert promotion.take() is None
    assert promotion.paused() == []


# Random searches, on several workers, with failures


@dataclass
class Search:
    """A search as the supervisor runs it, and what it would have written down."""

    ladder: Ladder
    direction: str
    trials: int
    records: dict[int, TrialRecord] = field(default_factory=dict)
    ups: list[Step] = field(default_factory=list)

    def __post_init__(self):
        self.promotion = Promotion(self.ladder, self.direction)

    def start(self):
        """Give a worker the next job, as a free worker asks for it; False when there is none."""
        self.promotion.closing = len(self.records) == self.trials
        up = self.promotion.take()
        if up is not None:
            self.check_rule(up)
            self.ups.append(up)
            self.records[up.number] = replace(self.records[up.number], state="running")
        elif not self.promotion.closing:
            number = len(self.records)
            self.promotion.add(number)
            bracket = self.ladder.bracket_of(number)
            self.records[number] = TrialRecord(number=number, state="running", bracket=bracket)
        return up is not None or not self.promotion.closing or bool(self.promotion.under_way())

    def check_rule(self, up):
        bracket = self.records[up.number].bracket
        mates = [record for record in self.records.values() if record.bracket == bracket]
        values = {r.number: r.rungs[up.from_epoch] for r in mates if up.from_epoch in r.rungs}
        finite = {number: value for number, value in values.items() if math.isfinite(value)}
        sign = -1 if self.direction == "maximize" else 1
        ranking = sorted(finite, key=lambda number: (sign * finite[number], number))
        within = ranking.index(up.number) < len(finite) // self.ladder.reduction_factor
        quiet = all(record.state not in ("running", "complete") for record in mates)
        ahead = up.number == 0 and up.from_epoch in self.ladder.rungs(0)[:2]
        assert within or ahead or (self.promotion.closing and quiet)

    def finish(self, which, value, fails):
        """One of the running trials arrives at its rung, or fails on the way."""
        under_way = self.promotion.under_way()
        step = under_way[which % len(under_way)]
        record = self.records[step.number]
        if fails:
            self.promotion.fail(step.number)
            self.records[step.number] = replace(record, state="failed", epochs=step.from_epoch)
            return
        self.promotion.arrive(step.number, step.to_epoch, value)
        state = "complete" if step.to_epoch == self.ladder.max_resource else "paused"
        rungs = {**record.rungs, step.to_epoch: value}
        self.records[step.number] = replace(record, state=state, epochs=step.to_epoch, rungs=rungs)


LADDERS = st.sampled_from([Ladder(1, 9, 3), Ladder(1, 5, 2), Ladder(2, 20, 3), Ladder.flat(4), Ladder(1, 27, 3)])
DIRECTIONS = st.sampled_from(["maximize", "minimize"])
VALUES = st.one_of(st.sampled_from([0.1, 0.2, 0.3]), st.floats())


def run(search, data, workers, until=None):
    """Run a search to its end, or until so many events have passed."""
    events = 0
    while until is None or events < until:
        more = True
        while more and len(search.promotion.under_way()) < workers:
            before = len(search.promotion.under_way())
            more = search.start() and len(search.promotion.under_way()) > before
        if not search.promotion.under_way():
            return
        failing = data.draw(st.integers(0, 9)) == 0
        search.finish(data.draw(st.integers(0, workers)), data.draw(VALUES), failing)
        events += 1


@settings(max_examples=60, deadline=None)
@given(st.data(), LADDERS, DIRECTIONS, st.integers(0, 25), st.integers(1, 4))
def test_no_trial_goes_up_twice_and_none_is_forgotten(data, ladder, direction, trials, workers):
    search = Search(ladder, direction, trials)
    run(search, data, workers)
    assert len(set(search.ups)) == len(search.ups)
    assert len(search.records) == trials
    paused = [number for number, record in search.records.items() if record.state == "paused"]
    assert search.promotion.paused() == paused
    assert all(record.state in ("paused", "complete", "failed") for record in search.records.values())


@settings(max_examples=60, deadline=None)
@given(st.data(), LADDERS, DIRECTIONS, st.integers(0, 25), st.integers(1, 4))
def test_each_bracket_with_a_usable_trial_completes_one(data, ladder, direction, trials, workers):
    search = Search(ladder, direction, trials)
    run(search, data, workers)
    for bracket in range(ladder.brackets):
        mates = [record for record in search.records.values() if record.bracket == bracket]
        usable = any(record.state == "paused" and math.isfinite(record.rungs[record.epochs]) for record in mates)
        assert not usable or any(record.state == "complete" for record in mates)


@settings(max_examples=60, deadline=None)
@given(st.data(), LADDERS, DIRECTIONS, st.integers(0, 25), st.integers(1, 4), st.integers(0, 40))
def test_a_search_rebuilt_from_its_records_goes_on_as_before(data, ladder, direction, trials, workers, until):
    search = Search(ladder, direction, trials)
    run(search, data, workers, until)
    records = data.draw(st.permutations(list(search.records.values())))
    rebuilt = Promotion.rebuild(ladder, direction, records)
    for closing in (False, True):
        before, after = search.promotion, rebuilt
        before.closing = after.closing = closing
        assert after.paused() == before.paused()
        assert after.under_way() == before.under_way()
        while (step := before.take()) is not None:
            assert after.take() == step
            value = data.draw(VALUES)
            before.arrive(step.number, step.to_epoch, value)
            after.arrive(step.number, step.to_epoch, value)
        assert after.take() is None


@settings(max_examples=40, deadline=None)
@given(st.data(), LADDERS, st.integers(0, 25))
def test_a_forecast_of_the_worst_case_is_never_exceeded(data, ladder, trials):
    search = Search(ladder, "maximize", trials)
    epochs = 0
    while search.start():
        step = search.promotion.under_way()[0]
        epochs += step.to_epoch - step.from_epoch
        search.finish(0, data.draw(st.floats(0, 1)), fails=False)
    assert epochs <= ladder.forecast(trials).worst_epochs


def test_pruned_trials_of_an_extended_study_compete_but_stay_where_they_are():
    pruned = [
        TrialRecord(number=number, state="pruned", bracket=0, epochs=1, rungs={1: value})
        for number, value in enumerate([0.9, 0.5])
    ]
    promotion = Promotion.rebuild(SMALL, "maximize", pruned)
    promotion.add(2)
    promotion.arrive(2, 1, 0.6)
    assert promotion.take() is None
    promotion.add(3)
    promotion.arrive(3, 1, 0.95)
    assert promotion.take() == (3, 1, 3)


def test_a_complete_record_without_its_top_rung_is_complete_all_the_same():
    record = TrialRecord(number=0, state="complete", bracket=0, epochs=9, rungs={1: 0.5, 3: 0.6})
    other = TrialRecord(number=1, state="paused", bracket=0, epochs=1, rungs={1: 0.4})
    promotion = Promotion.rebuild(SMALL, "maximize", [record, other])
    promotion.closing = True
    assert promotion.take() is None
    assert promotion.paused() == [1]


def test_of_ten_thousand_trials_a_third_of_each_rung_goes_on():
    promotion = Promotion(Ladder(1, 81, 3), "maximize")
    calls = 0
    for number in range(10_000):
        epochs = promotion.add(number)
        promotion.arrive(number, epochs, math.sin(number))
        while (step := promotion.take()) is not None:
            promotion.arrive(step.number, step.to_epoch, math.sin(step.number + step.to_epoch / 100))
            calls += 1
    assert calls > 3_000


# Explanations


def records_of(*values, state="pruned"):
    return [
        TrialRecord(number=number, state=state, bracket=0, epochs=1, rungs={1: value})
        for number, value in enumerate(values)
    ]


def test_an_explanation_gives_the_rung_the_cut_off_and_the_competitors():
    records = records_of(0.5, 0.9, 0.7)
    records[1] = replace(records[1], state="complete", epochs=9, rungs={1: 0.9, 3: 0.91, 9: 0.92})
    [verdict] = explain(records, SMALL, "maximize", 2)
    assert (verdict.bracket, verdict.rung, verdict.epochs) == (0, 0, 1)
    assert (verdict.value, verdict.cutoff, verdict.rank, verdict.verdict) == (0.7, 0.9, 2, "pruned")
    assert verdict.competitors == ((1, 0.9), (2, 0.7), (0, 0.5))
    first, second, third = explain(records, SMALL, "maximize", 1)
    assert [first.verdict, second.verdict, third.verdict] == ["promoted", "promoted", "complete"]
    assert (second.cutoff, third.cutoff) == (None, None)


def test_an_explanation_ranks_the_smallest_first_when_the_monitor_is_minimised():
    [verdict] = explain(records_of(0.5, 0.9, 0.7), SMALL, "minimize", 0)
    assert (verdict.rank, verdict.cutoff) == (1, 0.5)


@pytest.mark.parametrize(
    ("state", "epochs", "verdict"),
    [
        ("running", 1, "promoted"),
        ("paused", 1, "paused"),
        ("failed", 1, "failed"),
        ("failed", 2, "promoted"),
        ("pruned", 1, "pruned"),
    ],
)
def test_a_verdict_follows_how_the_trial_stands(state, epochs, verdict):
    trial = TrialRecord(number=0, state=state, epochs=epochs, rungs={1: 0.5})
    assert [one.verdict for one in explain([trial], SMALL, "maximize", 0)] == [verdict]


def test_a_value_that_is_not_finite_has_no_rank():
    [verdict] = explain(records_of(math.nan, 0.5), SMALL, "maximize", 0)
    assert verdict.rank is None
    assert verdict.competitors == ((1, 0.5),)


def test_trials_of_other_brackets_do_not_compete():
    records = [*records_of(0.5), TrialRecord(number=9, state="pruned", bracket=1, epochs=3, rungs={3: 0.9})]
    [verdict] = explain(records, SMALL, "maximize", 0)
    assert verdict.competitors == ((0, 0.5),)


def test_a_trial_that_reached_no_rung_has_no_verdict():
    assert explain([TrialRecord(number=0, state="running")], SMALL, "maximize", 0) == []


def test_an_unknown_trial_is_bad_input():
    with pytest.raises(StudyError, match="trial 5: no such trial") as error:
        explain(records_of(0.5), SMALL, "maximize", 5)
    assert error.value.exit_code == 2
