"""How a study stands, from its records."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from records import record, study
from rich.console import Console

from search.status import standing, standings_text


def test_the_best_is_the_first_of_the_leaderboard():
    trials = [
        record(0, val_accuracy=0.9),
        record(1, "pruned", epochs=3, val_accuracy=0.95),
        record(2, "failed", epochs=1, val_accuracy=0.99),
        record(3, "paused", epochs=9, value=math.nan),
    ]
    assert _best(trials) == (0, 0.9)
    assert _best(trials[1:]) == (1, 0.95)
    assert _best(trials[2:]) == (None, None)


@pytest.mark.parametrize(("ago", "state"), [(1, "running"), (3600, "interrupted"), (-3600, "interrupted")])
def test_a_search_runs_while_its_supervisor_has_just_said_so_whatever_became_of_the_clock(ago, state):
    at = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
    now = {"at": at, "elapsed": 1.0, "workers": ["worker 0: idle"]}
    assert standing(study([], plan={"budget": {"trials": 9}}, state="searching"), now)["state"] == state


def test_a_study_is_told_in_whole_words_on_a_terminal_of_64_characters(capsys):
    trials = [record(i, "pruned" if i else "complete", val_accuracy=0.9) for i in range(15)]
    now = {"at": datetime.now(UTC).isoformat(), "elapsed": 8.0, "workers": ["worker 0: trial 3, epoch 1 of 9"]}
    for asked, told in ((60, "15 of 60 trials"), (15, "15 of 15 trials"), (6, "15 trials")):
        found = standing(study(trials, plan={"budget": {"trials": asked}}, state="searching"), now)
        Console(width=64).print(standings_text([found]))
        assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
            f"digits  running, {told}: 1 complete, 14 pruned",
            "        405 epochs in 8 s; best val_accuracy 90.00% (trial 0)",
            "        worker 0: trial 3, epoch 1 of 9",
        ]


def _best(trials):
    found = standing(study(trials, plan={}), None)
    return found["best_trial"], found["best"]
