"""What a trial of a cohort draws for its next epoch."""

import numpy as np

from search.blobs import FolderBlobs
from search.checkpoints import Checkpoints
from search.members import Member, mean
from search.messages import Task
from search.metrics import numbers
from search.progress import Progress


def member(folder, epochs):
    """A trial with two seeds that has trained for some epochs."""
    task = Task(trial=0, folder="t", params={}, seed=5, seeds=2)
    return Member(task, Checkpoints(FolderBlobs(folder), "t"), to_epoch=9, progress=Progress(epochs))


def all_differ(arrays):
    return len({array.tobytes() for array in arrays}) == len(arrays)


def test_each_epoch_of_each_seed_has_an_order_of_its_own_and_the_same_one_each_time(tmp_path):
    epochs = [member(tmp_path, epoch).orders(50) for epoch in (0, 1, 2)]
    assert all_differ([order for orders in epochs for order in orders])
    assert all(sorted(order) == list(range(50)) for orders in epochs for order in orders)
    np.testing.assert_array_equal(member(tmp_path, 1).orders(50), epochs[1])


def test_each_epoch_of_each_seed_begins_its_random_numbers_elsewhere_and_at_the_same_place_each_time(tmp_path):
    epochs = [member(tmp_path, epoch).generator_states(index, "uint32") for epoch in (0, 1, 2) for index in (0, 1)]
    assert all_differ([state for states in epochs for state in states])
    np.testing.assert_array_equal(member(tmp_path, 0).generator_states(1, "uint32"), epochs[1])


def test_the_mean_over_seeds_has_no_more_digits_than_its_metrics():
    assert mean([{"loss": one} for one in (0.1, 0.2, 0.3)]) == {"loss": 0.2}  # not 0.20000000000000004
    assert mean([{"loss": 0.9722222}]) == {"loss": 0.9722222}
    assert mean([{"loss": 1e30}, {"loss": float("inf")}]) == {"loss": float("inf")}


def test_seeds_that_are_right_equally_often_together_have_one_mean():
    def of(*hits):  # of 360 examples each, as float32 has the shares
        return mean([numbers({"accuracy": np.float32(one / 360)}) for one in hits])

    assert of(340, 341, 343) == of(339, 341, 344) == {"accuracy": 0.948148}
