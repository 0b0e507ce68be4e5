"""Studies of Optuna and projects of Keras Tuner as finished trials of a store."""

import json

import optuna
import pytest
from running import times_open

from reports.leaderboard import joint_leaderboard, leaderboard
from studies.errors import StudyError
from studies.imports import open_optuna, read_keras_tuner, read_optuna
from studies.store import Store, sqlite_url

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def store(tmp_path):
    with Store.open(sqlite_url(tmp_path / "studies.db")) as store:
        yield store


@pytest.fixture
def old(tmp_path):
    """An Optuna study with a trial of each kind, in a database of its own."""
    storage = optuna.storages.RDBStorage(sqlite_url(tmp_path / "optuna.db"))
    study = optuna.create_study(
        storage=storage, study_name="old", direction="maximize", pruner=optuna.pruners.NopPruner()
    )
    for value in (0.5, 0.9):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.report(value / 2, 1)
        trial.report(value, 2)
        study.tell(trial, value)
    pruned = study.ask()
    pruned.suggest_categorical("kind", ["a", "b"])
    pruned.report(0.1, 1)
    study.tell(pruned, state=optuna.trial.TrialState.PRUNED)
    study.ask()  # runs on: not finished
    yield study
    storage.remove_session()
    storage.engine.dispose()


def test_an_optuna_study_is_ranked_like_any_other(store, old, tmp_path):
    with open_optuna(sqlite_url(tmp_path / "optuna.db")) as source:
        assert read_optuna("mine", source).add_to(store) == 3
    record = store.load("mine")
    assert [trial.state for trial in record.trials] == ["complete", "complete", "pruned"]
    assert [trial.value for trial in record.trials][:2] == [0.5, 0.9]
    assert record.trials[1].history == {"value": (0.45, 0.9)}
    table = leaderboard(record)
    assert list(table["trial"]) == [1, 0, 2]
    assert table["params_x"].notna().sum() == 2
    assert store.optuna("mine").best_value == 0.9


def test_trials_keep_their_numbers_beside_unfinished_ones(store, old):
    last = old.ask()
    old.tell(last, 0.7)
    assert read_optuna("mine", old).add_to(store) == 4
    assert [trial.number for trial in store.load("mine").trials] == [0, 1, 2, last.number] == [0, 1, 2, 4]


def test_two_imported_studies_are_compared_for_nobody_knows_that_their_data_differ(store, old):
    for name in ("one", "other"):
        read_optuna(name, old).add_to(store)
    assert list(joint_leaderboard([store.load("one"), store.load("other")])["study"]) == ["one", "other"] * 3


def test_a_name_is_taken_once_and_a_source_needs_a_name_where_there_are_several(store, old, tmp_path):
    read_optuna("mine", old).add_to(store)
    with pytest.raises(StudyError, match='the study "mine" is in the store already'):
        read_optuna("mine", old).add_to(store)
    optuna.create_study(storage=old._storage, study_name="second")
    with (
        pytest.raises(StudyError, match="holds 2 studies; add one's name"),
        open_optuna(sqlite_url(tmp_path / "optuna.db")),
    ):
        pass
    before = times_open(tmp_path / "optuna.db")
    with open_optuna(sqlite_url(tmp_path / "optuna.db") + "#second") as source:
        assert source.study_name == "second"
        assert times_open(tmp_path / "optuna.db") > before
    assert times_open(tmp_path / "optuna.db") == before


def test_a_name_that_is_no_folder_s_is_refused_with_the_law(store):
    for name in ("../x", "", ".", "a/b", "-x", "a" * 65):
        with pytest.raises(StudyError, match=r"name: must be 1 to 64 letters, .*\(came ") as caught:
            read_optuna(name, optuna.create_study()).add_to(store)
        assert caught.value.exit_code == 2
    assert store.names() == ()


def test_attributes_that_have_our_names_for_something_else_are_left_out(store):
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    told = {"weights": "model.h5", "seconds": None, "bracket": True, "epochs": [3], "best_epoch": 1.5, "reason": 7}
    study.add_trial(optuna.trial.create_trial(value=0.5, user_attrs=told | {"val_accuracy": 0.75}))
    read_optuna("other", study).add_to(store)
    assert sorted(leaderboard(store.load("other"))["trial"]) == [0, 1]
    assert store.load("other").trials[1].metrics == {"val_accuracy": 0.75}


def test_several_objectives_are_refused(store):
    with pytest.raises(StudyError, match="has 2 objectives"):
        read_optuna("mine", optuna.create_study(directions=["minimize", "maximize"])).add_to(store)


class Noisy:
    """A Keras Tuner search without training: the value is a number of its params."""

    def search(self, folder):
        import keras_tuner

        class Tuner(keras_tuner.RandomSearch):
            def run_trial(self, trial, *args, **kwargs):
                hp = trial.hyperparameters
                if hp.get("units") > 400:
                    raise RuntimeError("too large")
                return {"val_accuracy": hp.get("units") / 512, "loss": 1 - hp.get("rate")}

        def build(hp):
            hp.Int("units", 32, 512, step=32)
            hp.Float("rate", 1e-4, 1e-1, sampling="log")
            if hp.Boolean("extra"):
                hp.Choice("act", ["relu", "tanh"])
            hp.Fixed("seed", 3)

        tuner = Tuner(build, objective="val_accuracy", max_trials=8, directory=folder, project_name="old", seed=3,
                      max_consecutive_failed_trials=9)  # fmt: skip
        tuner.search(verbose=0)
        return tuner


@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras_tuner")
def test_a_project_of_keras_tuner_has_its_scores_params_and_failures(store, tmp_path, capsys):
    tuner = Noisy().search(tmp_path)
    assert read_keras_tuner("tuned", tmp_path / "old").add_to(store) == 8
    record = store.load("tuned")
    best = tuner.oracle.get_best_trials(1)[0]
    assert (record.monitor, record.direction) == ("val_accuracy", "maximize")
    top = leaderboard(record).iloc[0]
    assert top["val_accuracy"] == pytest.approx(best.score)
    assert top["params_units"] == best.hyperparameters.get("units")
    states = [trial.state for trial in record.trials]
    assert states.count("failed") == sum(
        t.status == "INVALID" or t.status == "FAILED" for t in tuner.oracle.trials.values()
    )
    assert "failed" in states
    assert {"units", "rate", "extra"} <= set(record.trials[0].params)


def test_a_folder_without_trials_and_trials_without_a_metric_are_refused(store, tmp_path):
    with pytest.raises(StudyError, match="has no finished trial"):
        read_keras_tuner("mine", tmp_path).add_to(store)
    (tmp_path / "trial_0").mkdir()
    state = {"trial_id": "0", "status": "COMPLETED", "score": 1.0, "metrics": {"metrics": {}},
             "hyperparameters": {"space": [], "values": {}}}  # fmt: skip
    (tmp_path / "trial_0" / "trial.json").write_text(json.dumps(state))
    with pytest.raises(StudyError, match="no metric of its trials is their score"):
        read_keras_tuner("mine", tmp_path).add_to(store)
    assert "mine" not in store.names()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", r"trial\.json: is not as Keras Tuner writes it \(JSONDecodeError"),
        ("[]", r"trial\.json: is not as Keras Tuner writes it \(TypeError"),
        ("{}", r"trial\.json: is not as Keras Tuner writes it \(KeyError: 'status'\)"),
        ('{"status": "COMPLETED"}', r"old: is not as Keras Tuner writes it \(KeyError: 'score'\)"),
    ],
)
def test_a_damaged_project_is_told_in_a_line(store, tmp_path, text, told):
    (tmp_path / "old" / "trial_0").mkdir(parents=True)
    (tmp_path / "old" / "trial_0" / "trial.json").write_text(text)
    with pytest.raises(StudyError, match=told):
        read_keras_tuner("mine", tmp_path / "old").add_to(store)
    assert "mine" not in store.names()
