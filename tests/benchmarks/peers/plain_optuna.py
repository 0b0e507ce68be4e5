"""A plain Optuna script with HyperbandPruner and KerasPruningCallback, as its documentation has it.

Choices: TPE with its defaults; HyperbandPruner with the same resource and factor as everybody; SQLite storage;
grids of powers of two by their exponent, which keeps their order for TPE; the session is cleared before each
trial, as Optuna's Keras example does, because time and memory grow otherwise; the validation split in one batch; one
process, in which TensorFlow uses all cores. `--helpers N` starts N more processes of the same study, Optuna's own way
to use more cores.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import keras
import optuna
from optuna_integration import KerasPruningCallback

from tests.benchmarks.peers.contest import Contest, tell_epoch
from tests.benchmarks.peers.networks import VALIDATION_BATCH, compiled


class TellEpoch(keras.callbacks.Callback):
    """Reports epochs to the benchmark; it must come before the callback that raises TrialPruned."""

    def __init__(self, trial: optuna.Trial) -> None:
        super().__init__()
        self._trial = trial

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        tell_epoch(self._trial.number, epoch + 1, logs["val_accuracy"])


def draw_mlp(trial: optuna.Trial) -> dict[str, Any]:
    return {"layers": trial.suggest_int("layers", 1, 3), **_draw_training(trial)}


def draw_cnn(trial: optuna.Trial) -> dict[str, Any]:
    blocks = trial.suggest_int("blocks", 1, 3)
    filters = [2 ** trial.suggest_int(f"log2_filters_{block}", 4, 7) for block in range(blocks)]
    return {"filters": filters, **_draw_training(trial)}


def draw_e2(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "filters": [trial.suggest_int("filters_0", 32, 64, step=16), trial.suggest_int("filters_1", 64, 128, step=32)],
        "units": trial.suggest_int("units", 64, 128, step=32),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-3, log=True),
        "optimizer": trial.suggest_categorical("optimizer", ["adam", "sgd"]),
        "momentum": 0.9,
    }


def _draw_training(trial: optuna.Trial) -> dict[str, Any]:
    params = {
        "units": 2 ** trial.suggest_int("log2_units", 5, 8),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "l1": trial.suggest_float("l1", 1e-7, 1e-3, log=True),
        "optimizer": trial.suggest_categorical("optimizer", ["adam", "sgd", "rmsprop"]),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
    }
    if params["optimizer"] == "sgd":
        params["momentum"] = trial.suggest_float("momentum", 0.0, 0.99)
    return params


def make_objective(contest: Contest) -> Callable[[optuna.Trial], float]:
    x_train, y_train, x_val, y_val = contest.arrays()
    draw = {"mlp": draw_mlp, "cnn": draw_cnn, "e2": draw_e2}[contest.space]

    def objective(trial: optuna.Trial) -> float:
        keras.utils.clear_session()
        model = compiled(contest.space, x_train.shape[1:], draw(trial))
        history = model.fit(
            x_train,
            y_train,
            batch_size=contest.batch_size,
            epochs=contest.max_resource,
            validation_data=(x_val, y_val),
            validation_batch_size=VALIDATION_BATCH,
            callbacks=[TellEpoch(trial), KerasPruningCallback(trial, "val_accuracy")],
            verbose=0,
        )
        return float(max(history.history["val_accuracy"]))

    return objective


def open_study(contest: Contest, seed: int) -> optuna.Study:
    return optuna.create_study(
        study_name=f"{contest.space}-{contest.seed}",  # with the number, it decides a trial's bracket
        storage=f"sqlite:///{contest.folder}/optuna.db",
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.HyperbandPruner(
            min_resource=1, max_resource=contest.max_resource, reduction_factor=contest.reduction_factor
        ),
        load_if_exists=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("contest")
    parser.add_argument("--helpers", type=int, default=0)
    parser.add_argument("--helper", type=int, default=0, help="which of them this is; 0 is the first process")
    arguments = parser.parse_args()
    contest = Contest.read(arguments.contest)
    seed = contest.seed + 1000 * arguments.helper
    keras.utils.set_random_seed(seed)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = open_study(contest, seed)
    for helper in range(1, arguments.helpers + 1):
        words = ["-m", "tests.benchmarks.peers.plain_optuna", arguments.contest, "--helper", str(helper)]
        subprocess.Popen([sys.executable, *words])
    study.optimize(make_objective(contest), timeout=contest.seconds)


if __name__ == "__main__":
    main()
