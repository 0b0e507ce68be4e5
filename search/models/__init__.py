"""Families of models: params to an uncompiled Keras model. Keras is imported by the functions that need it.

Example:
    check("mlp", space.parameters)
    model = build("mlp", {"units": 64}, Purpose((8, 8), "uint8", 10, 1 / 16), Scalars.plain({"units": 64}))
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.errors import SearchError
from search.models.fitness import AUGMENTATION, check_rows
from search.models.laws import law_of
from search.models.purpose import Purpose
from spaces.errors import did_you_mean, shown, together
from spaces.parameters import Params, Scalar, extremes
from spaces.relations import base_name
from spaces.space import Space, is_custom, is_hypermodel

if TYPE_CHECKING:
    from search.scalars import Scalars

_LAYER = frozenset({"units", "activation", "dropout", "l1", "l2", "activity_l1", "activity_l2", "batch_norm", "bias"})
_EVERYWHERE = frozenset({"kernel_initializer", "kernel_stddev"})
_BLOCK = frozenset({"filters", "kernel_size", "padding", "pool"})

TRAINING = frozenset(
    {
        "batch_size",
        "class_weight",
        "jit_compile",
        "label_smoothing",
        "learning_rate",
        "loss",
        "momentum",
        "nesterov",
        "optimizer",
        "precision",
        "schedule",
        "schedule_every",
        "schedule_factor",
        "schedule_times",
        "schedule_unit",
        "weight_decay",
    }
)
"""Parameters that training reads, whatever the family."""

_WIDTH = re.compile(r"(units|filters)(_\d+)?")


@dataclass(frozen=True)
class Family:
    """What a family's space may hold.

    Attributes:
        repeated: Parameters of each layer or block: one for all (`units`) or one for each (`units_0`, ...).
        single: Parameters of the model as a whole.
    """

    repeated: frozenset[str]
    single: frozenset[str]


_MLP = Family(_LAYER, _EVERYWHERE | AUGMENTATION | {"layers"})
_CNN = Family(_LAYER | _BLOCK | {"dense_dropout"}, _EVERYWHERE | AUGMENTATION | {"blocks", "dense_layers"})
FAMILIES = {
    "mlp": _MLP,
    "cnn": _CNN,
    "named": Family(_MLP.repeated | _CNN.repeated, _MLP.single | _CNN.single | {"architecture"}),
    "transfer": Family(_LAYER, _MLP.single | {"backbone", "weights", "fine_tune"}),
}
"""What each family reads; its module says what the values mean."""


def check(name: str, parameter_names: Iterable[str]) -> None:
    """Refuse a family that there is not, and parameters that it would not read.

    Args:
        name: A family, or "package.module:function", whose parameters are its own business.
        parameter_names: Of the space, repeats by their base name ("filters") or one by one ("filters_0").
    Raises:
        SearchError: Every problem at once.
    """
    if problems := _name_problems(name, parameter_names):
        raise SearchError(together(problems))


def check_space(space: Space, where: str) -> None:
    """Refuse a space whose family of models there is not, or cannot use its parameters or one of their values.

    Args:
        space: What was read.
        where: What messages call it: its file.
    Raises:
        SearchError: Every problem at once.
    """
    if problems := [*_name_problems(space.model, space.parameters), *_value_problems(space)]:
        raise SearchError(f"{where}: {together(problems)}")


def is_width(name: str, value: Scalar) -> bool:
    """Whether a parameter of toprung's own models is the width of a layer, or of several; 0 stands for no layer."""
    return _WIDTH.fullmatch(name) is not None and value != 0


def build(name: str, params: Params, purpose: Purpose, scalars: Scalars, *, seed: int | None = 0) -> Any:
    """An uncompiled functional model with initial weights.

    It gives one probability a class, or with the loss binary_crossentropy that of the second of two classes.

    Args:
        name: A family, or "package.module:function" with `function(params, input_shape, classes)`.
        params: Values drawn from the space; what a family does not find it takes a default for.
        purpose: What it takes and tells apart.
        scalars: Numbers written into the model, or variables of it.
        seed: Of the initial weights; None leaves them to `search.models.weights.initialise`.
    Raises:
        SearchError: A value that the family cannot use, rows that it cannot take, or a function that cannot be
            imported or gives no model.
    """
    check(name, ())
    check_rows(name, {key: (value,) for key, value in params.items()}, purpose.input_shape, purpose.classes)
    purpose = replace(purpose, sigmoid=params.get("loss") == "binary_crossentropy")
    if is_hypermodel(name):
        from search.models.hypermodel import build_hypermodel

        return build_hypermodel(name, params, purpose).model
    if is_custom(name):
        from search.models.custom import build_custom

        return build_custom(name, params, purpose)
    model = _built(name, params, purpose, scalars)
    if seed is not None:
        from search.models.weights import initialise

        initialise(model, seed)
    return model


def export(name: str, params: Params, purpose: Purpose, trained: Any) -> Any:
    """A trained model in ordinary layers without augmentation, which a Keras without toprung can load.

    Args:
        name: See `build`.
        params: With the values it was trained with.
        purpose: See `build`.
        trained: The model whose weights and precision are taken over.
    """
    from search.models.weights import copy_weights, precision_of
    from search.scalars import Scalars

    with precision_of(trained):
        model = build(name, params, replace(purpose, augments=False), Scalars.plain(params))
    copy_weights(trained, model)
    return model


def weights_by_layer(model: Any) -> list[tuple[str, Any]]:
    """A model's weights with the names of their layers, those of models within it too."""
    from search.scalars import is_scalar

    named: dict[int, tuple[str, Any]] = {}
    for layer in model._flatten_layers(include_self=False):  # the innermost last, whose name they get
        named |= {id(weight): (layer.name, weight) for weight in layer.weights}
    drawn = "seed_generator_state"
    return [(name, one) for name, one in named.values() if not is_scalar(one) and not one.name.endswith(drawn)]


def keras_file(model: Any) -> bytes:
    """A model as a `.keras` file.

    Raises:
        SearchError: There is no room for temporary files (exit code 3).
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            model.save(path)
            return path.read_bytes()
    except OSError as error:
        law = "set TMPDIR to a folder that can"
        raise SearchError(f"temporary files cannot be written ({error.strerror or error}); {law}", 3) from error


def _built(name: str, params: Params, purpose: Purpose, scalars: Scalars) -> Any:
    match name:
        case "mlp":
            from search.models.mlp import build_mlp as build_family
        case "cnn":
            from search.models.cnn import build_cnn as build_family
        case "named":
            from search.models.named import build_named as build_family
        case _:
            from search.models.transfer import build_transfer as build_family
    return build_family(params, purpose, scalars)


def _name_problems(name: str, parameter_names: Iterable[str]) -> list[str]:
    if is_custom(name):
        return []
    if name not in FAMILIES:
        own = 'or "package.module:function" for a model of your own'
        return [f"model: unknown family {shown(name)}{did_you_mean(name, FAMILIES)} ({own})"]
    family = FAMILIES[name]
    known = sorted(family.repeated | family.single | TRAINING)
    unknown = [parameter for parameter in parameter_names if not _knows(family, parameter)]
    law = f"the family {name} has none of that name"
    return [f"parameters.{parameter}: {law}{did_you_mean(parameter, known)}" for parameter in unknown]


def _value_problems(space: Space) -> Iterator[str]:
    """The values that no model of the family could be built with; those of training are judged with the study."""
    if space.is_custom:
        return
    for name, parameter in space.parameters.items():
        if law := law_of(space.model, base_name(name)):
            problems = [problem for value in extremes(parameter) if (problem := law.problem(value))]
            yield from (f"parameters.{name}: {problem}" for problem in dict.fromkeys(problems))


def _knows(family: Family, parameter: str) -> bool:
    return parameter in family.repeated | family.single | TRAINING or base_name(parameter) in family.repeated
