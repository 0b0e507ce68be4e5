"""What the families share: how params are read, how a model begins and ends, layers with all their options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from search.errors import SearchError
from search.models.augmentation import Augmentation
from search.models.drawing import zeros
from search.models.laws import LIMITS, law_of
from search.models.purpose import Purpose
from search.scalars import Scalars
from spaces.parameters import Params, Scalar

_WITH_STDDEV = {
    "random_normal": keras.initializers.RandomNormal,
    "truncated_normal": keras.initializers.TruncatedNormal,
}


NORM_MOMENTUM = 0.9
"""Of batch normalisation's moving statistics.

With Keras's 0.99 they are right only after some five hundred steps: a network is then worth chance on the validation
split at its first rungs, and trials are compared by nothing.
"""


@dataclass(frozen=True)
class Reader:
    """Values by name, of one layer (`units_0`) or of all (`units`), where they keep the laws of their family."""

    family: str
    params: Params

    def name(self, base: str, index: int | None = None) -> str | None:
        """The parameter that holds for a layer; None if there is none."""
        names = [base] if index is None else [f"{base}_{index}", base]
        return next((name for name in names if name in self.params), None)

    def repeats(self, base: str) -> int:
        """How many layers have a parameter of their own: units_0, units_1, ..."""
        count = 0
        while f"{base}_{count}" in self.params:
            count += 1
        return count

    def integer(self, base: str, default: int, index: int | None = None) -> int:
        """A whole number."""
        return int(self._lawful(base, default, index))

    def flag(self, base: str, default: bool, index: int | None = None) -> bool:
        """True or false."""
        return bool(self._lawful(base, default, index))

    def word(self, base: str, default: str, index: int | None = None) -> str:
        """One of the words that its law lists."""
        return str(self._lawful(base, default, index))

    def initializer(self) -> Any:
        """The kernels' initializer, by Keras's name or, where it has a `kernel_stddev`, as Keras's object."""
        name = self.word("kernel_initializer", "glorot_uniform")
        if name not in _WITH_STDDEV or "kernel_stddev" not in self.params:
            return name
        return _WITH_STDDEV[name](stddev=float(self._lawful("kernel_stddev", 0.0)))

    def _lawful(self, base: str, default: Scalar, index: int | None = None) -> Scalar:
        name = self.name(base, index)
        value = default if name is None else self.params[name]
        law = law_of(self.family, base)
        if law and (problem := law.problem(value)):
            raise SearchError(f"params.{name}: {problem}")
        return value


def begin(purpose: Purpose) -> tuple[Any, Any]:
    """The input as the arrays have it, and the tensor that the first layer takes."""
    inputs = keras.Input(purpose.input_shape, dtype=purpose.input_dtype, name="inputs")
    if not purpose.rescales:
        return inputs, inputs
    pair = purpose.scale, purpose.offset
    scale, offset = (value if isinstance(value, int | float) else list(value) for value in pair)
    # in float32: the few digits of a half may all go into the mean that is taken off
    return inputs, keras.layers.Rescaling(scale, offset, dtype="float32", name="rescaling")(inputs)


def augmented(purpose: Purpose, x: Any, reader: Reader, scalars: Scalars) -> Any:
    """The images as training sees them; `x` itself where no augmentation is asked for.

    Reads `rotation` (degrees), `shift`, `shear`, `zoom` (parts) and `flip` (none); see `Augmentation`.
    """
    flip = reader.word("flip", "none")
    names = [name for name in LIMITS if name in scalars]
    if not purpose.augments or (flip == "none" and not names):
        return x
    limits = {name: scalars.number(name, LIMITS[name]) for name in names}
    return Augmentation(limits, flip, name="augmentation")(x)


def finish(purpose: Purpose, inputs: Any, x: Any, scalars: Scalars) -> Any:
    """The model: one probability a class, or that of class 1, in float32 whatever the precision of the layers."""
    activation = "sigmoid" if purpose.outputs == 1 else "softmax"
    layer = keras.layers.Dense(purpose.outputs, activation=activation, dtype="float32", name="probabilities")
    if "label_smoothing" in scalars:
        layer.label_smoothing = scalars.number("label_smoothing", "share")  # tracked here, read by the loss
    return keras.Model(inputs, applied(layer, x))


def applied(layer: Any, x: Any) -> Any:
    """A layer's output; its weights are 0 until `initialise` draws them from the initializers it declares."""
    declared = {name: value for name, value in vars(layer).items() if name.endswith("_initializer")}
    for name in declared:
        setattr(layer, name, zeros)
    outputs = layer(x)
    for name, initializer in declared.items():
        setattr(layer, name, initializer)
    return outputs


def penalised(layer: Any, reader: Reader, scalars: Scalars, index: int | None) -> Any:
    """The layer with the penalties on its kernel that its index has."""
    scalars.penalise(layer, l1=reader.name("l1", index), l2=reader.name("l2", index))
    return layer


def activated(x: Any, reader: Reader, scalars: Scalars, index: int | None, label: str) -> Any:
    """Batch normalisation if asked for, then the activation with its penalty."""
    if reader.flag("batch_norm", False, index):
        x = applied(keras.layers.BatchNormalization(momentum=NORM_MOMENTUM, name=f"norm_{label}"), x)
    x = keras.layers.Activation(reader.word("activation", "relu", index), name=f"activation_{label}")(x)
    l1, l2 = reader.name("activity_l1", index), reader.name("activity_l2", index)
    return scalars.activity_penalty(l1=l1, l2=l2, layer_name=f"penalty_{label}")(x) if l1 or l2 else x


def dropped(x: Any, reader: Reader, scalars: Scalars, name: str | None, label: str) -> Any:
    """Dropout at the rate of that name; none without a name."""
    if name is None:
        return x
    numbers = scalars if name in scalars else Scalars.plain(reader.params)  # a constant of a named architecture
    return numbers.dropout(name, layer_name=f"dropout_{label}")(x)


def dense(x: Any, units: int, reader: Reader, scalars: Scalars, index: int | None, label: str) -> Any:
    """A dense layer, its normalisation and its activation; no dropout."""
    layer = keras.layers.Dense(
        units,
        use_bias=reader.flag("bias", True, index),
        kernel_initializer=reader.initializer(),
        name=f"dense_{label}",
    )
    return activated(applied(penalised(layer, reader, scalars, index), x), reader, scalars, index, label)


def dense_stack(x: Any, reader: Reader, scalars: Scalars, units: int) -> Any:
    """`layers` dense layers (as many as there are units_0, units_1, ..., else 1), each followed by its dropout."""
    for index in range(reader.integer("layers", reader.repeats("units") or 1)):
        x = dense(x, reader.integer("units", units, index), reader, scalars, index, str(index))
        x = dropped(x, reader, scalars, reader.name("dropout", index), str(index))
    return x


def with_channels(purpose: Purpose, x: Any) -> Any:
    """Images of shape (height, width, channels); grey ones may come without channels."""
    if len(purpose.input_shape) == 3:
        return x
    return keras.layers.Reshape((*purpose.input_shape, 1), name="channels")(x)
