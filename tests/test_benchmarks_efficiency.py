import json
import subprocess
import sys
from collections import Counter
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from running import make_study, run
from sleeping_worker import accuracy

from search.seeds import derive
from spaces import Space
from studies.grid import key
from studies.plan import load_study
from tests.benchmarks.contestants import asha, keras_tuner_hyperband, optuna_hyperband, random_search
from tests.benchmarks.curves import Curves, draw, make
from tests.benchmarks.efficiency import table
from tests.benchmarks.replay import Places, Spent, World, distances, finals
from tests.benchmarks.replayed import toprung

BENCHMARKS = Path(__file__).parent / "benchmarks"
LINE = Space.model_validate({"model": "mlp", "parameters": {"dropout": {"type": "float", "low": 0.0, "high": 1.0}}})
MIXED = Space.model_validate(
    {
        "model": "mlp",
        "parameters": {
            "units": {"type": "int", "low": 32, "high": 128, "log": True, "step": 2},
            "optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
            "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
            "momentum": {"type": "float", "low": 0.0, "high": 0.9, "when": {"optimizer": "sgd"}},
        },
    }
)


def line(worths, epochs=27, seeds=1):
    """Curves that rise to their worth, of configurations that lie evenly on a line, the best of them last or first."""
    shares = np.arange(1, epochs + 1) / epochs
    values = np.array([[worth * shares] * seeds for worth in worths])
    return Curves(LINE, [{"dropout": place / (len(worths) - 1)} for place in range(len(worths))], values)


def world(curves, *budgets, repetition=0):
    return World(curves, Places(curves.space, curves.pool), repetition, budgets)


def searched(contestant, curves, *budgets, **options):
    """A world at its end."""
    one = world(curves, *budgets)
    with pytest.raises(Spent):
        contestant(one, **options)
    return one


def stretches(one):
    """Which configuration was trained, and how many epochs on end."""
    return [(index, len(list(epochs))) for index, epochs in groupby(one.worked)]


def test_the_nearest_configuration_that_is_left_is_trained():
    one = world(line([0.1, 0.2, 0.3, 0.4, 0.5]), 3)
    assert [one.settle({"dropout": 0.26}) for _ in range(3)] == [1, 2, 0]
    assert one.params(1) == {"dropout": 0.25}


def test_distances_are_of_normalised_values_and_a_choice_is_a_whole_range_away():
    pool = [
        {"units": 64, "optimizer": "adam", "learning_rate": 1e-4},
        {"units": 64, "optimizer": "sgd", "learning_rate": 1e-2, "momentum": 0.9},
        {"units": 128, "optimizer": "sgd", "learning_rate": 1e-3, "momentum": 0.0},
    ]
    places = Places(MIXED, pool)
    wished = {"units": 32, "optimizer": "adam", "learning_rate": 1e-2}
    squares = np.nansum((places.pool - places.of(wished)) ** 2, axis=1)
    assert squares == pytest.approx([1 / 4 + 4 / 9, 1 / 4 + 1, 1 + 1 + 1 / 9])
    assert places.nearest(wished, np.array([False, True, True])) == 1


def test_a_contestant_is_asked_once_all_of_a_budget_is_trained_and_judged_by_the_mean_over_seeds():
    curves = Curves(LINE, [{"dropout": 0.0}, {"dropout": 1.0}], np.array([[[0.5, 0.7], [0.8, 0.6]], [[0.9, 0.1]] * 2]))
    one = world(curves, 1, 2)
    one.choose = lambda: len(one.worked) - 1
    seen = [one.train(1), one.train(0)]
    with pytest.raises(Spent):
        one.train(0)
    assert seen[0] == 0.9
    assert seen[1] in (0.5, 0.8)
    assert one.chosen == [0, 1]
    assert finals(curves) == pytest.approx([0.75, 0.9])
    assert distances(one) == pytest.approx([15.0, 0.0])


def test_all_contestants_of_a_repetition_see_the_same_seed_of_a_configuration():
    curves = Curves(LINE, [{"dropout": 0.0}] * 50, np.arange(100.0).reshape(50, 2, 1))
    several = [[world(curves, 50, repetition=number).train(index) for index in range(50)] for number in (3, 3, 4)]
    assert several[0] == several[1] != several[2]


def test_random_search_trains_every_configuration_to_the_end():
    one = searched(random_search, line(np.linspace(0.1, 0.9, 9)), 27, 54)
    assert [length for _, length in stretches(one)] == [27, 27]
    assert one.chosen[1] == max(one.worked)


def test_optuna_stops_trials_where_its_pruner_does_when_epochs_count_from_0():
    one = searched(optuna_hyperband, line(np.linspace(0.1, 0.9, 60)), 200)
    lengths = [length for _, length in stretches(one)]
    assert set(lengths[:-1]) <= {2, 4, 10, 27}
    assert len(set(lengths)) > 2
    assert len({index for index, _ in stretches(one)}) == len(lengths)


def test_asha_that_promotes_goes_on_with_what_is_at_the_quantile_and_the_highest_rung_first():
    one = searched(asha, line(np.linspace(0.9, 0.1, 27)), 150, stopping=False)
    first, second = (index for index, _ in stretches(one)[:2])
    assert first == 13  # the middle of the space
    better = min(first, second)  # worth falls along the line
    assert stretches(one)[2] == (better, 2)
    trained = Counter(one.worked)
    del trained[one.worked[-1]]  # under way at the end
    assert set(trained.values()) == {1, 3, 9, 27}
    assert one.chosen == [min(index for index, times in trained.items() if times == 27)]


def test_asha_that_stops_decides_when_a_trial_arrives():
    one = searched(asha, line(np.linspace(0.9, 0.1, 27)), 60, stopping=True)
    (first, length), *others = stretches(one)
    assert (first, length) == (13, 27)
    assert all(times == 27 if index < first else times in (1, 3, 9) for index, times in others[:1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:(currentThread|getName):DeprecationWarning")  # in Keras Tuner
def test_keras_tuner_is_asked_for_its_own_brackets():
    one = searched(keras_tuner_hyperband, line(np.linspace(0.1, 0.9, 60)), 81, 200)
    trained = stretches(one)
    assert [length for _, length in trained[:40]] == [1] * 27 + [2] * 9 + [6] * 3 + [18]
    assert [length for _, length in trained[40:52]] == [3] * 12
    best = sorted(index for index, _ in trained[:27])[-9:]
    assert sorted(index for index, _ in trained[27:36]) == best
    assert one.chosen[0] == best[-1]


def test_the_second_study_has_a_space_to_draw_a_pool_from():
    space = load_study(str(BENCHMARKS / "second.toml")).space
    assert len({key(params) for params in draw(space, 30)}) == 30


def test_toprung_replays_what_it_trains(tmp_path):
    order = []

    def observe(kind, **about):
        if kind == "epoch":
            order.append(about["trial"])

    study = make_study(tmp_path)
    record = run(study, tmp_path / "runs", "budget.trials=30", observe=observe)
    space, epochs = load_study(str(study)).space, range(1, 10)
    pool = [trial.params for trial in record.trials]
    curves = [[[accuracy(params, derive(0, number), epoch) for epoch in epochs]] for number, params in enumerate(pool)]
    closing = order.index(len(pool) - 1)  # from then on the study knows that no trial will come
    one = searched(toprung, Curves(space, pool, np.array(curves)), closing, sampler="gp")
    assert one.worked == order[:closing]
    assert closing > 40


def test_toprung_takes_a_training_that_failed_for_a_failed_trial():
    curves = line(np.linspace(0.9, 0.1, 40))
    curves.values[::2, :, 1:] = np.nan
    one = searched(toprung, curves, 60, sampler="random")
    assert max(times for index, times in Counter(one.worked).items() if index % 2 == 0) == 2
    assert one.chosen[0] % 2 == 1


def test_curves_are_kept_in_a_file(tmp_path):
    curves = Curves(MIXED, draw(MIXED, 5), np.random.default_rng(0).random((5, 2, 9), np.float32))
    curves.save(tmp_path / "deep" / "curves.npz")
    found = Curves.load(tmp_path / "deep" / "curves.npz")
    assert (found.space, found.pool) == (MIXED, curves.pool)
    assert np.array_equal(found.values, curves.values)


def test_configurations_are_drawn_without_repetition():
    three = Space.model_validate({"model": "mlp", "parameters": {"units": {"type": "int", "low": 1, "high": 3}}})
    assert sorted(params["units"] for params in draw(three, 3)) == [1, 2, 3]


def test_a_table_has_a_line_a_contestant_and_a_column_a_budget():
    found = {"random": [[3.0, 1.0], [1.0, 0.5]], "toprung": [[0.5, 0.25]]}
    assert table(found, (27, 54)).splitlines()[2:] == ["| random | 2.00 | 0.75 | 2 |", "| toprung | 0.50 | 0.25 | 1 |"]


@pytest.mark.slow
def test_curves_are_what_a_trainer_makes_of_each_configuration_and_seed(tmp_path):
    loaded = load_study(str(make_study(tmp_path)), ["hyperband.max_resource=3"])
    pool = draw(loaded.space, 3)
    (values,) = make(loaded, pool, seeds=2)
    assert values.shape == (3, 2, 3)
    assert ((values >= 0) & (values <= 1)).all()
    (rest,) = make(loaded, pool, seeds=2, kept=2)
    assert np.allclose(rest, values[2:], atol=1e-6)


@pytest.mark.slow
def test_the_benchmark_compares_all_contestants_with_one_command(tmp_path):
    line(np.linspace(0.1, 0.9, 60), seeds=2).save(tmp_path / "curves.npz")
    words = ["--curves", tmp_path / "curves.npz", "--repetitions", "2", "--budgets", "27", "54", "--processes", "1"]
    peers = ["random", "optuna", "keras-tuner", "asha-stopping", "asha-promotion", "toprung-random", "toprung"]
    command = [sys.executable, "-m", "tests.benchmarks.efficiency", *words, "--contestants", *peers]
    subprocess.run([*map(str, command), "--json", tmp_path / "results.json"], check=True, capture_output=True)
    results = json.loads((tmp_path / "results.json").read_text())
    assert {name: np.shape(runs) for name, runs in results["distances"].items()} == dict.fromkeys(peers, (2, 2))
    assert results["curves"]["configurations"] == 60
