"""Memory, disks and files that run out, and what a long run takes of them."""

import contextlib
import dataclasses
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from killing import SOAKING, children, wait_for
from running import at_epoch, make_study, options, outcome, run, stored

from reports.leaderboard import leaderboard
from search.errors import SearchError
from search.signals import StopRequest
from search.study import run_study
from search.telling import to_nobody
from studies.errors import StudyError
from studies.plan import load_study
from studies.store import Store, sqlite_url
from tests.benchmarks.filling import fill

SLOW = pytest.mark.slow
ROOT = Path(__file__).parent.parent


@pytest.fixture
def small_disk(tmp_path):
    """A disk of four megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk needs the right to mount one: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill_up(place):
    """Leave no room on a disk."""
    with contextlib.suppress(OSError), (place / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def search(path, out, store, observe=to_nobody):
    """A run whose store may lie on another disk than its folder."""
    where = dataclasses.replace(options(out), store=sqlite_url(store / "studies.db"))
    return run_study(load_study(str(path), ()), where, StopRequest(), observe)


# Disks


@SLOW
@pytest.mark.parametrize("full", ["checkpoints", "store", pytest.param("both", marks=SOAKING)])
def test_a_run_whose_disk_is_full_ends_and_goes_on_when_there_is_room(undisturbed, small_disk, tmp_path, full):
    """Not by name that "the disk is full" but in the system's words, with the file that couldn't be written."""
    path, disk, elsewhere = make_study(tmp_path), small_disk / "runs", tmp_path / "elsewhere"
    out, store = (disk if full in names else elsewhere for names in (("checkpoints", "both"), ("store", "both")))
    store.mkdir(exist_ok=True)
    with pytest.raises((SearchError, StudyError), match=r"No space left on device|the disk is full") as caught:
        search(path, out, store, at_epoch(9, lambda: fill_up(small_disk)))
    assert caught.value.exit_code == 3
    assert str(small_disk) in str(caught.value)
    (small_disk / "filler").unlink()
    with Store.open(sqlite_url(store / "studies.db")) as opened:
        assert not [trial for trial in opened.load("tiny").trials if trial.state == "failed"]
    assert outcome(search(path, out, store)) == outcome(undisturbed)


def test_a_folder_that_may_only_be_read_is_refused_before_anything_starts(small_disk, tmp_path):
    (small_disk / "runs").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(
        SearchError, match=r"cannot be written \(Read-only file system\); choose another place"
    ) as caught:
        run(make_study(tmp_path), small_disk / "runs")
    assert caught.value.exit_code == 2


def test_a_file_in_place_of_the_folder_is_refused_and_a_missing_folder_is_made(tmp_path):
    """Better than to refuse a missing folder: the first run of all has none."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SearchError, match="cannot be written") as caught:
        run(make_study(tmp_path), tmp_path / "file")
    assert caught.value.exit_code == 2
    assert (tmp_path / "file").read_text() == "mine"
    run(make_study(tmp_path), tmp_path / "not/yet/there", "budget.trials=1", "hyperband.max_resource=1")
    assert (tmp_path / "not/yet/there/tiny/leaderboard.csv").exists()


@SLOW
@pytest.mark.parametrize("words", [("report", "tiny"), ("leaderboard", "tiny", "--csv", "runs/tiny/leaderboard.csv")])
def test_a_report_that_cannot_be_written_leaves_the_one_before(undisturbed_run, words):
    """Exit 3 rather than 1: it is the machine that refuses."""
    folder = undisturbed_run[2].parent
    before = {path: path.read_bytes() for path in (folder / "runs/tiny").iterdir() if path.is_file()}
    done = subprocess.run(
        [sys.executable, "-m", "search", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert "cannot be written: File too large" in done.stderr
    assert {path: path.read_bytes() for path in (folder / "runs/tiny").iterdir() if path.is_file()} == before


# Memory


def test_a_worker_dies_before_its_supervisor_when_memory_runs_out(tmp_path):
    scores = []

    def look():
        (worker,) = children(os.getpid())
        scores.append(int(Path(f"/proc/{worker}/oom_score_adj").read_text()))

    run(
        make_study(tmp_path),
        tmp_path / "runs",
        "budget.trials=1",
        "hyperband.max_resource=1",
        observe=at_epoch(1, look),
    )
    assert scores == [500]


@pytest.fixture
def memory_group():
    """A control group with little memory."""
    root = Path("/sys/fs/cgroup/memory")
    group, limit = (root, "memory.limit_in_bytes") if root.is_dir() else (Path("/sys/fs/cgroup"), "memory.max")
    group = group / f"toprung-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / limit).write_text(str(300 * 2**20))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"needs the right to make a control group with a limit of memory: {error}")
    yield group
    wait_for(lambda: not (group / "cgroup.procs").read_text().split())
    group.rmdir()


@SLOW
def test_a_worker_that_the_kernel_kills_for_its_memory_is_told_as_such(
    undisturbed, tmp_path, monkeypatch, memory_group
):
    complete = next(trial.number for trial in undisturbed.trials if trial.state == "complete")
    monkeypatch.setenv("PYTHON_MISBEHAVE", f"{complete}:2:exhaust")
    monkeypatch.setenv("PYTHON_MISBEHAVE_MARK", str(tmp_path / "mark"))
    deaths = []

    def observe(kind, **about):
        if kind == "worker":
            for worker in children(os.getpid()):
                (memory_group / "cgroup.procs").write_text(str(worker))
        if kind == "died":
            deaths.append(about["reason"])

    record = run(make_study(tmp_path), tmp_path / "runs", observe=observe)
    assert deaths == ["SIGKILL; memory ran out"]
    assert outcome(record) == outcome(undisturbed)


# Long runs

MEASURED = """
import gc, json, os, sys
from pathlib import Path
from running import run

def measured():
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))

found, rungs = [], []
EARLY, LATE = range(41, 51), range(191, 201)
def observe(kind, **about):
    if kind == "rung":
        rungs.append(kind)
        if len(rungs) in (*EARLY, *LATE):
            found.append(measured())

changes = ["budget.trials=200", "hyperband.max_resource=1", "sampler.name=random"]
run(Path(sys.argv[1]), sys.argv[2], *changes, observe=observe)
print(json.dumps([found[:10], found[10:]]))
"""


@SLOW
def test_two_hundred_trials_leave_memory_and_open_files_as_they_were(tmp_path):
    command = [sys.executable, "-c", MEASURED, str(make_study(tmp_path)), str(tmp_path / "runs")]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True, cwd=ROOT
    )
    early, late = ([min(column) for column in zip(*moments, strict=True)] for moments in json.loads(done.stdout))
    assert late[0] - early[0] < 20 * 2**20
    assert late[1] - early[1] <= 2  # SQLite's journal and the folder it syncs are open during a commit


@SLOW
def test_a_store_of_two_thousand_trials_is_small_and_quick_enough(tmp_path):
    """In processor time, with room for a slow machine; `tests/benchmarks/scale.py` measures it."""
    fill(tmp_path, 2000)
    began = time.process_time()
    with Store.open(sqlite_url(tmp_path / "studies.db"), create=False) as store:
        table = leaderboard(store.load("digits"))
    assert len(table) == 2000
    assert time.process_time() - began < 10
    assert (tmp_path / "studies.db").stat().st_size < 10e6


def test_a_run_leaves_no_process_and_no_temporary_file(undisturbed_run):
    folder = undisturbed_run[2].parent
    assert {path.name for path in folder.rglob(".*")} == {".study"}  # whose folder it is
    assert stored(folder / "runs").state == "finished"
