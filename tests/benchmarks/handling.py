"""What is done with a store while a search goes on and after it, one measurement after the other."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from pathlib import Path

from reports.leaderboard import leaderboard
from reports.tables import to_text
from search.blobs import FolderBlobs
from search.logbook import Logbook
from search.messages import EpochDone
from search.status import standings
from studies.plan import LoadedStudy
from studies.promotion import Promotion, Step
from studies.sampler import Proposer
from studies.store import OpenStudy, Store, sqlite_url
from tests.benchmarks.filling import begun
from tests.benchmarks.samples import Sample, command, timed

Samples = dict[str, list[Sample]]

_TOPRUNG = [sys.executable, "-m", "search"]
_PATIENCE_SECONDS = 600.0


class Search:
    """A search by promotion as its supervisor goes about it, with trials that take no time to train."""

    def __init__(self, loaded: LoadedStudy, study: OpenStudy, out: Path) -> None:
        plan = loaded.plan
        self.logbook = Logbook(study, plan, loaded.space, FolderBlobs(out / plan.name))
        self._ladder = plan.hyperband.ladder
        self._rule = Promotion.rebuild(self._ladder, plan.objective.direction, self.logbook.records)
        self._proposer = Proposer(loaded.space, plan.sampler, plan.objective.direction, self._ladder)

    def ask(self) -> Step:
        """New params, and a trial of them in the store."""
        number = len(self.logbook)
        params = self._proposer.propose(number, self.logbook.records)
        assert params is not None
        self.logbook.create(params, self._ladder.bracket_of(number))
        step = Step(number, 0, self._rule.add(number))
        self.logbook.settle()
        return step

    def take(self) -> Step:
        """The next trial that goes up."""
        step = self._rule.take()
        assert step is not None, "no trial may go up"
        return step

    def approach(self, step: Step) -> None:
        """All epochs of a step but the last."""
        self._train(step, step.to_epoch - 1)
        self.logbook.save_epochs()
        self.logbook.settle()

    def arrive(self, step: Step) -> None:
        """The last epoch of a step and the rung's decision; at the top rung the trial is complete."""
        self._train(step, step.to_epoch)
        flight = self.logbook.flights[step.number]
        flight.weighs(10_000)
        flight.rung_reached("complete" if step.to_epoch == self._ladder.max_resource else "paused", step.to_epoch)
        self._rule.arrive(step.number, step.to_epoch, flight.record.value or 0.0)
        self._rule.out(step.number)
        self.logbook.save(flight)
        self.logbook.settle()

    def _train(self, step: Step, to_epoch: int) -> None:
        flight = self.logbook.flights[step.number]
        for epoch in range(flight.epochs + 1, to_epoch + 1):
            value = 0.9 - 0.5 / epoch
            metrics = {"train_accuracy": value, "train_loss": 1.0, "val_accuracy": value, "val_loss": 1.0}
            flight.epoch_done(EpochDone(trial=step.number, epoch=epoch, metrics=metrics, seconds=0.1 * epoch))


def searched(loaded: LoadedStudy, out: Path, repeats: int) -> Samples:
    """Resume a search, then ask, report and tell; each waits until the disk has it, as the supervisor never does."""
    samples: Samples = {"resume": [], "ask": [], "report": [], "tell": []}
    with Store.open(_url(out)) as store, begun(store, loaded) as study:
        found = []
        samples["resume"].append(timed(lambda: found.append(Search(loaded, study, out))))
        search = found[0]
        search.ask()  # the first proposal notes what every trial of the store was drawn from
        with search.logbook:
            for _ in range(repeats):
                _one_of_each(search, samples)
    return samples


def _one_of_each(search: Search, samples: Samples) -> None:
    steps: list[Step] = []
    samples["ask"].append(timed(lambda: steps.append(search.ask())))
    new, old = steps[0], search.take()
    search.approach(new)
    samples["report"].append(timed(lambda: search.arrive(new)))
    search.approach(old)
    samples["tell"].append(timed(lambda: search.arrive(old)))


def looked_at(name: str, out: Path, repeats: int) -> Samples:
    """`toprung status` and `toprung leaderboard`: what they do, and whole processes."""
    samples: Samples = {"status": [], "leaderboard": [], "status command": [], "leaderboard command": []}
    for _ in range(repeats):
        samples["status"].append(timed(lambda: _status(out)))
        samples["leaderboard"].append(timed(lambda: _leaderboard(name, out)))
        for verb, words in (("status", []), ("leaderboard", [name])):
            line = [*_TOPRUNG, verb, *words, "--out", str(out)]
            samples[f"{verb} command"].append(command(line, out / f"{verb}.txt"))
    return samples


def _status(out: Path) -> None:
    with Store.open(_url(out), create=False, read_only=True) as store:
        standings(store, None)


def _leaderboard(name: str, out: Path) -> None:
    with Store.open(_url(out), create=False, read_only=True) as store:
        to_text(leaderboard(store.load(name)))


def browsed(out: Path, repeats: int) -> Samples:
    """`toprung dashboard`: from its start to the list of studies, to a study with its trials, and to a later look."""
    samples: Samples = {"dashboard: studies": [], "dashboard: trials": [], "dashboard: again": []}
    for _ in range(repeats):
        for name, sample in _opened_dashboard(out).items():
            samples[name].append(sample)
    return samples


def _opened_dashboard(out: Path) -> dict[str, Sample]:
    started = time.perf_counter()
    line = [*_TOPRUNG, "dashboard", "--port", "0", "--out", str(out)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().split("/dashboard")[0].rpartition(":")[2])
            found = {}
            for name, path in (("studies", "/api/studies"), ("trials", "/api/studies/1?after=0")):
                _get(port, path)
                found[f"dashboard: {name}"] = Sample(time.perf_counter() - started, _cpu_seconds(process.pid))
            time.sleep(_DASHBOARD_FORGETS_SECONDS)
            wall, cpu = time.perf_counter(), _cpu_seconds(process.pid)
            _get(port, "/api/studies/1?after=0")
            found["dashboard: again"] = Sample(time.perf_counter() - wall, _cpu_seconds(process.pid) - cpu)
        finally:
            process.terminate()  # a background process may ignore interrupts
    return found


_DASHBOARD_FORGETS_SECONDS = 10.5  # optuna-dashboard reads a study of many trials anew every ten seconds


def _get(port: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")


def _cpu_seconds(pid: int) -> float:
    """Seconds of the processor that a running process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


_TICKS_A_SECOND = 100  # of /proc, on every Linux


def _url(out: Path) -> str:
    return sqlite_url(out.absolute() / "studies.db")
