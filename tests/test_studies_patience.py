"""When a trial ends by itself and when its learning rate falls."""

import numpy as np
import pytest

from studies.patience import EarlyStopping, Plateau

CURVES = np.random.default_rng(0).choice([0.3, 0.4, 0.40005, 0.5, 0.6], (40, 12)).astype(np.float32).tolist()


def as_keras_stops(curve, patience, mode):
    import keras

    callback = keras.callbacks.EarlyStopping("x", patience=patience, mode=mode)
    callback.set_model(keras.Sequential())
    callback.model.stop_training = False
    callback.on_train_begin()
    for epoch, value in enumerate(curve):
        callback.on_epoch_end(epoch, {"x": value})
        if callback.model.stop_training:
            return epoch + 1
    return None


def as_keras_reduces(curve, mode, **options):
    import keras

    callback = keras.callbacks.ReduceLROnPlateau("x", mode=mode, **options)
    model = keras.Sequential()
    model.compile(keras.optimizers.SGD(0.1))
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(curve):
        callback.on_epoch_end(epoch, {"x": value})
        rates.append(float(np.asarray(model.optimizer.learning_rate)))
    return rates


@pytest.mark.parametrize("patience", [1, 2, 4])
@pytest.mark.parametrize(("monitor", "mode"), [("val_loss", "min"), ("val_accuracy", "max")])
def test_training_ends_where_keras_s_early_stopping_ends_it(monitor, mode, patience):
    rule = EarlyStopping(monitor=monitor, patience=patience)
    for curve in CURVES[:15]:
        assert rule.stopped({monitor: curve}) == as_keras_stops(curve, patience, mode)


@pytest.mark.parametrize("patience", [1, 3])
@pytest.mark.parametrize(("monitor", "mode"), [("val_loss", "min"), ("val_accuracy", "max")])
def test_the_rate_falls_as_keras_lets_it_fall(monitor, mode, patience):
    rule = Plateau(monitor=monitor, patience=patience, factor=0.3, min_learning_rate=0.005)
    for curve in CURVES[:10]:
        reduced = rule.reductions({monitor: curve})
        ours = [rule.rate(0.1, sum(after <= epoch for after in reduced)) for epoch in range(1, 13)]
        theirs = as_keras_reduces(curve, mode, patience=patience, factor=0.3, min_lr=0.005)
        assert ours == theirs


def test_what_is_decided_of_a_history_stands_when_it_goes_on():
    stop, plateau = EarlyStopping(patience=2), Plateau(patience=2)
    for curve in CURVES:
        whole = stop.stopped({"val_loss": curve})
        for epochs in range(1, 13):
            found = stop.stopped({"val_loss": curve[:epochs]})
            assert found == (whole if whole and whole <= epochs else None)
            reduced = plateau.reductions({"val_loss": curve})
            assert plateau.reductions({"val_loss": curve[:epochs]}) == [one for one in reduced if one <= epochs]


def test_without_its_monitor_a_trial_waits_for_nothing():
    assert EarlyStopping(patience=1).stopped({"train_loss": (1.0, 2.0, 3.0)}) is None
    assert Plateau(patience=1).reductions({}) == []
