"""What a short training before a search says of its cost."""

import pytest
from rich.console import Console
from running import STUDY, make_study, options

from search.errors import SearchError
from search.forecast import forecast_study, forecast_text
from studies.plan import load_study

EARLY = STUDY + '\n[early_stopping]\nmonitor = "val_accuracy"\npatience = 1\n'


def probe(folder, study=EARLY):
    return forecast_study(load_study(str(make_study(folder, study=study))), options(folder / "runs"), probe=True)


def test_an_epoch_is_timed_though_early_stopping_would_end_the_probe(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_PEAK", "1")
    assert probe(tmp_path)["epoch_seconds"] == 1.0  # which sleeping workers tell of each
    assert not (tmp_path / "runs").exists()


def test_an_epoch_whose_steps_are_recorded_is_timed_as_one(tmp_path):
    assert probe(tmp_path, STUDY + "\n[record]\nevery = 2\n")["epoch_seconds"] == 3.0  # as sleeping workers tell


def test_no_more_trials_are_expected_than_the_space_has_configurations(tmp_path):
    space = 'model = "mlp"\n[parameters]\nunits = { type = "int", low = 32, high = 128, log = true, step = 2 }\n'
    study = load_study(str(make_study(tmp_path, space=space)))
    found = forecast_study(study, options(tmp_path / "runs"), probe=False)
    assert (found["trials"], found["full_epochs"]) == (3, 27)
    console = Console(width=80)
    with console.capture() as printed:
        console.print(forecast_text(found))
    assert printed.get().startswith("tiny: 3 trials (budget.trials = 12; the space has no more)\n")


def test_a_bracket_without_trials_is_expected_to_have_none(tmp_path):
    found = forecast_study(load_study(str(make_study(tmp_path))), options(tmp_path / "runs"), probe=False)
    found["brackets"][-1] |= {"trials": 0, "expected": [0.0, 0.0]}
    console = Console(width=80)
    with console.capture() as printed:
        console.print(forecast_text(found))
    assert "0, 0  " in printed.get()


def test_a_default_configuration_that_cannot_be_trained_is_told_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_MISBEHAVE", "0:2:raise")
    with pytest.raises(SearchError, match="the default configuration cannot be trained: ValueError: told to") as caught:
        probe(tmp_path)
    assert caught.value.exit_code == 1
