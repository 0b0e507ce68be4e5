"""Workers as processes: what they leave behind, and what is heard of their end."""

import os
import queue
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from killing import kill, wait_for

from search.messages import Ready
from search.pool import Died, SubprocessWorker

READY = Ready(backend="none", devices=[], versions={}, seconds=0.0)
FORKS = """
import os, signal, sys, time
if not (child := os.fork()):
    exec(sys.argv[1])
    time.sleep(1e6)
print(child, file=sys.stderr, flush=True)
print(sys.argv[3], flush=True)
exec(sys.argv[2])
"""


@pytest.fixture
def start(tmp_path):
    """A function that starts a worker that forks; the worker, what it posts, and the process that it forked."""
    started = []

    def start(then, child="pass"):
        posted = queue.Queue()
        command = (sys.executable, "-c", FORKS, child, then, READY.model_dump_json())
        worker = SubprocessWorker(posted.put, command, os.environ, tmp_path / "log.txt")
        assert posted.get(timeout=30) == READY
        child = int((tmp_path / "log.txt").read_text())
        started.append((worker, child))
        return worker, posted, child

    yield start
    for worker, child in started:
        worker.close(0)
        kill(child)


def gone(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_a_worker_that_is_killed_is_missed_though_what_it_forked_lives_on(start):
    _, posted, child = start("os.kill(os.getpid(), signal.SIGKILL)")
    assert posted.get(timeout=30).reason == "SIGKILL"
    wait_for(lambda: gone(child), "the death of the forked process")


def test_a_worker_that_ends_takes_with_it_what_it_forked(start):
    worker, posted, child = start("sys.stdin.read()")
    worker.close(30.0)
    assert posted.get(timeout=30) == Died("exit 0 without a result", str(child))
    wait_for(lambda: gone(child), "the death of the forked process")


def test_a_worker_s_memory_is_its_own_however_large_its_supervisor_is():
    """Else each that is replaced would be recycled after every job."""
    supervisor = np.ones(400_000_000, np.uint8)
    command = (sys.executable, "-c", "from search.worker import _peak_memory; print(_peak_memory())")
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 10_000_000 < int(told.stdout) < supervisor.nbytes


@pytest.mark.parametrize("size", [0, 10**12])
def test_a_worker_s_last_words_are_the_end_of_its_log_however_large_that_is(tmp_path, size):
    posted, log = queue.Queue(), tmp_path / "log.txt"
    log.touch()
    os.truncate(log, size)
    command = (sys.executable, "-c", "import sys; sys.exit('no such library')")
    worker = SubprocessWorker(posted.put, command, os.environ, log)
    died = posted.get(timeout=30)
    worker.close(0)
    assert died.last_words.endswith("no such library")
    assert len(died.last_words) <= 4000


def test_nobody_waits_for_a_process_that_has_left_its_worker(start):
    worker, posted, child = start("sys.stdin.read()", child="os.setsid()")
    began = time.monotonic()
    worker.close(30.0)
    assert isinstance(posted.get(timeout=0), Died)
    assert time.monotonic() - began < 10
    assert not gone(child)
