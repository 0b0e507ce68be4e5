import dataclasses
import json
import re
import shutil
import threading
import time

import numpy as np
import pytest
from killing import kill, marked, wait_for
from running import STUDY, at_epoch, make_study, options, outcome, run, start_process, stored

from reports.gaps import gap_from_rates
from search.boundary import run_verb
from search.cli import app
from search.errors import Interrupted, SearchError
from search.recipe import Recipe
from search.retrain import _job
from search.signals import StopRequest
from search.study import run_study
from search.telling import to_nobody
from studies.errors import StudyError
from studies.plan import load_study
from studies.records import TrialRecord


def test_every_trial_has_a_final_state_and_contiguous_epochs(undisturbed):
    assert len(undisturbed.trials) == 12
    assert {trial.state for trial in undisturbed.trials} == {"complete", "pruned"}
    for trial in undisturbed.trials:
        assert len(trial.history["val_accuracy"]) == trial.epochs
        assert trial.value == max(trial.history["val_accuracy"])
        assert trial.epochs == (9 if trial.state == "complete" else max(trial.rungs))


def test_no_epoch_is_trained_twice(undisturbed_run):
    record, told, _ = undisturbed_run
    epochs = [(f["trial"], f["epoch"]) for kind, f in told if kind == "epoch" and f.get("value") is not None]
    assert len(epochs) == len(set(epochs)) == sum(trial.epochs for trial in record.trials)


def test_the_best_is_retrained_with_seeds_and_scored(undisturbed_run):
    record, _, runs = undisturbed_run
    best = max((t for t in record.trials if t.state == "complete"), key=lambda t: t.value)
    assert [again.trial for again in record.retrained] == [best.number, best.number]
    assert all("test_accuracy" in again.metrics for again in record.retrained)
    assert len({again.seed for again in record.retrained}) == 2
    files = {path.name for path in (runs / "tiny").iterdir()}
    assert {"best.keras", "best.json", "leaderboard.csv", "report.html", "trials"} <= files
    assert "sealed" not in files


def test_complete_trials_alone_have_test_scores(undisturbed):
    assert {trial.state for trial in undisturbed.trials if trial.test} == {"complete"}
    assert all(trial.test for trial in undisturbed.trials if trial.state == "complete")
    for trial in (trial for trial in undisturbed.trials if trial.test):
        gap = gap_from_rates(trial.value, 12, trial.test.metrics["test_accuracy"], 30)
        assert trial.test.gap == pytest.approx(gap.value) == pytest.approx(0.01, abs=1e-6)
        assert trial.test.gap_se == pytest.approx(gap.standard_error)


@pytest.mark.parametrize("top", [0, 1])
def test_of_complete_trials_the_best_alone_are_scored_as_many_as_asked_for(tmp_path, top):
    trains_all = ("hyperband.mode=none", "hyperband.max_resource=2", "budget.trials=2", "retrain.seeds=1")
    record = run(make_study(tmp_path), tmp_path / "runs", *trains_all, f"leaderboard.test_top={top}")
    best = sorted(record.trials, key=lambda trial: trial.value, reverse=True)
    assert [trial.number for trial in best if trial.test] == [trial.number for trial in best[:top]]
    assert len(record.retrained) == 1


def test_running_a_finished_study_again_changes_nothing(undisturbed_run):
    record, _, runs = undisturbed_run
    told = []
    again = run(runs.parent / "study.toml", runs, observe=lambda kind, **fields: told.append(kind))
    assert outcome(again) == outcome(record)
    assert "epoch" not in told


def test_trials_are_a_total(tmp_path):
    path = make_study(tmp_path)
    first = run(path, tmp_path / "runs", "budget.trials=5")
    second = run(path, tmp_path / "runs", "budget.trials=8")
    assert (len(first.trials), len(second.trials)) == (5, 8)
    assert outcome(second)[0][:5] == outcome(first)[0]
    fewer = run(path, tmp_path / "runs", "budget.trials=2")
    assert fewer.trials == second.trials
    assert fewer.plan["budget"]["trials"] == 8  # which the report's files make again


@pytest.mark.parametrize("epochs", [1, 2, 7, 20])
def test_an_interrupted_search_ends_as_the_undisturbed_one(undisturbed, tmp_path, epochs):
    path, stop = make_study(tmp_path), StopRequest()
    with pytest.raises(Interrupted):
        run(path, tmp_path / "runs", stop=stop, observe=at_epoch(epochs, stop.set))
    assert outcome(run(path, tmp_path / "runs")) == outcome(undisturbed)


def test_a_search_that_is_told_to_stop_ends_its_epoch_and_begins_no_other(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_SLEEP_SECONDS", "0.2")
    monkeypatch.setenv("PYTHON_EPOCHS", str(tmp_path / "epochs.txt"))
    path, out, stop = make_study(tmp_path), tmp_path / "runs", StopRequest()
    with pytest.raises(Interrupted):
        run(path, out, "hyperband.mode=none", stop=stop, observe=lambda kind, **_: kind == "epoch" and stop.set())
    begun = (tmp_path / "epochs.txt").read_text().splitlines()
    assert len(begun) == stored(out).trials[0].epochs < 9


@pytest.mark.parametrize("where", ["0:1", "1:1", "3:2", "5:3"])
def test_a_killed_worker_costs_nothing_but_time(undisturbed, tmp_path, monkeypatch, where):
    monkeypatch.setenv("PYTHON_MISBEHAVE", f"{where}:kill")
    monkeypatch.setenv("PYTHON_MISBEHAVE_MARK", str(tmp_path / "mark"))
    told = []
    record = run(make_study(tmp_path), tmp_path / "runs", observe=lambda kind, **fields: told.append((kind, fields)))
    killed = any(kind == "died" for kind, _ in told)
    assert killed == (tmp_path / "mark").exists()
    assert outcome(record) == outcome(undisturbed)


def test_a_trial_whose_workers_keep_dying_fails_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_MISBEHAVE", "2:1:always-kill")
    told, path = [], make_study(tmp_path)
    record = run(path, tmp_path / "runs", "budget.trials=4", observe=lambda kind, **fields: told.append((kind, fields)))
    assert [fields["reason"] for kind, fields in told if kind == "died"] == ["SIGKILL"] * 3
    assert record.trials[2].reason == "worker died 3 times (SIGKILL)"
    assert [trial.number for trial in record.trials if trial.state == "failed"] == [2]


def test_a_trial_whose_jobs_end_without_an_epoch_fails_and_the_others_go_on(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_MISBEHAVE", "1:idle")
    record = run(make_study(tmp_path), tmp_path / "runs", "budget.trials=3")
    assert record.trials[1].reason == "its worker ended the job without training to epoch 1"
    assert [trial.number for trial in record.trials if trial.state == "failed"] == [1]


def test_a_worker_that_exits_without_a_result_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_MISBEHAVE", "1:1:exit")
    monkeypatch.setenv("PYTHON_MISBEHAVE_MARK", str(tmp_path / "mark"))
    told = []
    run(make_study(tmp_path), tmp_path / "runs", observe=lambda kind, **fields: told.append((kind, fields)))
    assert [fields["reason"] for kind, fields in told if kind == "died"] == ["exit 0 without a result"]


def test_a_search_ends_when_every_trial_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_MISBEHAVE", "all:1:raise")
    with pytest.raises(
        SearchError, match="5 trials failed one after the other; the last: ValueError: told to"
    ) as caught:
        run(make_study(tmp_path), tmp_path / "runs")
    assert caught.value.exit_code == 1
    assert [trial.state for trial in stored(tmp_path / "runs").trials] == ["failed"] * 5


def test_a_failed_trial_leaves_its_traceback_and_its_worker_is_replaced(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYTHON_MISBEHAVE", "1:1:raise")
    told = []
    record = run(make_study(tmp_path), tmp_path / "runs", observe=lambda kind, **fields: told.append(kind))
    assert (record.trials[1].state, record.trials[1].reason) == ("failed", "ValueError: told to")
    assert "a traceback" in (tmp_path / "runs/tiny/trials/00001/log.txt").read_text()
    monkeypatch.chdir(tmp_path)
    assert run_verb(app, ["explain", "tiny", "1"]) == 0
    assert capsys.readouterr().out.endswith("\n  its log: runs/tiny/trials/00001/log.txt\n")
    assert told.count("worker") == 2


def test_a_finished_trial_keeps_its_history_as_csv_and_no_weights(undisturbed_run):
    record, _, runs = undisturbed_run
    for trial in record.trials:
        folder = runs / "tiny" / "trials" / f"{trial.number:05d}"
        assert [file.name for file in folder.iterdir()] == ["history.csv"]
        lines = (folder / "history.csv").read_text().splitlines()
        assert lines[0] == "epoch,train_accuracy,train_loss,val_accuracy,val_loss"
        assert len(lines) == trial.epochs + 1


def test_workers_that_cannot_start_end_the_run_with_their_last_words(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_MISBEHAVE", "start")
    with pytest.raises(SearchError, match="no such library") as caught:
        run(make_study(tmp_path), tmp_path / "runs")
    assert caught.value.exit_code == 3


def test_workers_that_die_over_the_retraining_end_the_run_with_their_last_words(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_MISBEHAVE", "retrained:1:always-error")
    short = ("budget.trials=1", "hyperband.max_resource=1")
    with pytest.raises(SearchError, match=r"(?s)3 workers died over one job \(exit 1\):.*ZeroDivisionError"):
        run(make_study(tmp_path), tmp_path / "runs", *short)


OWN_MODEL = 'model = "their_module:build"\n[parameters]\nlearning_rate = { type = "float", low = 0.1, high = 0.2 }\n'


def test_a_run_can_be_interrupted_while_workers_still_import_a_module_of_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_MISBEHAVE", "start:stop")
    stop = StopRequest()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Interrupted):
        run(make_study(tmp_path, space=OWN_MODEL), tmp_path / "runs", stop=stop)
    assert not (tmp_path / "runs").exists()


def test_a_worker_that_ends_over_a_module_of_the_users_is_told_before_anything_is_stored(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_MISBEHAVE", "start")
    with pytest.raises(SearchError, match=r"a worker cannot start \(exit 1\):\nno such library") as caught:
        run(make_study(tmp_path, space=OWN_MODEL), tmp_path / "runs")
    assert caught.value.exit_code == 3
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("change", ["hyperband.max_resource=27", "data.seed=5", "objective.monitor=val_loss"])
def test_another_plan_under_the_same_name_is_refused_and_changes_nothing(undisturbed_run, change):
    record, _, runs = undisturbed_run
    with pytest.raises(StudyError, match=change.split("=")[0]) as caught:
        run(runs.parent / "study.toml", runs, change)
    assert caught.value.exit_code == 2
    assert outcome(stored(runs)) == outcome(record)


def test_other_data_under_the_same_name_are_refused(undisturbed_run, tmp_path):
    _, _, runs = undisturbed_run
    path = make_study(tmp_path)
    np.savez(
        tmp_path / "data.npz",
        x_train=np.zeros((60, 4, 4), np.uint8),
        y_train=np.arange(60) % 3,
        x_test=np.zeros((30, 4, 4), np.uint8),
        y_test=np.arange(30) % 3,
    )
    with pytest.raises(StudyError, match="hash"):
        run(path, runs)


def test_what_the_test_split_holds_changes_nothing_but_test_numbers(undisturbed, tmp_path):
    other = run(make_study(tmp_path, test_seed=2), tmp_path / "runs")
    for ours, theirs in zip(outcome(undisturbed)[0], outcome(other)[0], strict=True):
        assert (ours.params, ours.history, ours.state) == (theirs.params, theirs.history, theirs.state)


def test_the_test_split_lies_nowhere_while_trials_train(tmp_path):
    path, runs = make_study(tmp_path), tmp_path / "runs"
    with np.load(tmp_path / "data.npz") as archive:
        test_bytes = archive["x_test"][0].tobytes()
    phases, leaks = [], []

    def look(kind, **fields):
        if kind == "phase":
            phases.append(fields["phase"])
        if kind == "epoch" and phases[-1:] == ["search"]:
            files = [file for file in runs.rglob("*") if file.is_file()]
            leaks.extend(file for file in files if test_bytes in _content(file))

    run(path, runs, observe=look)
    assert "score" in phases
    assert leaks == []


def _content(file):
    try:
        return file.read_bytes()
    except FileNotFoundError:  # an old checkpoint
        return b""


def test_every_trial_trains_to_the_end_without_hyperband(tmp_path):
    record = run(make_study(tmp_path), tmp_path / "runs", "hyperband.mode=none", "budget.trials=4")
    assert [(trial.state, trial.epochs) for trial in record.trials] == [("complete", 9)] * 4


def test_optunas_own_pruner_stops_trials_at_rungs(tmp_path):
    record = run(make_study(tmp_path), tmp_path / "runs", "hyperband.mode=stop")
    assert {trial.epochs for trial in record.trials} <= {1, 3, 9}
    assert all(trial.state == ("complete" if trial.epochs == 9 else "pruned") for trial in record.trials)


def test_enqueued_params_go_first_and_once(tmp_path):
    study = make_study(tmp_path).read_text() + '\n[[enqueue]]\nunits = 64\n\n[[enqueue]]\noptimizer = "adam"\n'
    path = make_study(tmp_path, study=study)
    shape = ("sampler.seed=1", "hyperband.max_resource=3")
    run(path, tmp_path / "runs", *shape, "budget.trials=1")
    record = run(path, tmp_path / "runs", *shape, "budget.trials=3")
    drawn = [(trial.params["units"], trial.params["optimizer"]) for trial in record.trials]
    assert drawn[0] == (64, "adam")  # adam by chance: the second has its turn all the same
    assert drawn[1][1] == "adam"
    assert drawn[2] == (128, "sgd")  # the sampler's


def test_seeds_reach_the_workers_and_retraining_takes_one_at_a_time(tmp_path):
    loaded = load_study(str(make_study(tmp_path)), ["objective.seeds=3"])
    recipe = Recipe(loaded)
    trial = TrialRecord(number=4, state="complete", params={"units": 64}, epochs=9, best_epoch=5)
    again = [_job(trial, recipe, (48, 12), repetition).tasks[0] for repetition in range(3)]
    assert len({task.seed for task in again} - set(recipe.task(trial).each_seed)) == 3  # none that chose it
    assert {task.seeds for task in again} == {1}


@pytest.mark.parametrize(
    ("backend", "other", "shared"),
    [
        ("tensorflow", {"units": 32}, True),
        ("tensorflow", {"units": 32, "learning_rate": 0.1}, True),
        ("tensorflow", {"optimizer": "sgd"}, False),
        ("tensorflow", {"units": 0}, False),
        ("tensorflow", {"units": 32, "jit_compile": True}, False),
        ("jax", {"units": 32}, False),
    ],
    ids=str,
)
def test_under_tensorflow_networks_that_differ_in_widths_share_a_trace(tmp_path, backend, other, shared):
    recipe = Recipe(load_study(str(make_study(tmp_path))), backend)
    params = {"units": 64, "optimizer": "adam", "learning_rate": 0.01, "jit_compile": other.get("jit_compile", False)}
    assert (recipe.trace(params) == recipe.trace(params | other)) == shared


def test_a_grid_ends_when_it_is_exhausted(tmp_path):
    space = 'model = "mlp"\n[parameters]\nunits = { type = "ordinal", choices = [32, 64, 128] }\n'
    space += "learning_rate = { type = 'categorical', choices = [0.1, 0.01] }\n"
    path = make_study(tmp_path, space=space)
    record = run(path, tmp_path / "runs", "sampler.name=grid", "hyperband.mode=none", "budget.trials=100")
    assert len({tuple(trial.params.items()) for trial in record.trials}) == len(record.trials) == 6


def test_the_search_ends_when_its_minutes_are_up_and_the_best_so_far_is_retrained(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_SLEEP_SECONDS", "0.05")
    path, out, told = make_study(tmp_path), tmp_path / "runs", []
    budget = ("budget.trials=10000", "budget.minutes=0.07")
    record = run(path, out, *budget)
    assert 2 < sum(trial.epochs for trial in record.trials) < 100
    assert record.state == "finished"
    assert record.retrained
    again = run(path, out, *budget, observe=lambda kind, **fields: told.append(kind))
    assert outcome(again) == outcome(record)  # the minutes are a total
    assert "epoch" not in told


def test_with_more_minutes_trials_go_on_where_the_time_was_up(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_SLEEP_SECONDS", "0.05")
    path, changes = make_study(tmp_path, study=STUDY + "\n[[enqueue]]\nunits = 64\n"), ["budget.trials=12"]
    first = run(path, tmp_path / "runs", *changes, "budget.minutes=0.01")
    monkeypatch.delenv("PYTHON_SLEEP_SECONDS")
    assert sum(trial.finished for trial in first.trials) < 12  # on a busy machine none may have begun
    done = run(path, tmp_path / "runs", *changes, "budget.minutes=10")
    assert all(trial.finished and trial.epochs for trial in done.trials)
    assert len(done.trials) == 12
    calm = run(path, tmp_path / "calm", *changes)
    assert [trial.history for trial in done.trials] == [trial.history for trial in calm.trials]


def test_trials_give_equal_results_with_any_number_of_workers(tmp_path):
    path = make_study(tmp_path)
    two = run(path, tmp_path / "runs", "sampler.name=random", workers=2)
    one = run(path, tmp_path / "other", "sampler.name=random", workers=1)
    for ours, theirs in zip(one.trials, two.trials, strict=True):
        both = min(ours.epochs, theirs.epochs)
        assert ours.params == theirs.params
        assert ours.history["val_accuracy"][:both] == theirs.history["val_accuracy"][:both]


def test_workers_die_with_their_supervisor(tmp_path, monkeypatch):
    """Those that are in the middle of an epoch, too."""
    mark, epochs = f"PYTHON_RUN_MARK={tmp_path}", tmp_path / "epochs.txt"
    monkeypatch.setenv(*mark.split("="))
    monkeypatch.setenv("PYTHON_EPOCHS", str(epochs))
    monkeypatch.setenv("PYTHON_SLEEP_SECONDS", "3600")
    process = start_process(make_study(tmp_path), tmp_path / "runs")
    try:
        wait_for(epochs.exists)
        assert len(marked(mark)) == 2
        process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while marked(mark) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert marked(mark) == []
    finally:
        kill(*marked(mark))


def test_a_second_supervisor_is_told_who_has_the_study(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_SLEEP_SECONDS", "0.1")
    path, out = make_study(tmp_path), tmp_path / "runs"
    process = start_process(path, out)
    try:
        while not list(out.glob("tiny/trials/*/epoch-*")):
            time.sleep(0.01)
        with pytest.raises(SearchError, match=str(process.pid)) as caught:
            run(path, out)
        assert caught.value.exit_code == 3
    finally:
        process.kill()
        process.wait()


def test_retraining_again_with_other_settings_adds_to_the_leaderboard(tmp_path):
    from search.study import retrain_study

    out = tmp_path / "runs"
    run(make_study(tmp_path), out)
    settings = {"seeds": 3, "data": "train"}
    record = retrain_study("tiny", options(out), 2, settings, StopRequest(), to_nobody)
    groups = {(again.trial, again.data) for again in record.retrained}
    assert len(groups) == 3
    assert record.state == "finished"
    assert all("val_accuracy" in again.metrics for again in record.retrained if again.data == "train")


BEST = ("best.keras", "best.json", "diagnosis.npz")


def written(out):
    """When the files of the best model were written last, and what they hold."""
    files = [out / "tiny" / name for name in BEST]
    return [(file.stat().st_mtime_ns, file.read_bytes()) for file in files]


def test_retraining_a_second_configuration_leaves_the_files_of_the_best_model(undisturbed_run, tmp_path):
    from search.study import retrain_study

    out = tmp_path / "runs"
    shutil.copytree(undisturbed_run[2], out)
    before = written(out)
    record = retrain_study("tiny", options(out), 2, {}, StopRequest(), to_nobody)
    assert len({again.trial for again in record.retrained}) == 2
    assert written(out) == before


def messages(told):
    return [fields["text"] for kind, fields in told if kind == "message"]


SHORT = ("hyperband.max_resource=3", "budget.trials=3")


def test_a_seed_whose_retraining_fails_is_left_out_and_not_tried_again(tmp_path, monkeypatch):
    epochs, told = tmp_path / "epochs.txt", []
    monkeypatch.setenv("PYTHON_EPOCHS", str(epochs))
    monkeypatch.setenv("PYTHON_MISBEHAVE", "retrained:2:raise")
    monkeypatch.setenv("PYTHON_MISBEHAVE_MARK", str(tmp_path / "mark"))
    path, out = make_study(tmp_path), tmp_path / "runs"
    record = run(path, out, *SHORT, observe=lambda kind, **fields: told.append((kind, fields)))
    (again,) = record.retrained
    assert (again.asked, "test_accuracy" in again.metrics) == (2, True)
    (message,) = messages(told)
    assert re.fullmatch(rf"trial {again.trial} retrained with seed \d+ failed: ValueError: told to", message)
    assert str(again.seed) not in message
    assert json.loads((out / "tiny/best.json").read_text())["seed"] == again.seed
    assert {*BEST, "leaderboard.csv", "report.html"} <= {file.name for file in (out / "tiny").iterdir()}
    begun = epochs.read_text()
    assert outcome(run(path, out, *SHORT)) == outcome(record)
    assert epochs.read_text() == begun


def test_a_retraining_that_fails_with_every_seed_is_noted_and_tried_again_where_that_is_asked(tmp_path, monkeypatch):
    from search.study import retrain_study

    path, out, told = make_study(tmp_path), tmp_path / "runs", []
    monkeypatch.setenv("PYTHON_MISBEHAVE", "retrained:2:always-raise")
    record = run(path, out, *SHORT)
    assert record.retrained == ()
    assert any(trial.test for trial in record.trials)
    files = {file.name for file in (tmp_path / "runs/tiny").iterdir()}
    assert {"leaderboard.csv", "report.html"} <= files
    assert not files & set(BEST)
    monkeypatch.delenv("PYTHON_MISBEHAVE")

    def observe(kind, **fields):
        told.append((kind, fields))

    assert run(path, out, *SHORT, observe=observe).retrained == ()
    (message,) = messages(told)
    assert re.fullmatch(r"trial \d: retraining failed with every seed; toprung retrain tiny tries again", message)
    assert len(retrain_study("tiny", options(out), 1, {}, StopRequest(), observe).retrained) == 2
    assert len(run(path, out, *SHORT, observe=observe).retrained) == 2
    assert messages(told) == [message]


@pytest.mark.parametrize(("peak", "scored"), [("inf", True), ("2", False)], ids=["as before", "another"])
def test_lost_weights_are_trained_again_and_scored_unless_another_epoch_is_the_best_then(
    tmp_path, monkeypatch, peak, scored
):
    path, out, told, stop = make_study(tmp_path), tmp_path / "runs", [], StopRequest()

    def end_after_the_search(kind, **fields):
        if fields.get("phase") == "retrain":
            stop.set()

    with pytest.raises(Interrupted):
        run(path, out, *SHORT, "budget.trials=1", observe=end_after_the_search, stop=stop)
    (out / "tiny/trials/00000/best-000003").unlink()
    monkeypatch.setenv("PYTHON_PEAK", peak)
    record = run(path, out, *SHORT, "budget.trials=1", observe=lambda kind, **fields: told.append((kind, fields)))
    again = ["trial 0 is trained again: its weights are missing or damaged"]
    other = ["trial 0 cannot be scored: trained again, its best epoch is another one"]
    assert messages(told) == (again if scored else again + other)
    assert (bool(record.trials[0].test.metrics), len(record.retrained)) == (scored, 2)
    assert {*BEST, "leaderboard.csv", "report.html"} <= {file.name for file in (out / "tiny").iterdir()}
    told.clear()
    run(path, out, *SHORT, "budget.trials=1", observe=lambda kind, **fields: told.append((kind, fields)))
    assert messages(told) == []


def test_every_job_of_fresh_workers_has_a_process_of_its_own(tmp_path):
    loaded, told = load_study(str(make_study(tmp_path)), ["budget.trials=3", "hyperband.max_resource=1"]), []
    fresh = dataclasses.replace(options(tmp_path / "runs"), fresh_workers=True)
    run_study(loaded, fresh, StopRequest(), lambda kind, **_: told.append(kind))
    assert [kind for kind in told if kind in ("worker", "trial")] == ["worker", "trial"] * 3
