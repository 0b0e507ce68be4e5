import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from search.display import JsonLines, LiveDisplay, PlainLines, RunState, Silent, duration, make_display

STUDY = {
    "name": "digits",
    "monitor": "val_accuracy",
    "maximize": True,
    "trials_total": 60,
    "trials": [],
    "finished": {},
    "known_epochs": 0,
    "expected_epochs": 400.0,
    "seconds_left": None,
    "best": None,
    "where": "2 workers of 1 core each (no GPU found)",
}


def console(**options):
    return Console(file=io.StringIO(), width=120, **options)


def tell(display):
    """A short run: a trial starts, has an epoch, reaches its rung; another fails."""
    display("study", **STUDY)
    display("phase", phase="search")
    display("worker", worker=0, backend="tensorflow", devices=[], versions={}, seconds=2.5)
    display("trial", worker=0, trial=0, epoch=0, to_epoch=3, params={"units": 32})
    display("epoch", worker=0, trial=0, epoch=1, value=0.9312, best=0.9312)
    display("rung", trial=0, epoch=3, value=0.95, state="paused")
    display("failed", trial=1, reason="train_loss is nan at epoch 2", details="")
    display("died", worker=0, reason="SIGKILL")


def test_plain_lines_say_what_a_log_should_keep_and_no_more():
    display = PlainLines(shown := console())
    tell(display)
    assert shown.file.getvalue().splitlines() == [
        "digits: up to 60 trials on 2 workers of 1 core each (no GPU found)",
        "trial 0: paused after 3 epochs, val_accuracy 95.00%; best 93.12% (trial 0)",
        "trial 1: failed: train_loss is nan at epoch 2",
        "worker 0: died (SIGKILL); a new one takes its place",
    ]


def test_plain_lines_say_where_a_run_stands_when_nothing_else_was_said_for_long(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    display = PlainLines(shown := console())
    tell(display)
    before = len(shown.file.getvalue().splitlines())
    for epoch, now[0] in ((2, 1029.0), (3, 1031.0), (4, 1040.0), (5, 1062.0)):
        display("epoch", worker=0, trial=0, epoch=epoch, value=0.95, best=0.95)
    assert shown.file.getvalue().splitlines()[before:] == [
        "1 of 60 trials, 3 epochs, best 95.00% (trial 0)",
        "1 of 60 trials, 5 epochs, best 95.00% (trial 0), about 82 min left",
    ]


TELLING = """
import sys
from test_search_display import tell
from search.cli import _console
from search.display import make_display
for _ in range(3):
    tell(make_display(_console(), quiet=False, as_json=sys.argv[1] == "json"))
_console().print("the conclusion")
"""


@pytest.mark.parametrize("form", ["json", "lines"])
def test_a_run_goes_on_when_nobody_reads_what_it_tells(form):
    """As in `toprung run digits | head`: a night's search is worth more than its progress."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", TELLING, form]
    paths = {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=os.environ | paths, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_live_display_has_a_bar_a_line_a_worker_and_the_best():
    display = LiveDisplay(shown := console(force_terminal=True))
    tell(display)
    display("trial", worker=0, trial=2, epoch=1, to_epoch=9, params={})
    display("epoch", worker=0, trial=2, epoch=4, value=0.9, best=0.9)
    shown.print(display._render())
    text = shown.file.getvalue()
    for part in ("digits", "of 60 trials", "best 93.12% (trial 0)", "worker 0", "trial 2", "epoch 4/9", "━"):
        assert part in text


def test_the_live_display_fits_sixty_characters_without_breaking_a_line():
    display = LiveDisplay(shown := console(force_terminal=True, color_system=None))
    shown.width = 60
    tell(display)
    display("trial", worker=0, trial=2, epoch=1, to_epoch=9, params={})
    for epoch in range(2, 8):
        display("epoch", worker=0, trial=2, epoch=epoch, value=0.9, best=0.9)
    before = len(shown.file.getvalue())
    shown.print(display._render())
    first, second, worker = shown.file.getvalue()[before:].splitlines()
    assert first.rstrip().endswith("2 of 60 trials, 7 epochs")
    assert second.startswith("  best 93.12% (trial 0), about ")
    assert worker.rstrip().endswith("epoch 7/9 90.00%")
    display("phase", phase="score")
    display("epoch", worker=0, epoch=3, to_epoch=27, doing="trial 10, seed 1520400854")
    before = len(shown.file.getvalue())
    shown.print(display._render())
    assert shown.file.getvalue()[before:].splitlines()[-1].startswith("  worker 0 trial 10, seed 1520400854 ")
    assert shown.file.getvalue().rstrip().endswith("epoch 3/27")


def test_a_search_of_one_trial_says_so():
    display = LiveDisplay(shown := console())
    display("study", **STUDY | {"trials_total": 1, "trials": [0]})
    display("phase", phase="search")
    shown.print(display._render())
    assert "1 of 1 trial, 0 epochs" in shown.file.getvalue()


def test_the_live_display_sets_off_what_is_done_after_the_search_from_the_best():
    display = LiveDisplay(shown := console(force_terminal=True, color_system=None))
    tell(display)
    display("phase", phase="retrain")
    before = len(shown.file.getvalue())
    shown.print(display._render())
    first, *_ = shown.file.getvalue()[before:].splitlines()
    assert first.rstrip() == "digits retraining the best configuration; best 93.12% (trial 0)"


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (0, "digits: up to 60 trials on 1 worker"),
        (1, "digits: up to 60 trials on 1 worker, going on from 1 trial and 81 epochs"),
        (7, "digits: up to 60 trials on 1 worker, going on from 7 trials and 81 epochs"),
        (60, "digits: no new trials, 60 trials and 81 epochs are there; 1 worker"),
    ],
)
def test_a_run_says_what_is_there_and_whether_more_trials_come(known, said):
    display = PlainLines(shown := console())
    display("study", **STUDY | {"trials": [*range(known)], "known_epochs": 81, "where": "1 worker"})
    assert shown.file.getvalue() == f"{said}\n"


def test_json_lines_are_objects_and_nan_is_null():
    stream = io.StringIO()
    tell(display := JsonLines(stream))
    display("epoch", worker=0, trial=0, epoch=2, value=float("nan"))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events][:3] == ["study", "phase", "worker"]
    assert events[-1]["value"] is None


def test_the_best_follows_the_direction_of_the_monitor():
    state = RunState()
    state.take("study", STUDY | {"maximize": False, "monitor": "val_loss"})
    for epoch, value in enumerate((0.5, 0.3, 0.4), start=1):
        state.take("epoch", {"worker": 0, "trial": 0, "epoch": epoch, "value": value})
    assert state.best == (0, 0.3)


def test_time_left_follows_from_the_rate_and_the_forecast(monkeypatch):
    monkeypatch.setattr("search.display.time.monotonic", lambda: 100.0)
    state = RunState()
    state.take("study", STUDY)
    state.take("phase", {"phase": "search"})
    assert state.remaining_seconds() is None
    state.first_epoch, state.epochs = 50.0, 100
    assert state.remaining_seconds() == pytest.approx(300 * 50 / 100)  # 100 epochs in 50 s, 300 are left


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (89, "89 s"), (600, "10 min"), (12_000, "3 h 20 min"), (7199, "2 h 0 min")]
)
def test_durations_are_said_as_people_say_them(seconds, said):
    assert duration(seconds) == said


def test_the_display_fits_where_it_is_shown():
    assert isinstance(make_display(console(force_terminal=True), quiet=False, as_json=False), LiveDisplay)
    dumb = console(force_terminal=True, _environ={"TERM": "dumb"})  # as in a shell of Emacs: nothing is redrawn there
    assert isinstance(make_display(dumb, quiet=False, as_json=False), PlainLines)
    assert isinstance(make_display(console(), quiet=False, as_json=False), PlainLines)
    assert isinstance(make_display(console(), quiet=False, as_json=True), JsonLines)
    assert type(make_display(console(), quiet=True, as_json=False)) is Silent
