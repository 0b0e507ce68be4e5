"""Keras Tuner's Hyperband, as its documentation has it.

Choices: the built-in Hyperband with the same resource and factor as everybody, and as many iterations as the time
allows, which the documentation advises; grids of powers of two by `sampling="log"` with `step=2`; momentum in a
conditional scope; the validation split in one batch; no early stopping, which nobody else has. Its callbacks and its
checkpoints of each trial's best epoch are its own. One process, in which TensorFlow uses all cores.

The one thing that isn't in the documentation: under TensorFlow its tuners import `tensorboard` at each trial, which
TensorFlow no longer installs, only to look for a TensorBoard callback. There is none here, so the method that looks
does nothing.
"""

from __future__ import annotations

import sys
from typing import Any

import keras
import keras_tuner

from tests.benchmarks.peers.contest import Contest, tell_epoch
from tests.benchmarks.peers.networks import VALIDATION_BATCH, compiled

ITERATIONS = 1000


class Hyperband(keras_tuner.Hyperband):
    """Keras Tuner's, which reports epochs to the benchmark."""

    def on_epoch_end(self, trial: Any, model: Any, epoch: int, logs: Any = None) -> None:
        super().on_epoch_end(trial, model, epoch, logs)
        tell_epoch(trial.trial_id, epoch + 1, logs["val_accuracy"])

    def _configure_tensorboard_dir(self, callbacks: Any, trial: Any, execution: int = 0) -> None:
        pass


class Network(keras_tuner.HyperModel):
    """The space, and the models it describes."""

    def __init__(self, space: str, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self._space = space
        self._input_shape = input_shape

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        draw = {"mlp": draw_mlp, "cnn": draw_cnn, "e2": draw_e2}[self._space]
        return compiled(self._space, self._input_shape, draw(hp))


def draw_mlp(hp: keras_tuner.HyperParameters) -> dict[str, Any]:
    return {"layers": hp.Int("layers", 1, 3), **_draw_training(hp)}


def draw_cnn(hp: keras_tuner.HyperParameters) -> dict[str, Any]:
    filters = []
    for block in range(hp.Int("blocks", 1, 3)):
        with hp.conditional_scope("blocks", list(range(block + 1, 4))):
            filters.append(hp.Int(f"filters_{block}", 16, 128, step=2, sampling="log"))
    return {"filters": filters, **_draw_training(hp)}


def draw_e2(hp: keras_tuner.HyperParameters) -> dict[str, Any]:
    filters = [hp.Int("conv_1_filters", 32, 64, step=16), hp.Int("conv_2_filters", 64, 128, step=32)]
    params = {"filters": filters, "units": hp.Int("dense_units", 64, 128, step=32)}
    rate = hp.Float("learning_rate", 1e-4, 1e-3, sampling="log")
    return {**params, "learning_rate": rate, "optimizer": hp.Choice("optimizer", ["adam", "sgd"]), "momentum": 0.9}


def _draw_training(hp: keras_tuner.HyperParameters) -> dict[str, Any]:
    params = {
        "units": hp.Int("units", 32, 256, step=2, sampling="log"),
        "dropout": hp.Float("dropout", 0.0, 0.5),
        "l1": hp.Float("l1", 1e-7, 1e-3, sampling="log"),
        "optimizer": hp.Choice("optimizer", ["adam", "sgd", "rmsprop"]),
        "learning_rate": hp.Float("learning_rate", 1e-4, 1e-1, sampling="log"),
    }
    with hp.conditional_scope("optimizer", ["sgd"]):
        params["momentum"] = hp.Float("momentum", 0.0, 0.99)  # None with another optimizer
    return params


def main(contest: Contest) -> None:
    keras.utils.set_random_seed(contest.seed)
    x_train, y_train, x_val, y_val = contest.arrays()
    tuner = Hyperband(
        Network(contest.space, x_train.shape[1:]),
        objective="val_accuracy",
        max_epochs=contest.max_resource,
        factor=contest.reduction_factor,
        hyperband_iterations=ITERATIONS,
        seed=contest.seed + 1,  # it takes 0 for no seed
        directory=contest.folder,
        project_name="keras_tuner",
    )
    tuner.search(
        x_train,
        y_train,
        batch_size=contest.batch_size,
        validation_data=(x_val, y_val),
        validation_batch_size=VALIDATION_BATCH,
        verbose=0,
    )


if __name__ == "__main__":
    main(Contest.read(sys.argv[1]))
