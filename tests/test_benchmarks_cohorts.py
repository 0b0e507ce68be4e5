import pytest

from tests.benchmarks.cohorts import Job, Taken, measure, table
from tests.benchmarks.epochs import Subject

DENSE = Subject("digits", (), (), (32,), 1, 1)


def test_a_trial_s_share_of_an_epoch_is_compared_with_an_epoch_alone():
    alone, four = Taken(2.0, [0.010, 0.012, 0.011]), Taken(3.0, [0.020, 0.022, 0.021])
    lines = table([(Job(DENSE, "float32", 1), alone), (Job(DENSE, "float32", 4), four)]).splitlines()
    assert lines[2] == "| mlp 1 x 32 | float32 | 1 | 2.00 | 11.0 | 11.0 | 1.00 |"
    assert lines[3] == "| mlp 1 x 32 | float32 | 4 | 3.00 | 21.0 | 5.2 | 2.10 |"


@pytest.mark.slow
def test_a_real_job_tells_its_first_epoch_and_the_others(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    taken = measure(Job(DENSE, "float32", 2))
    assert len(taken.later) == 7
    assert taken.first > max(taken.later) > 0
