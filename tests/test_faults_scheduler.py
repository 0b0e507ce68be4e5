"""Random searches: the supervisor as it is, workers that are imagined, and every accident drawn by chance."""

import dataclasses
import random
from collections import Counter, deque

import pytest
from killing import repetitions, tried
from running import make_study, options

from search.blobs import FolderBlobs
from search.errors import Interrupted
from search.logbook import Logbook
from search.messages import EpochDone, JobDone, Ready, TrialFailed
from search.pool import Died
from search.recipe import Recipe
from search.signals import StopRequest
from search.supervisor import Supervisor
from studies.ladder import AHEAD
from studies.plan import load_study
from studies.store import Store

SPACE = """
model = "mlp"
[parameters]
units = { type = "int", low = 32, high = 64, log = true, step = 2 }
learning_rate = { type = "float", low = 1e-4, high = 1e-1, log = true }
"""


class Crash(BaseException):
    """The supervisor is killed."""


class World:
    """What outlasts a supervisor: checkpoints; and what the test counts.

    Attributes:
        epochs: By trial, the epoch of its checkpoint.
        trained: How often each epoch of each trial was trained to its end.
        deaths: How many workers died over each epoch of each trial, and over being started.
        accidents: Everything that went wrong.
    """

    def __init__(self, seed, accidents):
        self.rng = random.Random(seed)
        self.seed, self.accident_rate = seed, accidents
        self.epochs, self.trained, self.deaths, self.accidents = Counter(), Counter(), Counter(), Counter()
        self.failing = {number: 1 + number % 4 for number in random.Random(seed).sample(range(30), 3)}

    def value(self, trial, epoch):
        return random.Random(f"{self.seed} {trial}").random() + 0.01 * epoch

    def happens(self, what, share=1.0):
        """Whether an accident happens now."""
        if self.rng.random() >= share * self.accident_rate:
            return False
        self.accidents[what] += 1
        return True


class Disk:
    """A study, of which the last writes before a crash are lost."""

    def __init__(self, study):
        self.study, self.lost = study, False

    def __getattr__(self, name):
        return getattr(self.study, name)

    def commit(self, changes):
        return [] if self.lost else self.study.commit(changes)


class Workers:
    """A pool whose workers do in no time what the supervisor asks for, or what befalls them."""

    most_bytes = 0

    def __init__(self, world, disk, stop, slots, cohort):
        self.world, self.disk, self.stop, self.cohort = world, disk, stop, cohort
        self.slots = range(slots)
        self.jobs, self.news = {}, deque()
        self.starting = list(self.slots)
        self.pausing = False

    def events(self, _seconds):
        self._befall()
        if not self.news:
            self._work()
        if self.news:
            yield self.news.popleft()

    def send(self, slot, job):
        assert slot not in self.jobs
        trials = [task.trial for task in job.tasks]
        assert not {task.trial for other in self.jobs.values() for task in other.tasks} & set(trials)
        self.jobs[slot] = job
        for task in job.tasks:
            for epoch in task.untold(self.world.epochs[task.trial]):
                self._tell(slot, task.trial, epoch)

    def pause(self):
        self.pausing = True

    def replace(self, slot):
        self.jobs.pop(slot, None)
        self.news = deque(news for news in self.news if news[0] != slot)
        self.starting.append(slot)

    def _befall(self):
        """What may happen to a whole run."""
        world = self.world
        if not self.pausing and world.happens("interruption", 0.3):
            self.stop.set()
        self.disk.lost = self.disk.lost or world.happens("lost writes", 0.3)
        if world.happens("crash", 0.3) or (self.disk.lost and world.rng.random() < 0.3):
            raise Crash

    def _work(self):
        slot = self.world.rng.choice([*self.starting, *self.jobs] or [None])
        if slot in self.starting:
            self._begin(slot)
        elif slot is not None:
            self._go_on(slot, self.jobs[slot])

    def _begin(self, slot):
        if self.world.deaths["start", slot] < 2 and self.world.happens("death at the start"):
            self.world.deaths["start", slot] += 1
            self._die(slot)
        else:
            self.world.deaths["start", slot] = 0
            self.starting.remove(slot)
            self.news.append((slot, Ready(backend="", devices=[], versions={}, seconds=0.0, cohort=self.cohort)))

    def _go_on(self, slot, job):
        """All trials of the job train their next epoch, then all the next; they pause in between."""
        epochs, failing = self.world.epochs, self.world.failing
        left = [task.trial for task in job.tasks if epochs[task.trial] < job.to_epoch]
        doomed = [trial for trial in left if epochs[trial] + 1 == failing.get(trial)]
        going = sorted(set(left) - set(doomed), key=lambda trial: epochs[trial])
        level = not going or epochs[going[0]] == epochs[going[-1]]
        if going and not (self.pausing and level):
            self._train(slot, going[0])
            return
        for trial in [] if going else doomed:
            self.news.append((slot, TrialFailed(trial=trial, reason="ValueError: it is doomed")))
        self.news.append((slot, JobDone(weights=7)))
        del self.jobs[slot]

    def _train(self, slot, trial):
        epoch = self.world.epochs[trial] + 1
        mates = [task.trial for task in self.jobs[slot].tasks]
        most = 2 if self.cohort == 1 else 1  # trials that lost two workers train alone: another search, by intention
        spared = all(self.world.deaths[mate, self.world.epochs[mate] + 1] < most for mate in mates)
        if spared and self.world.happens("death"):
            for mate in mates:
                self.world.deaths[mate, self.world.epochs[mate] + 1] += 1
            self._die(slot)
            return
        self.world.trained[trial, epoch] += 1
        self.world.epochs[trial] = epoch
        if spared and self.world.happens("death before telling"):
            for mate in mates:
                self.world.deaths[mate, self.world.epochs[mate] + 1] += 1
            self._die(slot)
        else:
            self._tell(slot, trial, epoch)

    def _die(self, slot):
        self.jobs.pop(slot, None)
        if slot in self.starting:
            self.starting.remove(slot)
        self.news.append((slot, Died("SIGKILL", killed=True)))

    def _tell(self, slot, trial, epoch):
        metrics = {"val_accuracy": self.world.value(trial, epoch)}
        self.news.append((slot, EpochDone(trial=trial, epoch=epoch, metrics=metrics, seconds=float(epoch))))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with Store.open(options(tmp_path_factory.mktemp("store")).store) as store:
        yield store


class Search:
    """A study that is searched, with all the accidents of its world, until it is through."""

    def __init__(self, store, folder, name, world, workers=1, cohort=1, trials=24):
        overrides = [f"budget.trials={trials}", "sampler.name=random"]
        self.loaded = load_study(str(make_study(folder, space=SPACE)), overrides)
        self.store, self.name, self.world, self.workers, self.cohort = store, name, world, workers, cohort
        self.blobs = FolderBlobs(folder / "runs")
        self.given, self.standing = set(), {}

    def through(self):
        """Search, again after each crash; the trials in the end."""
        while True:
            try:
                return self._live()
            except (Crash, Interrupted):
                continue

    def _live(self):
        plan, world, stop = self.loaded.plan, self.world, StopRequest()
        about = {"monitor": "val_accuracy", "plan": {}, "space": {}, "data": {}}
        with self.store.begin(self.name, "maximize", {}, about) as study:
            disk = Disk(study)
            logbook = Logbook(disk, plan, self.loaded.space, self.blobs)
            self.standing = {record.number: dict(record.rungs) for record in logbook.records}
            workers = Workers(world, disk, stop, self.workers, self.cohort)
            Supervisor(logbook, Recipe(self.loaded), workers, stop, self._observe).run()
            if disk.lost:
                raise Crash
            return study.records()

    def _observe(self, kind, **about):
        if kind == "rung":
            self.standing[about["trial"]][about["epoch"]] = about["value"]
        if kind == "trial":
            self.standing.setdefault(about["trial"], {})
            step = (about["trial"], about["to_epoch"])
            if step not in self.given:
                self._check_promotion(*step)
            self.given.add(step)

    def _check_promotion(self, number, to_epoch):
        """See that a trial that goes up is the first, among the best of its rung, or the last hope of its bracket."""
        ladder = self.loaded.plan.hyperband.ladder
        bracket = ladder.bracket_of(number)
        below = [rung for rung in ladder.rungs(bracket) if rung < to_epoch]
        assert all(rung in self.standing[number] for rung in below)
        if below:
            mates = {one: rungs for one, rungs in self.standing.items() if ladder.bracket_of(one) == bracket}
            values = sorted((rungs[below[-1]] for rungs in mates.values() if below[-1] in rungs), reverse=True)
            rank = values.index(self.standing[number][below[-1]])
            complete = any(ladder.max_resource in rungs for rungs in mates.values())
            last_hope = not complete and len(self.standing) == self.loaded.plan.budget.trials
            first = number == 0 and len(below) <= AHEAD
            assert rank < len(values) // ladder.reduction_factor or first or last_hope


def check(search, trials):
    """What must hold of every search, whatever befell it."""
    ladder, world = search.loaded.plan.hyperband.ladder, search.world
    # Where a promotion was lost, and others came first after the crash, a checkpoint may be all that is left of it.
    may_be_behind = search.workers > 1 or search.cohort > 1
    assert [trial.number for trial in trials] == list(range(search.loaded.plan.budget.trials))
    assert set(world.trained.values()) == {1}  # no epoch is trained twice
    for trial in trials:
        assert trial.finished
        assert trial.bracket == ladder.bracket_of(trial.number)  # the quota of brackets
        goal = max(to_epoch for number, to_epoch in search.given if number == trial.number)
        assert (trial.state == "failed") == (goal >= world.failing.get(trial.number, 99)) or may_be_behind
        assert trial.epochs == world.epochs[trial.number] or may_be_behind
        curve = tuple(world.value(trial.number, epoch) for epoch in range(1, trial.epochs + 1))
        assert trial.history.get("val_accuracy", ()) == curve
        assert [*trial.rungs] == [rung for rung in ladder.rungs(trial.bracket) if rung <= trial.epochs]
        assert (trial.state == "complete") == (trial.epochs == ladder.max_resource)
    for bracket in range(ladder.brackets):
        check_bracket(ladder, [trial for trial in trials if trial.bracket == bracket])


def check_bracket(ladder, mates):
    """Whoever may go up did, and one at least came to the top."""
    for rung in ladder.rungs(mates[0].bracket)[:-1]:
        ranking = sorted((mate for mate in mates if rung in mate.rungs), key=lambda mate: -mate.rungs[rung])
        for best in ranking[: len(ranking) // ladder.reduction_factor]:
            assert best.epochs > rung or best.state == "failed"
    assert any(mate.state == "complete" for mate in mates) or not any(mate.state == "pruned" for mate in mates)


def result(trials):
    return [dataclasses.replace(trial, started=None, ended=None, seconds=0.0) for trial in trials]


def test_with_one_worker_a_search_full_of_accidents_ends_as_the_calm_one(store, tmp_path):
    """Of workers that train trials one at a time; cohorts may be formed anew after a crash, and compare others."""
    accidents = Counter()
    for seed in range(repetitions(2, 50)):
        name = f"one-{seed}"
        calm = Search(store, tmp_path / "calm", f"{name} calm", World(seed, 0.0))
        search = Search(store, tmp_path / name, name, World(seed, 0.05))
        found = search.through()
        check(search, found)
        assert result(found) == result(calm.through())
        accidents += search.world.accidents
    assert accidents.total() > 20
    tried(accidents.total(), f"imagined accidents, one worker: {dict(accidents)}")


def test_with_several_workers_and_cohorts_no_trial_is_forgotten_and_none_goes_up_twice(store, tmp_path):
    accidents = Counter()
    for seed in range(repetitions(3, 60)):
        name, workers, cohort = f"many-{seed}", 2 + seed % 4, 1 + seed % 3
        search = Search(store, tmp_path / name, name, World(seed, 0.05), workers, cohort, trials=30)
        check(search, search.through())
        accidents += search.world.accidents
    assert accidents.total() > 20
    tried(accidents.total(), f"imagined accidents, several workers: {dict(accidents)}")
