"""A Keras Tuner hypermodel as a space, and back; and Keras Tuner's `HyperParameters` over an Optuna trial.

Example:
    hp = OptunaHyperParameters(study.ask())  # then hypermodel.build(hp), as under Keras Tuner
    hp = to_hyperparameters(space, params)   # the params of a trial of toprung
"""

from spaces.keras_tuner.adapter import OptunaHyperParameters
from spaces.keras_tuner.convert import to_hyperparameters, to_parameter, to_values
from spaces.keras_tuner.discovery import discover

__all__ = [
    "OptunaHyperParameters",
    "discover",
    "to_hyperparameters",
    "to_parameter",
    "to_values",
]
