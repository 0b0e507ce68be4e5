"""Whatever process of a run dies, hangs or is told to stop: nothing is lost, and the result is the undisturbed one."""

import pytest
from killing import Storm, repetitions, tried
from running import make_study, outcome, run

SLEEP = {"PYTHON_SLEEP_SECONDS": "0.02"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The record of a run with one worker that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return run(make_study(folder), folder / "runs")


def storms(folder, victims, kills, **more):
    """Storms until so many processes were killed, with the record that each left."""
    done = 0
    while done < kills:
        name = f"{'-'.join(victims)}-{done}"
        storm = Storm(folder / name, victims, name, **more)
        record = storm.blow()
        done += storm.kills
        yield storm, record


VICTIMS = {
    "worker": ("worker",),
    "supervisor": ("supervisor",),
    "tree": ("tree",),
    "any": ("worker", "worker", "supervisor", "tree"),
}


def weathers(undisturbed, folder, victims, kills):
    """See that a search ends as the undisturbed one whoever of its processes is killed, and when."""
    killed = lost = repeated = 0
    for storm, record in storms(folder, VICTIMS[victims], kills, **SLEEP):
        assert outcome(record) == outcome(undisturbed)
        assert storm.repeated <= storm.lost_workers
        killed, lost, repeated = killed + storm.kills, lost + storm.lost_workers, repeated + storm.repeated
    tried(killed, f"SIGKILLs ({victims}) at random times; {lost} workers died of them, {repeated} epochs were repeated")


def test_a_search_ends_as_the_undisturbed_one_whoever_is_killed(undisturbed, tmp_path):
    weathers(undisturbed, tmp_path, "any", 3)


@pytest.mark.slow
@pytest.mark.parametrize(("victims", "kills"), [("worker", 500), ("supervisor", 200), ("tree", 400), ("any", 100)])
def test_kills_at_random_times_change_nothing(undisturbed, tmp_path, victims, kills):
    weathers(undisturbed, tmp_path, victims, repetitions(5, kills))
