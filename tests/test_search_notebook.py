"""Studies from Python, as a notebook has them."""

import gc
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
import records
from running import SLEEPING_WORKER, make_study, times_open

import search
from search import display, notebook, open_run
from search.errors import SearchError
from spaces import InputError, Space
from studies.objects import study_of
from studies.plan import StudyPlan, load_study

ROOT = Path(__file__).parent.parent


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a study, in which workers sleep instead of training."""
    make_study(tmp_path)
    monkeypatch.chdir(tmp_path)
    real = open_run.start_pool
    monkeypatch.setattr(open_run, "start_pool", lambda options, *rest: real(_sleeping(options), *rest))
    return tmp_path


def _sleeping(options):
    return replace(options, workers=1, worker_command=SLEEPING_WORKER)


TABLES = {
    "name": "tiny",
    "data": {"source": "data.npz"},
    "hyperband": {"max_resource": 3},
    "budget": {"trials": 4},
    "retrain": {"seeds": 1},
}
SPACE = {"model": "mlp", "parameters": {"units": {"type": "int", "low": 8, "high": 32}}}


def test_importing_search_imports_nothing_else():
    code = "import search, sys; print(sorted(m for m in sys.modules if m.startswith(('search.', 'studies', 'keras'))))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        search.runn  # noqa: B018


def test_a_file_runs_resumes_and_comes_back_as_a_table(folder, capsys):
    study = search.run("study.toml", trials=3)
    assert "up to 3 trials" in capsys.readouterr().out
    assert [trial.number for trial in study.record.trials] == [0, 1, 2]
    again = search.run("study.toml", trials=5, quiet=True)
    assert capsys.readouterr().out == ""
    assert [trial.params for trial in again.record.trials[:3]] == [trial.params for trial in study.record.trials]
    table = again.leaderboard()
    assert isinstance(table, pd.DataFrame)
    assert list(table["state"])[-1] == "retrained"
    assert len(table) == 6
    assert search.leaderboard("tiny").equals(table)
    assert (
        search.load("tiny").best_params
        == table.filter(like="params_").iloc[0].dropna().rename(lambda name: name.removeprefix("params_")).to_dict()
    )
    assert "<table" in again._repr_html_()


def test_python_objects_make_the_same_study_as_a_file(folder):
    study = search.run(TABLES, space=SPACE, quiet=True)
    same = search.run(StudyPlan(**TABLES, space="given"), space=Space(**SPACE), quiet=True)
    assert study.record.trials == same.record.trials
    assert len(study.record.trials) == 4


def test_numbers_of_numpy_paths_and_ranges_are_those_of_a_file(folder):
    tables = {**TABLES, "data": {"source": Path("data.npz")}, "budget": {"trials": np.int64(4)}}
    law = {"type": "ordinal", "choices": np.array([8, 32])}
    given = study_of(tables, {"model": "mlp", "parameters": {"units": law, "layers": {**law, "choices": range(1, 3)}}})
    assert (given.plan.data.source, given.plan.budget.trials) == ("data.npz", 4)
    assert [type(choice) for choice in given.space.parameters["units"].choices] == [int, int]
    assert given.space.parameters["layers"].choices == (1, 2)


@pytest.mark.parametrize("name", ["workers", "slots_per_gpu"])
def test_fewer_than_one_worker_are_refused(folder, name):
    with pytest.raises(SearchError, match=rf"^{name}: must be at least 1 \(came 0\)$"):
        search.run("study.toml", **{name: 0})


def test_optuna_gets_its_own_study(folder):
    study = search.run("study.toml", trials=3, quiet=True).optuna()
    assert type(study) is optuna.Study
    assert [trial.number for trial in study.trials] == [0, 1, 2]
    assert study.best_value == max(t.value for t in study.trials if t.state.name == "COMPLETE")
    assert times_open(folder / "runs" / "studies.db") > 0
    del study
    gc.collect()
    assert times_open(folder / "runs" / "studies.db") == 0


def test_problems_of_tables_come_as_those_of_a_file_do(folder):
    with pytest.raises(InputError) as error:
        search.run({**TABLES, "hyperbnd": {}}, space={"model": "mlp", "parameters": {"units": {"type": "it"}}})
    assert "parameters.units.type" in str(error.value)
    with pytest.raises(InputError, match='did you mean "hyperband"'):
        search.run({**TABLES, "hyperbnd": {}}, space=SPACE)
    with pytest.raises(InputError, match=r"budget\.trials"):
        search.run(TABLES, space=SPACE, changes=["budget.trials=0"])
    for study, space in ((3, None), (TABLES, 3)):
        with pytest.raises(InputError, match=r"must be a file, a name, tables or a .* \(came 3\)"):
            search.run(study, space=space)


def test_a_hypermodel_and_a_space_are_one_too_many(folder):
    with pytest.raises(SearchError, match="takes the place of a space"):
        search.run(TABLES, space=SPACE, hypermodel="hypermodels:Scoped")


def test_a_parameter_that_no_model_reads_is_refused_as_that_of_a_file_is(folder):
    unread = {"model": "mlp", "parameters": {"unitz": {"type": "int", "low": 8, "high": 32}}}
    with pytest.raises(SearchError, match=r"^space: parameters\.unitz: the family mlp has none .*mean \"units\"\?$"):
        search.run(TABLES, space=unread)
    with pytest.raises(SearchError, match=r"^space: model: unknown family \"mpl\"; did you mean \"mlp\""):
        search.run("study.toml", space={**unread, "model": "mpl"})
    (folder / "space.toml").write_text('model = "mlp"\n[parameters]\nunitz = { type = "fixed", value = 8 }\n')
    with pytest.raises(SearchError, match=r"^space\.toml: parameters\.unitz"):
        search.run("study.toml")
    assert not (folder / "runs").exists()


@pytest.mark.slow
def test_a_model_that_is_not_there_yet_is_told(folder):
    search.run("study.toml", trials=2, quiet=True)
    (folder / "runs/tiny/best.keras").unlink()
    with pytest.raises(SearchError, match="there is no model yet"):
        search.best_model("tiny")


def test_code_in_the_file_of_the_best_model_runs_only_if_asked_and_named_functions_are_found(tmp_path):
    import keras
    import models_of_users

    def save(function):
        keras.Sequential([keras.Input((3,)), keras.layers.Lambda(function)]).save(tmp_path / "best.keras")

    record = records.study(space={"model": "models_of_users:sequential"}, data={"base": Path(__file__).parent})
    study = notebook.Study(record, tmp_path, "")
    save(models_of_users.doubled)
    assert study.best_model().layers[0].function is models_of_users.doubled
    save(lambda x: 2 * x)
    with pytest.raises(SearchError, match=r"holds code, in a Lambda layer; best_model\(safe_mode=False\) runs it"):
        study.best_model()
    assert study.best_model(safe_mode=False).layers[0].function(3) == 6


@pytest.mark.slow
def test_an_interrupt_ends_a_run_that_goes_on_with_the_same_call(folder, monkeypatch):
    told, before = [], signal.getsignal(signal.SIGINT)

    def interrupt_once(_display, kind, **_fields):
        told.append(kind)
        if told.count("rung") == 1 and kind == "rung":
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(display.Silent, "__call__", interrupt_once)
        with pytest.raises(KeyboardInterrupt, match="the same call goes on from here"):
            search.run("study.toml", trials=4, quiet=True)
    assert signal.getsignal(signal.SIGINT) is before
    assert len(search.load("tiny").record.trials) < 4
    assert len(search.run("study.toml", trials=4, quiet=True).record.trials) == 4


@pytest.mark.slow
def test_a_run_in_a_thread_of_its_own_is_a_run(folder):
    found = []
    thread = threading.Thread(target=lambda: found.append(search.run("study.toml", trials=2, quiet=True)))
    thread.start()
    thread.join()
    assert len(found[0].record.trials) == 2


def test_a_hypermodel_is_named_by_its_module():
    import hypermodels

    assert notebook._named(hypermodels.late) == "hypermodels:late"
    assert notebook._named(hypermodels.Scoped) == "hypermodels:Scoped"
    assert notebook._named("m:build") == notebook._named("keras_tuner:m:build") == "m:build"
    with pytest.raises(SearchError, match="at the top of a module"):
        notebook._named(lambda hp: None)


@pytest.mark.slow
def test_a_hypermodel_is_tuned_and_its_best_model_predicts(tmp_path, monkeypatch):
    import hypermodels
    import numpy as np

    make_study(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    study = search.run(TABLES, hypermodel=hypermodels.Scoped, trials=2, workers=1, quiet=True)
    images = np.load("data.npz")["x_test"]
    assert study.best_model().predict(images, verbose=0).shape == (30, 3)
    hp = study.hyperparameters()
    assert hp["kind"] == study.best_params["kind"]
    assert hypermodels.Scoped().build(hp).count_params() == study.record.retrained[0].weights


def test_a_study_file_may_name_a_hypermodel_as_its_space(tmp_path):
    path = make_study(tmp_path)
    path.write_text(path.read_text().replace('"space.toml"', '"keras_tuner:package.module:build_model"'))
    assert load_study(str(path)).space == Space(model="keras_tuner:package.module:build_model")
    path.write_text(path.read_text().replace("build_model", "build-model"))
    with pytest.raises(InputError, match="space: a hypermodel is"):
        load_study(str(path))
