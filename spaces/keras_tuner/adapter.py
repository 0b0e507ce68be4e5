"""Keras Tuner's `HyperParameters` whose values an Optuna trial draws."""

from functools import cached_property
from typing import Any

import optuna
from keras_tuner import HyperParameters
from keras_tuner.engine import hyperparameters as kt
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from spaces import grids
from spaces.keras_tuner.convert import qualified
from spaces.parameters import Scalar

_SHARE = "#prob"  # of a reversed logarithmic range: what is drawn in its place, from 0 to 1


class OptunaHyperParameters(HyperParameters):  # type: ignore[misc]
    """Behaves as `keras_tuner.HyperParameters`; a parameter that becomes active is drawn from the trial.

    A value that is in `values` already is kept, as under Keras Tuner: that replays a configuration. A finished
    trial (`study.best_trial`) gives the values that it had.

    Optuna knows parameters by the names they have here, name scopes included, and draws them from the same values.
    A parameter whose name stands for something else under other conditions is told apart by its own:
    "units[model=cnn]". A reversed logarithmic range is drawn as its share "#prob" from 0 to 1, and its value is a
    user attribute, as fixed values are.

    Args:
        trial: An `optuna.Trial`, or a frozen or fixed one; without one every value is its default.
    """

    def __init__(self, trial: Any = None) -> None:
        super().__init__()
        self._trial = trial
        self._drawn: dict[str, str] = {}  # distribution by name in Optuna, as JSON text

    def ensure_active_values(self) -> None:
        """Take away the values of inactive parameters, and draw those that are missing.

        Keras Tuner would take away the value of an active parameter that shares its name with an inactive one.
        """
        for hp in self.space:
            if not self.is_active(hp.name):
                self.values.pop(hp.name, None)
            elif self.is_active(hp) and hp.name not in self.values:
                self.values[hp.name] = hp.random_sample() if self._trial is None else self._suggest(hp)

    def _retrieve(self, hp: Any) -> Any:
        """Also draws a parameter that was registered while it was inactive, and is active now."""
        known = self._exists(hp.name, hp.conditions)
        if known and self._trial is not None and hp.name not in self.values and self.is_active(hp):
            self.values[hp.name] = self._suggest(hp)
        return super()._retrieve(hp)

    def _register(self, hyperparameter: Any, overwrite: bool = False) -> Any:
        if self._trial is None:
            return super()._register(hyperparameter, overwrite)
        self._validate_name(hyperparameter.name)
        wanted = overwrite or hyperparameter.name not in self.values
        if wanted and self.is_active(hyperparameter):
            self.values[hyperparameter.name] = self._suggest(hyperparameter)
        return super()._register(hyperparameter)

    def _suggest(self, hp: Any) -> Scalar:
        if isinstance(hp, kt.Fixed):
            self._trial.set_user_attr(hp.name, hp.value)
            return hp.value  # type: ignore[no-any-return]
        distribution = _distribution(hp)
        name = self._name(hp, distribution)
        drawn = self._draw(name, distribution)
        if not name.endswith(_SHARE):
            return _settled(hp, drawn)
        value: Scalar = hp.prob_to_value(drawn)
        self._trial.set_user_attr(name.removesuffix(_SHARE), value)
        return value

    def _draw(self, name: str, distribution: BaseDistribution) -> Any:
        match distribution:
            case IntDistribution(low=low, high=high, step=step, log=log):
                return self._trial.suggest_int(name, low, high, step=step, log=log)
            case FloatDistribution(low=low, high=high, step=step, log=log):
                return self._trial.suggest_float(name, low, high, step=step, log=log)
            case CategoricalDistribution(choices=choices):
                return self._trial.suggest_categorical(name, choices)
        raise TypeError(f"no distribution of Keras Tuner's: {distribution}")

    def _name(self, hp: Any, distribution: BaseDistribution) -> str:
        """The parameter's name, or one that says its conditions where the name stands for something else."""
        text, end = distribution_to_json(distribution), _SHARE if _is_reversed(hp) else ""
        plain, longer = hp.name + end, qualified(hp.name, ((one.name, one.values) for one in hp.conditions)) + end
        known = self._drawn.get(plain) or self._known.get(plain)
        replayed = isinstance(self._trial, optuna.trial.FrozenTrial) and longer in self._trial.params
        name = longer if hp.conditions and (replayed or known not in (None, text)) else plain
        self._drawn[name] = text
        return name

    @cached_property
    def _known(self) -> dict[str, str]:
        """What each name stands for in the trials of the study so far, the first that had it deciding."""
        if isinstance(self._trial, optuna.Trial):
            trials = self._trial.study.get_trials(deepcopy=False)
        else:
            trials = [self._trial] if isinstance(self._trial, optuna.trial.FrozenTrial) else []
        known: dict[str, str] = {}
        for trial in trials:
            for name, distribution in trial.distributions.items():
                if name not in known:
                    known[name] = distribution_to_json(distribution)
        return known


def _is_reversed(hp: Any) -> bool:
    return getattr(hp, "sampling", None) == "reverse_log" and hp.step is None


def _distribution(hp: Any) -> BaseDistribution:
    """What Optuna draws from for one of Keras Tuner's hyperparameters."""
    if isinstance(hp, kt.Boolean):
        return CategoricalDistribution((True, False))
    if isinstance(hp, kt.Choice):
        return CategoricalDistribution(tuple(dict.fromkeys(hp.values)))
    if _is_reversed(hp):
        return FloatDistribution(0.0, 1.0)
    if hp.sampling != "linear" and hp.step is not None:
        return CategoricalDistribution(_grid(hp))
    log, low = hp.sampling == "log", hp.min_value
    if isinstance(hp, kt.Int):
        return IntDistribution(low, _last(hp), log=log, step=hp.step or 1)
    return FloatDistribution(low, _last(hp), log=log, step=hp.step)


def _last(hp: Any) -> Any:
    """The largest value that the steps lead to."""
    return hp.max_value if hp.step is None else grids.ends(hp.min_value, hp.max_value, hp.step, False)[0]


def _grid(hp: Any) -> tuple[Scalar, ...]:
    """The values of a geometric grid, rising."""
    if hp.sampling == "log":
        last = grids.ends(hp.min_value, hp.max_value, hp.step, True)[0]
        return grids.grid(hp.min_value, last, hp.step, True)
    kind = int if isinstance(hp, kt.Int) else float
    return tuple(sorted(kind(value) for value in hp.values))


def _settled(hp: Any, drawn: Any) -> Scalar:
    """The drawn value, on its grid of decimals exactly."""
    if isinstance(hp, kt.Float) and hp.sampling == "linear" and hp.step is not None:
        values = grids.grid(hp.min_value, _last(hp), hp.step, False)
        return min(values, key=lambda value: abs(value - drawn))
    return drawn  # type: ignore[no-any-return]
