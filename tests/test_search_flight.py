"""What the supervisor takes from a worker's epochs."""

from search.errands import Errand
from search.flight import Flight
from search.messages import EpochDone, TrainJob
from studies.records import TrialRecord


def epoch_done(epoch, value, seconds=None):
    return EpochDone(trial=0, epoch=epoch, metrics={"val_accuracy": value}, seconds=seconds or 2.0 * epoch)


def flown(*values):
    """A flight that has come through a rung at the second epoch, all of it in the store."""
    flight = Flight(TrialRecord(number=0, state="running", params={}), "val_accuracy", "maximize")
    for epoch, value in enumerate(values, start=1):
        assert flight.epoch_done(epoch_done(epoch, value))
        if epoch == 2:
            flight.rung_reached("paused", flight.epochs)
    flight.unsaved = {}
    return flight


def test_an_epoch_that_is_known_changes_nothing():
    flight = flown(0.5, 0.7, 0.6)
    record = flight.record
    assert not flight.epoch_done(epoch_done(2, 0.7, seconds=99.0))
    assert flight.record is record
    assert not flight.unsaved


def test_other_numbers_of_known_epochs_take_their_place_and_rungs_stay_as_they_were_judged():
    flight = flown(0.5, 0.7, 0.6)
    assert flight.epoch_done(epoch_done(2, 0.55, seconds=5.0))
    assert flight.record.history == {"val_accuracy": (0.5, 0.55)}
    assert (flight.record.epochs, flight.record.best_epoch, flight.record.value) == (2, 2, 0.55)
    assert (flight.record.seconds, flight.epoch_seconds) == (5.0, 3.0)
    assert flight.record.rungs == {2: 0.7}
    assert not flight.epoch_done(epoch_done(1, 0.5))
    assert flight.epoch_done(epoch_done(3, 0.56))
    assert flight.unsaved == {2: 0.55, 3: 0.56}


def test_a_trial_that_is_trained_anew_from_its_first_epoch_has_the_new_seconds():
    flight = flown(0.5, 0.7, 0.6)
    assert flight.epoch_done(epoch_done(1, 0.4, seconds=7.0))
    assert flight.record.history == {"val_accuracy": (0.4,)}
    assert (flight.record.seconds, flight.record.metrics) == (7.0, {"val_accuracy": 0.4})


def test_an_epoch_after_one_that_is_missing_is_left_out():
    assert not flown(0.5).epoch_done(epoch_done(3, 0.7))


def test_a_retraining_that_is_begun_anew_and_stops_sooner_keeps_nothing_of_the_first():
    errand = Errand(TrainJob(structure="", tasks=[], to_epoch=9))
    for epoch, value in [(1, 0.5), (2, 0.7), (3, 0.6), (1, 0.4), (2, 0.3)]:
        errand.epoch_done(epoch_done(epoch, value))
    assert errand.progress("val_accuracy", "maximize").history == {"val_accuracy": (0.4, 0.3)}
