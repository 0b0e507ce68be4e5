"""Transfer: a network that was trained on ImageNet, frozen, and dense layers on what it sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from search.errors import SearchError, Unusable
from search.models.drawing import zeros
from search.models.parts import (
    NORM_MOMENTUM,
    Reader,
    applied,
    augmented,
    begin,
    dense_stack,
    finish,
    with_channels,
)
from search.models.pretrained import BACKBONES, SMALLEST, locate
from search.models.purpose import Purpose
from search.models.weights import keep
from search.scalars import Scalars
from spaces.parameters import Params


def build_transfer(params: Params, purpose: Purpose, scalars: Scalars) -> Any:
    """The backbone without its top, the average over all places, batch normalisation, dense layers with dropout.

    Reads `backbone` (MobileNetV2), `weights` (imagenet; random; or a file of them), `fine_tune` (0: how many of the
    backbone's last layers are trained, but for its batch normalisation), and of each dense layer or of all `units`
    (512) and what an mlp's layers have; augmentation comes first. Images smaller than 32 x 32 get a black frame,
    grey ones three equal channels.
    """
    reader = Reader("transfer", params)
    name = reader.word("backbone", "MobileNetV2")
    _refuse_other_images(name, purpose)
    path = locate(name, str(params.get("weights", "imagenet")), purpose.folder)
    inputs, x = begin(purpose)
    x = _as_trained(name, with_channels(purpose, augmented(purpose, x, reader, scalars)))
    backbone = _backbone(name, x.shape[1:])
    if path is not None:
        _load(backbone, name, path)
    _thaw(backbone, name, reader.integer("fine_tune", 0))
    x = keras.layers.GlobalAveragePooling2D(name="average")(backbone(x))
    x = applied(keras.layers.BatchNormalization(momentum=NORM_MOMENTUM, name="norm"), x)
    return finish(purpose, inputs, dense_stack(x, reader, scalars, 512), scalars)


def _refuse_other_images(name: str, purpose: Purpose) -> None:
    if len(purpose.input_shape) == 3 and purpose.input_shape[-1] not in (1, 3):
        raise SearchError(f"model: {name} takes grey or colour images ({purpose.input_shape[-1]} channels came)")
    if purpose.offset != 0 or not isinstance(purpose.scale, int | float):
        raise SearchError("data.normalise: a pretrained backbone has its own; leave data.normalise and data.mean out")


def _as_trained(name: str, x: Any) -> Any:
    """Pixels from 0 to 1 as the backbone got them when it was trained."""
    frame = [(missing // 2, missing - missing // 2) for missing in (max(SMALLEST - size, 0) for size in x.shape[1:3])]
    if any(map(any, frame)):
        x = keras.layers.ZeroPadding2D(frame, name="frame")(x)
    if x.shape[-1] == 1:
        x = keras.layers.Concatenate(name="colour")([x, x, x])
    known = BACKBONES[name]
    return keras.layers.Rescaling(known.scale, known.offset, name="preprocessing")(x)


def _backbone(name: str, input_shape: tuple[int, ...]) -> Any:
    """The network with all weights 0 or 1, which are drawn or loaded later."""
    with keras.utils.CustomObjectScope({"glorot_uniform": _LaterGlorot}):
        backbone = getattr(keras.applications, name)(input_shape=input_shape, include_top=False, weights=None)
    for layer in backbone.layers:
        for attribute in ("kernel_initializer", "depthwise_initializer"):
            if isinstance(getattr(layer, attribute, None), _LaterGlorot):
                setattr(layer, attribute, keras.initializers.GlorotUniform())
    return backbone


class _LaterGlorot(keras.initializers.GlorotUniform):  # type: ignore[misc]
    """Stands in for what these networks draw kernels with: JAX takes half a minute to draw them all."""

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return zeros(shape, dtype)


def _thaw(backbone: Any, name: str, number: int) -> None:
    """Freeze all but the last layers; batch normalisation stays frozen, which makes it work as at inference."""
    if number > len(backbone.layers):
        law = f"must be at most the {len(backbone.layers)} layers of {name}"
        raise SearchError(f"params.fine_tune: {law} (came {number})")
    first = len(backbone.layers) - number
    for index, layer in enumerate(backbone.layers):
        layer.trainable = index >= first and not isinstance(layer, keras.layers.BatchNormalization)


def _load(backbone: Any, name: str, path: Path) -> None:
    try:
        backbone.load_weights(path)
    except Exception as problem:  # HDF5 and Keras raise all sorts
        reason = " ".join(str(problem).split())[:200]
        law = f"must hold the weights of {name} without its top, as Keras saves them"
        raise Unusable(f'params.weights: "{path}" {law} ({reason})') from None
    keep(backbone)
