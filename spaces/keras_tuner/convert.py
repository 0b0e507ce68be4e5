"""Keras Tuner's hyperparameters as parameters of a space, and back."""

import re
from collections.abc import Iterable
from typing import Any

from keras_tuner import HyperParameters
from keras_tuner.engine import hyperparameters as kt

from spaces import grids
from spaces.parameters import Categorical, Fixed, Float, Int, Ordinal, Parameter, Params, Scalar
from spaces.relations import repeats
from spaces.space import Space
from spaces.validation import validate

_QUALIFIED = re.compile(r"(.+)\[[^\[\]]+=[^\[\]]*\]")


def to_parameter(hp: Any) -> Parameter:
    """One of Keras Tuner's hyperparameters, with the values that it has there.

    What Keras Tuner's steps don't reach is no value: 6, 9, 12 of `Int(6, 13, step=3)`. A grid of decimals has its
    maximum, which Keras Tuner loses to rounding.

    Raises:
        InputError: Its range is none of a space's: too many steps, or too large whole numbers.
    """
    match hp:
        case kt.Fixed():
            return Fixed(value=hp.value)
        case kt.Boolean():
            return Categorical(choices=(hp.default, not hp.default))
        case kt.Choice():
            choices = tuple(dict.fromkeys(hp.values))
            return Ordinal(choices=choices) if hp.ordered else Categorical(choices=choices)
        case _ if hp.sampling == "reverse_log" and hp.step is not None:
            number = int if isinstance(hp, kt.Int) else float
            return Ordinal(choices=tuple(sorted(map(number, hp.values))))
    return _range(hp)


def to_hyperparameters(space: Space, params: Params) -> HyperParameters:
    """Keras Tuner's form of a space and the params of a trial: `hypermodel.build` makes the trial's model of it."""
    names = [(name, full) for name in space.parameters for full in repeats(name, space.parameters)]
    tables = [_hyperparameter(own_name(full), space.parameters[name]) for name, full in names]
    return HyperParameters.from_config({"space": tables, "values": to_values(space.active(params))})


def to_values(params: Params) -> dict[str, Scalar]:
    """Params by the names that the hypermodel itself gives them; of two for one name the first counts."""
    values: dict[str, Scalar] = {}
    for full, value in params.items():
        values.setdefault(own_name(full), value)
    return values


def qualified(name: str, conditions: Iterable[tuple[str, Iterable[Scalar]]]) -> str:
    """A name that says under which values of which parents it stands for what it does: "units[model=cnn]"."""
    told = ",".join(f"{parent}={'|'.join(map(str, values))}" for parent, values in conditions)
    return f"{name}[{told}]" if told else name


def own_name(full: str) -> str:
    """The hypermodel's name of a parameter, which `qualified` may have added to: "units" of "units[model=cnn]"."""
    found = _QUALIFIED.fullmatch(full)
    return found[1] if found else full


def _range(hp: Any) -> Parameter:
    kind: type[Int] | type[Float] = Int if isinstance(hp, kt.Int) else Float
    log = hp.sampling != "linear"
    low, high, step = hp.min_value, hp.max_value, hp.step
    if step is not None:
        high = grids.ends(low, high, step, log)[0]
    if low == high or (kind is Int and step == 1):
        step = None
    table = {"low": low, "high": high, "step": step, "log": log, "reverse": hp.sampling == "reverse_log"}
    return validate(kind, table, hp.name)


def _hyperparameter(name: str, parameter: Parameter) -> dict[str, Any]:
    """What Keras Tuner's `from_config` reads."""
    conditions = [
        {"class_name": "Parent", "config": {"name": own_name(parent), "values": list(values)}}
        for parent, values in parameter.when.items()
    ]
    kind, config = _kind(parameter)
    return {"class_name": kind, "config": {"name": name, "conditions": conditions, **config}}


def _kind(parameter: Parameter) -> tuple[str, dict[str, Any]]:
    match parameter:
        case Fixed(value=value):
            return "Fixed", {"value": value}
        case Int() | Float():
            sampling = "reverse_log" if parameter.reverse else "log" if parameter.log else "linear"
            ends = {"min_value": parameter.low, "max_value": parameter.high, "step": parameter.step}
            return type(parameter).__name__, {**ends, "sampling": sampling}
    choices = list(parameter.choices)
    if isinstance(choices[0], bool):
        return "Boolean", {"default": choices[0]}
    if len({type(choice) for choice in choices}) > 1:
        choices = [float(choice) for choice in choices]
    is_ordered = isinstance(parameter, Ordinal) and not isinstance(choices[0], str)
    return "Choice", {"values": choices, "ordered": is_ordered}
