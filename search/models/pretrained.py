"""Networks that were trained on ImageNet: what they take and where their weights lie. No Keras in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search.errors import SearchError
from search.keras_cache import cache, fetch
from spaces.errors import did_you_mean, shown

_ADDRESS = "https://storage.googleapis.com/tensorflow/keras-applications"
SMALLEST = 32
"""Height and width below which these networks have no pixel left at their end."""


@dataclass(frozen=True)
class Backbone:
    """One of keras.applications.

    Attributes:
        file: Its weights without the top, in Keras's cache.
        folder: Where they can be had, below Google's address of them.
        scale: With `offset`: what it was trained on is x * scale + offset, for x from 0 to 1; a number or one a
            channel.
        offset: See `scale`.
    """

    file: str
    folder: str
    scale: float | Sequence[float] = 2.0
    offset: float | Sequence[float] = -1.0


_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels
_STANDARDISED = (
    [1 / deviation for deviation in _DEVIATION],
    [-mean / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)],
)

BACKBONES = {
    "MobileNetV2": Backbone("mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5", "mobilenet_v2"),
    "MobileNet": Backbone("mobilenet_1_0_224_tf_no_top.h5", "mobilenet"),
    "ResNet50V2": Backbone("resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5", "resnet"),
    "DenseNet121": Backbone("densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5", "densenet", *_STANDARDISED),
}
"""By their names in keras.applications."""


def locate(backbone: str, weights: str, folder: Path) -> Path | None:
    """The file with a backbone's weights; None for random ones.

    Args:
        backbone: One of `BACKBONES`.
        weights: "imagenet": in Keras's cache, fetched into it where need be; "random"; or a file.
        folder: What a relative path starts from.
    Raises:
        SearchError: No such backbone or file, or the weights cannot be fetched.
    """
    if backbone not in BACKBONES:
        raise SearchError(f"params.backbone: unknown {shown(backbone)}{did_you_mean(backbone, BACKBONES)}")
    if weights == "random":
        return None
    if weights == "imagenet":
        return _in_cache(backbone)
    path = folder / Path(weights).expanduser()
    if not path.is_file():
        own = 'a file, "imagenet" or "random"'
        raise SearchError(f"params.weights: must be {own} (came {shown(weights)}; {path} is not there)")
    return path


def _in_cache(backbone: str) -> Path:
    known = BACKBONES[backbone]
    path = cache("models") / known.file
    if path.is_file():
        return path
    problem = fetch(f"keras.applications.{backbone}(include_top=False, input_shape=(224, 224, 3))")
    if path.is_file():
        return path
    raise SearchError(
        f"params.weights: {backbone}'s are not in Keras's cache and cannot be downloaded ({problem}); fetch "
        f'{_ADDRESS}/{known.folder}/{known.file} and put it into {path.parent}, or name your copy: weights = "FILE.h5"'
    )
