"""Runs whose processes are killed at random times until they are through, and what must hold all the same."""

import json
import os
import queue
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from running import make_study, stored

from studies.errors import StudyError

HERE = Path(__file__).parent
DEADLINE_SECONDS = 300.0
TALLY = os.environ.get("TOPRUNG_SOAK")  # the file where `make soak` counts what was tried
SOAKING = pytest.mark.skipif(not TALLY, reason="takes long; make soak does it")


def repetitions(few, soaking):
    """How often to try something: a little, or, under `make soak`, for the record."""
    return soaking if TALLY else few


def tried(count, what):
    """Note for the record what was tried, and stood."""
    if TALLY:
        with Path(TALLY).open("a") as file:
            file.write(f"{count:>6} {what}\n")


def wait_for(condition, what="what was waited for"):
    """Wait until something holds, however busy the machine is."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} didn't happen"
        time.sleep(0.01)
    return found


def children(pid):
    """The processes that a process started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(stat.parent.name))
    return found


def marked(variable):
    """The processes that were started with an environment variable, `NAME=value`."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if variable.encode() in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
    return found


def kill(*pids, how=signal.SIGKILL):
    """Send a signal to processes, dead ones left out."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, how)


class Life:
    """A run of a study, from its start to its end."""

    def __init__(self, pid, codes):
        self.pid, self._codes, self.code = pid, codes, None

    def ended(self, seconds):
        """Whether it has ended; waits a while for it."""
        if self.code is None:
            with suppress(queue.Empty):
                self.code = json.loads(self._codes.get(timeout=seconds))
        return self.code is not None

    def wait(self):
        """Wait for its end; its exit code."""
        assert self.ended(DEADLINE_SECONDS)
        return self.code

    def children(self):
        """Its workers."""
        return children(self.pid)

    def kill(self, how=signal.SIGKILL):
        if self.code is None:
            kill(self.pid, how=how)


class Launcher:
    """A process that starts runs with sleeping workers quickly."""

    def __init__(self, folder):
        self.mark = f"PYTHON_RUN_MARK={folder}"
        self.errors = folder / "stderr.txt"
        with self.errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "launcher.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=HERE.parent,
                env=os.environ | {"PYTHON_RUN_MARK": str(folder)},
            )
        self._answers = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, path, out, *overrides, workers=1, kill_at=None, count=1, **environment):
        """Start a run, or several at once; the one before has ended.

        Args:
            path: Of the study.
            out: The folder of runs.
            overrides: Keys of the study.
            workers: How many.
            kill_at: What the run tells when it is to be killed, and for what time.
            count: Runs of the study that are started at once.
            environment: Of the workers.
        """
        order = {"path": str(path), "out": str(out), "overrides": overrides, "workers": workers}
        order |= {
            "kill_at": kill_at,
            "count": count,
            "environment": {name: str(value) for name, value in environment.items()},
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Life(int(self._answers.get(timeout=DEADLINE_SECONDS)), self._answers)

    def running(self):
        """The processes of its runs, the workers among them."""
        return [pid for pid in marked(self.mark) if pid != self._process.pid]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        kill(*marked(self.mark))
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def _listen(self):
        with suppress(ValueError):
            for line in self._process.stdout:
                self._answers.put(line)


class Storm:
    """A study that is run until it is through while its processes are killed.

    Never are three workers killed over one epoch: a trial that does that is given up, and should be.

    Attributes:
        kills: How many processes were killed by name; workers that died with their supervisor aren't among them.
        lost_workers: How many workers died.
        interruptions: How many runs ended before the study was through.
    """

    def __init__(self, folder, victims, seed, overrides=(), workers=1, **environment):
        self.folder, self.victims, self.workers, self.overrides = folder, victims, workers, overrides
        self.path = make_study(folder)
        self.out, self.epochs = folder / "runs", folder / "epochs.txt"
        self.epochs.touch()
        self._rng, self._environment = random.Random(seed), {"PYTHON_EPOCHS": self.epochs, **environment}
        self._killed_at = [-2, -2]  # how many epochs had been begun when the last workers were killed
        self._scale, self._stood = 1.0, -1
        self.kills = self.lost_workers = self.interruptions = 0

    def blow(self):
        """Run the study until it is through; its record."""
        before = None
        with Launcher(self.folder) as self._launcher:
            code = None
            while code != 0:
                code = self._one_life()
                assert code in (0, -signal.SIGKILL), self._launcher.errors.read_text()
                wait_for(lambda: not self._launcher.running(), "the death of all workers")
                before = self._nothing_lost(before)
                self._be_patient()
        self._check_files()
        return stored(self.out)

    @property
    def begun(self):
        """Every epoch that a worker began, in order, those that were begun again among them."""
        return self.epochs.read_text().splitlines()

    @property
    def repeated(self):
        """How many epochs were begun again."""
        return len(self.begun) - len(set(self.begun))

    def _one_life(self):
        environment = self._environment
        life = self._launcher.start(self.path, self.out, *self.overrides, workers=self.workers, **environment)
        while not life.ended(self._delay()):
            victim = self._rng.choice(self.victims)
            if victim == "worker":
                self._kill_a_worker(life)
            elif victim == "supervisor":
                self._end(life)
            else:
                self._end(life, *children(life.pid))
        if life.code:
            self.interruptions += 1
            self.lost_workers += self.workers
        return life.code

    def _delay(self):
        return self._scale * self._rng.choice([0.1, 0.5, 1.5]) * self._rng.random()

    def _be_patient(self):
        """Kill later in the next run if this one brought nothing: the machine is slow, or there is much to write."""
        stands = len(set(self.begun))
        self._scale = self._scale * 1.5 if stands == self._stood else 1.0
        self._stood = stands

    def _kill_a_worker(self, life):
        begun = len(set(self.begun))
        if begun < self._killed_at[0] + 2:  # no epoch was ended for certain since the last but one was killed
            return
        workers = children(life.pid)
        if workers:
            self._killed_at = [self._killed_at[1], begun]
            kill(self._rng.choice(workers))
            self.kills, self.lost_workers = self.kills + 1, self.lost_workers + 1

    def _end(self, life, *workers):
        pids = [life.pid, *workers]
        self._rng.shuffle(pids)
        kill(*pids)
        self.kills += len(pids)
        assert life.ended(DEADLINE_SECONDS)

    def _nothing_lost(self, before):
        """See that what the store held before is still there; what it holds now."""
        try:
            now = stored(self.out)
        except StudyError:  # killed before there was one
            assert before is None
            return None
        if before is not None:
            for old, new in zip(before.trials, now.trials, strict=False):
                if old.finished:  # a test score may come
                    assert replace(new, test=None) == replace(old, test=None)
                assert new.epochs >= old.epochs
            assert len(now.trials) >= len(before.trials)
        return now

    def _check_files(self):
        assert not list(self.out.rglob(".*.tmp-*"))
        assert "Traceback" not in self._launcher.errors.read_text()
        with sqlite3.connect(self.out / "studies.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
