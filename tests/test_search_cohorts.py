"""Searches whose workers take cohorts: what a worker is given next, and what it costs when one is lost."""

import signal
import time
from contextlib import ExitStack

import numpy as np
import pytest
from running import STUDY, at_epoch, make_study, options, outcome, run, start_process

from search import supervisor
from search.agenda import Agenda
from search.blobs import FolderBlobs
from search.errors import Interrupted, SearchError
from search.logbook import Logbook
from search.messages import EpochDone, JobDone, Ready
from search.pool import Died, Pool
from search.recipe import Recipe
from search.signals import StopRequest
from studies.ladder import Ladder
from studies.plan import load_study
from studies.promotion import Promotion, Step
from studies.store import Store

SPACE = """
model = "mlp"
[parameters]
units = { type = "int", low = 32, high = 64, log = true, step = 2 }
learning_rate = { type = "float", low = 1e-4, high = 1e-1, log = true }
"""
TRIALS = "budget.trials=16"


@pytest.fixture(autouse=True)
def four_together(monkeypatch):
    monkeypatch.setenv("PYTHON_COHORT", "4")


def search(folder, *overrides, **options):
    """A search by sleeping workers."""
    return run(make_study(folder, space=SPACE), folder / "runs", TRIALS, *overrides, **options)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The record of a run with one worker that nothing disturbed, and what was told of the trials of each job."""
    jobs = []

    def observe(kind, **about):
        if kind == "trial":
            if not jobs or len(jobs[-1]) == jobs[-1][0]["cohort"]:
                jobs.append([])
            jobs[-1].append(about)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHON_COHORT", "4")
        return search(tmp_path_factory.mktemp("undisturbed"), observe=observe), jobs


def full_cohort(jobs):
    """The numbers of the trials of a job that is full."""
    return next([trial["trial"] for trial in job] for job in jobs if len(job) == 4)


def test_a_cohort_holds_trials_of_one_structure_on_their_way_to_one_rung(undisturbed):
    for job in undisturbed[1]:
        assert len({(trial["params"]["units"], trial["epoch"], trial["to_epoch"]) for trial in job}) == 1
    assert max(len(job) for job in undisturbed[1]) == 4


def test_every_trial_has_a_final_state_and_no_more_are_begun_than_asked_for(undisturbed):
    record, _ = undisturbed
    assert len(record.trials) == 16
    assert {trial.state for trial in record.trials} == {"complete", "pruned"}
    for trial in record.trials:
        assert len(trial.history["val_accuracy"]) == trial.epochs == max(trial.rungs)


@pytest.mark.parametrize("epochs", [1, 6, 14])
def test_an_interrupted_search_ends_as_the_undisturbed_one(undisturbed, tmp_path, epochs):
    stop = StopRequest()
    with pytest.raises(Interrupted):
        search(tmp_path, observe=at_epoch(epochs, stop.set), stop=stop)
    assert outcome(search(tmp_path)) == outcome(undisturbed[0])


@pytest.mark.parametrize("member", [0, 2])
def test_a_killed_worker_costs_its_cohort_nothing_but_time(undisturbed, tmp_path, monkeypatch, member):
    monkeypatch.setenv("PYTHON_MISBEHAVE", f"{full_cohort(undisturbed[1])[member]}:1:kill")
    monkeypatch.setenv("PYTHON_MISBEHAVE_MARK", str(tmp_path / "mark"))
    assert outcome(search(tmp_path)) == outcome(undisturbed[0])
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_a_killed_supervisor_loses_nothing(undisturbed, tmp_path, monkeypatch, seconds):
    monkeypatch.setenv("PYTHON_SLEEP_SECONDS", "0.05")
    path, out = make_study(tmp_path, space=SPACE), tmp_path / "runs"
    process = start_process(path, out, TRIALS)
    while not list(out.glob("tiny/trials/*/epoch-*")):
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert outcome(search(tmp_path)) == outcome(undisturbed[0])


class Killed(BaseException):
    """As if the supervisor had been killed once the store had all it was given."""


def test_a_search_that_is_killed_between_two_arrivals_of_a_cohort_goes_on_as_it_would(undisturbed, tmp_path):
    def kill(kind, **about):
        if kind == "rung":
            raise Killed

    assert len(undisturbed[1][0]) > 1

    with pytest.raises(Killed):
        search(tmp_path, observe=kill)
    assert outcome(search(tmp_path)) == outcome(undisturbed[0])


def test_a_trial_that_kills_its_workers_fails_and_its_cohort_survives(undisturbed, tmp_path, monkeypatch):
    number = full_cohort(undisturbed[1])[2]
    monkeypatch.setenv("PYTHON_MISBEHAVE", f"{number}:1:always-kill")
    record = search(tmp_path)
    assert [trial.number for trial in record.trials if trial.state == "failed"] == [number]
    assert "worker died 3 times (SIGKILL)" in record.trials[number].reason


def test_a_trial_that_fails_leaves_its_cohort_as_it_is(undisturbed, tmp_path, monkeypatch):
    number, *others = full_cohort(undisturbed[1])
    monkeypatch.setenv("PYTHON_MISBEHAVE", f"{number}:1:raise")
    trials = search(tmp_path).trials
    assert [trial.number for trial in trials if trial.state == "failed"] == [number]
    for other in others:
        assert trials[other].rungs[1] == undisturbed[0].trials[other].rungs[1]


def test_a_search_ends_when_all_trials_of_five_jobs_fail(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_MISBEHAVE", "all:1:raise")
    with pytest.raises(SearchError, match=r"\d+ trials failed one after the other; the last: ValueError: told to"):
        search(tmp_path, "budget.trials=100")


class Desk:
    """An agenda, and trials that arrive at their rungs, the later ones with the better values."""

    def __init__(self, logbook, loaded):
        self.logbook = logbook
        self.recipe = Recipe(loaded, "jax")  # under which networks of other widths share no trace
        self.agenda = Agenda(logbook, self.recipe)

    def next(self, size=1, left=lambda number: False, ahead=1):
        return self.agenda.next(size, left, ahead)

    def train(self, steps):
        for step in steps:
            flight = self.logbook.flights[step.number]
            for epoch in range(flight.epochs + 1, step.to_epoch + 1):
                metrics = {"val_accuracy": 0.5 + 0.01 * step.number}
                flight.epoch_done(EpochDone(trial=step.number, epoch=epoch, metrics=metrics, seconds=1.0))
            flight.rung_reached("paused", flight.epochs)
            self.agenda.rule.arrive(step.number, step.to_epoch, flight.record.value)

    def params(self):
        return [record.params for record in self.logbook.records]


@pytest.fixture
def make_desk(tmp_path):
    """A function that opens a study, new or as it was left, and makes a desk for it."""
    with ExitStack() as opened:

        def make(name, space=ONE_STRUCTURE, enqueued="", overrides=()):
            opened.close()
            study = make_study(tmp_path, space=space, study=STUDY + enqueued)
            loaded = load_study(str(study), [TRIALS, *overrides])
            store = opened.enter_context(Store.open(options(tmp_path).store))
            about = {"monitor": "val_accuracy", "plan": loaded.plan.model_dump(mode="json"), "space": {}, "data": {}}
            study = opened.enter_context(store.begin(name, "maximize", {}, about))
            logbook = opened.enter_context(Logbook(study, loaded.plan, loaded.space, FolderBlobs(tmp_path)))
            return Desk(logbook, loaded)

        yield make


ONE_STRUCTURE = SPACE.replace("low = 32", "low = 64")


def test_the_best_of_those_that_may_go_up_come_before_new_trials(make_desk):
    desk = make_desk("a")
    desk.train(desk.next(size=6))
    assert [desk.next() for _ in range(2)] == [[(5, 1, 3)], [(4, 1, 3)]]
    assert desk.next() == [(0, 1, 3)]  # the first of a study goes on in any case
    assert desk.next() == [(6, 0, 1)]


def test_trials_that_may_go_up_go_together(make_desk):
    desk = make_desk("a")
    desk.train(desk.next(size=9))
    assert desk.next(size=2) == [(8, 1, 3), (7, 1, 3)]
    assert desk.next(size=2) == [(6, 1, 3), (0, 1, 3)]  # the first of a study in any case


def test_what_is_left_to_another_worker_waits_while_there_is_something_else(make_desk):
    desk = make_desk("a")
    desk.train(desk.next(size=6))
    left = [desk.next(left=lambda number: number == 5) for _ in range(3)]
    assert left == [[(4, 1, 3)], [(0, 1, 3)], [(6, 0, 1)]]
    assert desk.next(left=lambda number: True) == [(5, 1, 3)]


def test_new_trials_are_looked_through_for_one_that_is_not_left_to_another_worker(make_desk):
    desk = make_desk("a")
    assert desk.next(left=lambda number: number != 2, ahead=3) == [(2, 0, 1)]
    assert [desk.next() for _ in range(3)] == [[(0, 0, 1)], [(1, 0, 1)], [(3, 0, 1)]]


def test_a_new_trial_is_at_hand_before_it_is_asked_for(make_desk):
    desk = make_desk("a")
    assert desk.next() == [(0, 0, 1)]
    for _ in range(2):  # one is enough
        desk.agenda.prepare()
    assert len(desk.logbook) == 2
    desk = make_desk("a")  # after an interruption it is the next
    assert desk.next() == [(0, 0, 1)]
    assert desk.next() == [(1, 0, 1)]


def test_no_more_trials_are_prepared_than_asked_for(make_desk):
    desk = make_desk("a")
    while steps := desk.next():
        desk.train(steps)
        desk.agenda.prepare()
    assert len(desk.params()) == 16


@pytest.mark.parametrize("seed", range(5))
def test_candidates_are_those_that_go_up_in_their_order(seed):
    rng, ladder = np.random.default_rng(seed), Ladder(1, 9, 3)
    told, taken = Promotion(ladder, "maximize"), Promotion(ladder, "maximize")
    for number, value in enumerate(rng.integers(0, 20, 60).tolist()):
        gone = int(rng.choice(told.paused())) if number % 7 == 3 else None
        for rule in (told, taken):
            rule.arrive(number, rule.add(number), value)
            if gone is not None:
                rule.fail(gone)
    candidates = told.candidates()
    assert candidates == [taken.take() for _ in candidates]
    assert len(candidates) > 10
    assert taken.take() is None
    told.take(candidates[3].number)
    assert told.candidates() == [*candidates[:3], *candidates[4:]]


def test_a_cohort_that_was_created_in_part_before_a_kill_is_completed_as_it_would_have_been(make_desk):
    whole = make_desk("whole", SPACE)
    assert len(whole.next(size=4)) > 2
    part = make_desk("part", SPACE)
    for params in whole.params()[:2]:
        part.logbook.create(params, 0)
    again = make_desk("part", SPACE)
    again.next(size=4)
    assert again.params() == whole.params()


def test_trials_that_lost_two_workers_train_alone(make_desk):
    desk = make_desk("a")
    cohort = desk.next(size=3)
    desk.logbook.flights[1].deaths = 2
    desk.agenda.again(cohort)
    assert [desk.next(size=3) for _ in range(2)] == [[(0, 0, 1), (2, 0, 1)], [(1, 0, 1)]]


def test_enqueued_params_go_before_any_that_could_go_with_them(make_desk):
    desk = make_desk("a", SPACE, "\n[[enqueue]]\nunits = 32\n\n[[enqueue]]\nunits = 64\n")
    assert [step.number for step in desk.next(size=3)] == [0]
    desk.next(size=3)
    assert [params["units"] for params in desk.params()[:2]] == [32, 64]


def test_enqueued_params_that_differ_in_a_last_digit_alone_are_one_place_of_a_grid(make_desk):
    space = SPACE + 'dropout = { type = "float", low = 0.0, high = 0.5, step = 0.1 }\n'
    given = (0.30000000000000004, 0.3, 0.2)
    desk = make_desk("a", space, "".join(f"\n[[enqueue]]\ndropout = {dropout}\n" for dropout in given))
    for _ in range(2):
        desk.next()
    assert [params["dropout"] for params in desk.params()] == [0.3, 0.2]


READY = Ready(backend="none", devices=[], versions={}, seconds=0.0)


class Puppets:
    """Two workers that are ready, note what they are given, and do nothing."""

    slots, most_bytes = (0, 1), 2**40

    def __init__(self, stop):
        self.stop, self.given, self.replaced, self.killed = stop, {}, [], []

    def events(self, seconds):
        if self.given:
            self.stop.set()
        else:
            for slot in self.slots:
                yield slot, READY

    def send(self, slot, job):
        self.given[slot] = [task.trial for task in job.tasks]

    def pause(self):
        pass

    def kill(self, slot):
        self.killed.append(slot)

    def replace(self, slot):
        self.replaced.append(slot)


def supervise(desk, puppets, tell=lambda kind: None):
    """The supervisor of a desk's search; it tells the kinds of its events."""
    parts = desk.logbook, desk.recipe, puppets, puppets.stop
    return supervisor.Supervisor(*parts, lambda kind, **about: tell(kind))


ENQUEUED = "".join(
    f"\n[[enqueue]]\nunits = {units}\nlearning_rate = {rate}\n" for units, rate in ((32, 0.1), (32, 0.01), (64, 0.1))
)


def test_a_large_network_s_first_epoch_is_not_taken_for_the_making_of_its_program(make_desk, monkeypatch):
    """Else trials would wait for a worker that has theirs much longer than it is worth."""
    desk, stop = make_desk("a", SPACE), StopRequest()
    search = supervise(desk, Puppets(stop))
    now = 100.0
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: now)
    worker = search._desks[0]
    search._give(0, search._agenda.next(1, lambda number: False, ahead=1))
    now = 112.0
    search._learn_times(worker, 11.9)
    assert list(search._program_seconds) == [0.5]
    search._give(0, [Step(0, 1, 3)])
    search._learn_times(worker, 11.7)
    assert list(search._program_seconds) == [0.5, pytest.approx(0.3)]
    search._learn_times(worker, 11.8)
    assert list(search._epoch_seconds) == [11.7, 11.8]
    assert len(search._program_seconds) == 2


def test_a_worker_may_be_silent_for_ten_epochs_of_the_network_that_it_trains(make_desk):
    """However quick all the others are."""
    search = supervise(make_desk("a", SPACE), Puppets(StopRequest()))
    search._epoch_seconds.extend([30.0] * 50)
    worker = search._desks[0]
    assert search._patience(worker) == 3600
    search._handle(0, Ready(backend="none", devices=[], versions={}, seconds=0.0))
    search._give(0, [Step(search._agenda.next(1, lambda number: False, ahead=1)[0].number, 0, 3)])
    assert search._patience(worker) == 3 * 3600
    for epoch, seconds, patience in ((1, 450.0, 4500.0), (2, 470.0, 300.0)):
        search._handle(0, EpochDone(trial=0, epoch=epoch, metrics={"val_accuracy": 0.5}, seconds=seconds))
        assert search._patience(worker) == patience
    search._give(0, [Step(0, 2, 9)])  # its program is there
    assert search._patience(worker) == 300


def test_epochs_beyond_the_rung_that_a_trial_goes_to_are_left_for_its_next_job(make_desk):
    """They are of a checkpoint that a killed run left, from a promotion that the store doesn't know."""
    desk = make_desk("a")
    search = supervise(desk, Puppets(StopRequest()))
    search._handle(0, READY)
    search._give_jobs()
    for epoch in (1, 2, 3):
        search._handle(0, EpochDone(trial=0, epoch=epoch, metrics={"val_accuracy": 0.5}, seconds=1.0 * epoch))
    search._handle(0, JobDone())
    assert (desk.logbook.records[0].state, desk.logbook.records[0].epochs) == ("paused", 1)


def test_a_trial_that_hangs_again_and_again_fails(make_desk, monkeypatch):
    now, desk, puppets = 100.0, make_desk("a"), Puppets(StopRequest())
    search = supervise(desk, puppets)
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: now)
    for deaths in range(3):
        search._handle(0, READY)
        search._give_jobs()
        now += 3 * 3600
        search._watch()  # patience ends after that
        assert puppets.killed.count(0) == deaths
        now += 1
        search._watch()
        assert puppets.killed.count(0) == deaths + 1
        search._handle(0, Died("SIGKILL", killed=True))
    assert desk.logbook.records[0].state == "failed"
    assert desk.logbook.records[0].reason == "worker died 3 times (no progress for 10800 s)"


@pytest.mark.parametrize(("seconds", "second"), [(60.0, 2), (0.0, 1)])
def test_a_trial_waits_for_the_worker_that_has_its_program_no_longer_than_making_it_takes(
    make_desk, monkeypatch, seconds, second
):
    monkeypatch.setattr(supervisor, "_PROGRAM_SECONDS", seconds)
    monkeypatch.setattr(supervisor, "_PAUSE_SECONDS", -seconds)
    desk, stop = make_desk("a", SPACE, ENQUEUED), StopRequest()
    puppets = Puppets(stop)
    with pytest.raises(Interrupted):
        supervise(desk, puppets).run()
    assert puppets.given == {0: [0], 1: [second]}


def test_workers_that_do_not_pause_in_time_are_replaced(make_desk, monkeypatch):
    """Else what they say later would reach the next phase."""
    monkeypatch.setattr(supervisor, "_PAUSE_SECONDS", 0.0)
    puppets = Puppets(StopRequest())
    with pytest.raises(Interrupted):
        supervise(make_desk("a"), puppets).run()
    assert puppets.given.keys() == set(puppets.replaced) == {0, 1}


def test_trials_whose_workers_do_not_pause_when_the_time_is_up_wait_for_more_minutes(make_desk, monkeypatch):
    """Else they would be pruned as outranked, where nothing else is left to train."""
    monkeypatch.setattr(supervisor, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(StopRequest, "set", lambda stop: None)  # nobody interrupts
    puppets, desk = Puppets(StopRequest()), make_desk("a", overrides=["budget.trials=2", "budget.minutes=0.001"])
    supervise(desk, puppets).run()
    assert set(puppets.replaced) == {0, 1}
    assert [record.state for record in desk.logbook.records] == ["running", "running"]


def test_a_worker_that_has_grown_too_large_is_replaced_after_its_job(make_desk):
    puppets = Puppets(StopRequest())
    search = supervise(make_desk("a"), puppets)
    for memory in (1, 2**60):
        search._handle(0, READY)
        search._give_jobs()
        search._handle(0, JobDone(memory_bytes=memory))
    assert puppets.replaced == [0]


def test_a_trial_whose_workers_die_over_one_epoch_after_the_other_lives(make_desk):
    desk = make_desk("a")
    search = supervise(desk, Puppets(StopRequest()))
    search._agenda.next(1, lambda number: False, ahead=1)
    search._agenda.again([Step(0, 0, 9)])
    for epoch in range(1, 6):
        search._handle(0, READY)
        search._give_jobs()
        search._handle(0, EpochDone(trial=0, epoch=epoch, metrics={"val_accuracy": 0.5}, seconds=1.0 * epoch))
        search._handle(0, Died("SIGKILL", killed=True))
    assert desk.logbook.flights[0].epochs == 5


def test_workers_that_a_trial_lost_over_one_epoch_are_counted_over_several_runs(make_desk):
    for lost in range(2):
        desk = make_desk("a")
        search, flights = supervise(desk, Puppets(StopRequest())), desk.logbook.flights
        assert [flight.deaths for flight in flights.values()] == [1] * lost
        search._handle(0, READY)
        search._give_jobs()
        search._handle(0, Died("SIGKILL", killed=True))
        assert flights[0].deaths == lost + 1
    flights[0].epoch_done(EpochDone(trial=0, epoch=1, metrics={"val_accuracy": 0.5}, seconds=1.0))
    desk.logbook.save(flights[0])
    assert make_desk("a").logbook.flights[0].deaths == 0


def test_a_worker_that_ends_when_all_processes_are_told_to_is_neither_told_of_nor_replaced(make_desk):
    stop, told, desk = StopRequest(), [], make_desk("a")
    puppets = Puppets(stop)
    search = supervise(desk, puppets, told.append)
    search._handle(0, READY)
    search._give_jobs()
    stop.set()
    search._handle(0, Died("SIGTERM", killed=True))
    search._handle(1, Died("SIGTERM", killed=True))  # while it starts
    with pytest.raises(Interrupted):
        search.run()
    assert puppets.replaced == []
    assert "died" not in told
    assert desk.logbook.flights[0].deaths == 0


def test_what_a_worker_said_before_it_was_replaced_no_longer_counts():
    workers = []

    class Speaker:
        def __init__(self, slot, post):
            self.post = post
            workers.append(self)

        def close(self, seconds):
            self.post(Died("SIGKILL"))

    pool = Pool(Speaker, 1)
    workers[0].post(READY)
    pool.replace(0)
    workers[0].post(JobDone())
    workers[1].post(JobDone(weights=5))
    assert list(pool.events(0.0)) == [(0, JobDone(weights=5))]
