import dataclasses

import keras
import numpy as np
import pytest

from studies.plan import load_study
from tests.benchmarks.bare import Network, make_loop
from tests.benchmarks.epochs import Pairs, Subject
from tests.benchmarks.overhead import TASKS, Comparison, pairs_table, prepared
from tests.benchmarks.spending import spend, spending
from tests.benchmarks.timed_worker import Stopwatch

DENSE = Network((4, 4), (), (16,), 3, 0.1, 1e-5, False, 0.01)
CONVOLUTIONAL = Network((4, 4), (4,), (8,), 3, 0.1, 1e-5, True, 0.01)


def rows(count, seed):
    """Images whose class is where they are bright."""
    y = np.arange(count, dtype=np.int32) % 3
    x = np.random.default_rng(seed).uniform(0, 0.5, (count, 4, 4)).astype(np.float32)
    x[np.arange(count), y] += 0.5
    return x, y


@pytest.mark.backend
@pytest.mark.parametrize("network", [DENSE, CONVOLUTIONAL], ids=["dense", "convolutional"])
def test_a_loop_written_by_hand_learns(network):
    keras.utils.set_random_seed(0)  # of its dropout
    loop = make_loop(keras.backend.backend(), network, rows(70, 0), rows(30, 1), 16)
    found = [loop.epoch(np.random.default_rng(epoch).permutation(70).astype(np.int32)) for epoch in range(12)]
    assert set(found[0]) == {"train_loss", "train_accuracy", "val_loss", "val_accuracy"}
    assert found[0]["train_loss"] == pytest.approx(np.log(3), rel=0.7)
    assert found[-1]["train_loss"] < 0.7 * found[0]["train_loss"]
    assert found[-1]["val_accuracy"] > 0.7


def test_a_network_has_the_weights_that_keras_counts():
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(4, 3, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(8),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(3),
        ]
    )
    weights = sum(value.size for layer in CONVOLUTIONAL.initial() for value in layer.values())
    assert weights == sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_parts_within_parts_are_counted_once():
    moments = iter([0.0, 1.0, 3.0, 4.0, 8.0, 10.0])
    watch = Stopwatch(lambda: next(moments))
    with watch.part("outer"):
        with watch.part("inner"):
            pass
        with watch.part("inner"):
            pass
    assert watch.taken() == {"parts": {"inner": 2.0 + 4.0, "outer": 10.0 - 6.0}, "calls": []}
    assert watch.taken() == {"parts": {}, "calls": []}


def test_the_time_of_workers_is_shared_out_without_a_rest():
    first = {"began": 0.0, "ended": 4.0, "parts": {"steps": 3.0, "checkpoints": 0.5}}
    first["calls"] = [(0, "train", 2.0), (0, "train", 0.5), (0, "train", 0.5)]
    second = {"began": 5.0, "ended": 6.0, "parts": {"steps": 1.0}, "calls": [(1, "train", 1.0)]}
    found = spending([[first, second]], end=8.0)
    assert found.seconds == 8.0
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert found.shares["tracing"] * 8 == pytest.approx(1.5 + 1.0)  # the second is taken to need 1.5, but took 1.0
    assert found.shares["steps"] * 8 == pytest.approx(1.5)
    assert found.shares["waiting for the supervisor"] * 8 == pytest.approx(1.0)
    assert found.shares["waiting for the last trials"] * 8 == pytest.approx(2.0)
    assert found.outside == pytest.approx(1 - 1.5 / 8)
    assert (found.epochs, found.programs) == (4, 2)


def test_a_large_network_that_trains_one_epoch_is_not_taken_for_one_that_is_slow_to_trace():
    job = {"began": 0.0, "ended": 21.0, "parts": {"steps": 21.0}}
    job["calls"] = [(0, "train", 2.0), (0, "train", 1.0), (1, "train", 2.0), (1, "train", 1.0), (2, "train", 15.0)]
    found = spending([[job]], end=21.0)
    assert found.shares["tracing"] * 21 == pytest.approx(1.0 + 1.0 + 1.0)


def test_the_pairs_of_all_processes_of_a_model_are_one_line():
    subject = Subject("digits", (), (), (64,), 2, 1)
    pairs = Pairs([(0.02, 0.01), (0.04, 0.02)], [(0.03, 0.01), (0.03, 0.01)], [0.01, 0.02], (4810, 4810), (0.9, 0.9))
    table = pairs_table([Comparison(0.5, subject, pairs), Comparison(0.5, subject, pairs)])
    assert table.splitlines()[2:] == ["| mlp 1 x 64 | 4,810 | 30.0 | 15.0 | 15.0 | 2.00 | 3.00 |"]


def test_a_local_file_takes_the_place_of_the_data_of_search_and_models(tmp_path):
    np.savez(tmp_path / "all.npz", x_train=np.zeros((20, 4, 4), np.uint8), y_train=np.arange(20) % 2)
    task = prepared(TASKS["mnist"], tmp_path / "all.npz", tmp_path)
    (source,) = set(task.overrides) - set(TASKS["mnist"].overrides)
    assert source == f'data.source="{tmp_path / "images.npz"}"'
    assert all(source in subject.overrides for subject in task.subjects)
    assert dataclasses.replace(task.subjects[0], overrides=()) == TASKS["mnist"].subjects[0]


def test_a_search_of_another_length_is_the_same_but_for_its_trials(tmp_path):
    usual, longer = (prepared(TASKS["mnist"], None, tmp_path, trials=trials) for trials in (None, 40))
    assert usual == TASKS["mnist"]
    assert load_study(longer.study, longer.overrides).plan.budget.trials == 40
    assert longer.subjects == usual.subjects


@pytest.mark.slow
def test_a_real_search_tells_where_its_time_went(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    found = spend("xor", ["budget.trials=2", "hyperband.max_resource=1", "enqueue=[]"], workers=1)
    assert found.epochs == 2
    assert {"steps", "tracing", "building", "checkpoints", "weights", "messages"} <= set(found.shares)
    assert sum(found.shares.values()) == pytest.approx(1.0)
