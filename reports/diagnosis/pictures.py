"""Pictures of a diagnosis: samples with what was predicted of them, and what the first layer looks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reports.canvas import Chart, picture_frame, short_labels
from reports.diagnosis.tables import class_name
from reports.diagnosis.values import Diagnosis, FirstWeights, Samples
from reports.words import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 6
WEIGHT_COLUMNS = 8
TILE = 0.9
MOST_PIXELS = 96
MOST_MAPS = 32
LONGEST_NAME = 13


def right_samples(diagnosis: Diagnosis) -> Chart | None:
    """Right predictions from the surest to the least sure; None where there are none, or inputs are no images."""
    return _samples(diagnosis, diagnosis.right, "Right, from the surest to the least sure")


def wrong_samples(diagnosis: Diagnosis) -> Chart | None:
    """The surest of the wrong predictions; None where there are none, or inputs are no images."""
    return _samples(diagnosis, diagnosis.wrong, "Wrong, the surest first: predicted class, confidence, true class")


def class_examples(diagnosis: Diagnosis) -> Chart | None:
    """A test image of each class; None of many classes, or where inputs are no images."""
    if diagnosis.examples is None:
        return None
    names = [_short_name(diagnosis, diagnosis.labels[row]) for row in diagnosis.examples.rows.tolist()]
    return _samples(diagnosis, diagnosis.examples, "An example of each class", names)


def first_weights(diagnosis: Diagnosis) -> Chart | None:
    """Kernels of the layer that sees the images; None where they are no images themselves.

    Weights for grey images are brown below 0 and violet above; those for colour show what each channel adds to or
    takes off a middle grey. All of them share one scale.
    """
    first = diagnosis.first_weights
    if first is None:
        return None
    width = 5.0 if first.images.ndim == 3 else 5.8  # a scale of colours stands beside grey ones
    figure, axes = _tiled(first.images, width)
    if first.images.ndim == 3:
        figure.colorbar(axes.images[0], ax=axes, shrink=0.6, label="weight")
    return Chart("Weights of the first layer", figure, _weight_words(first), detailed=True)


def feature_maps(diagnosis: Diagnosis) -> Chart | None:
    """What the kernels of a first convolution make of the surest test image; None where there is no such thing.

    Each map is the sum over every window of the image as the layer is given it, without padding, before bias and
    activation: brown below 0, violet above.
    """
    first, right = diagnosis.first_weights, diagnosis.right.inputs
    if first is None or right is None or not is_image(right) or right.shape[1:3] == first.images.shape[1:3]:
        return None
    kernels = first.images[:MOST_MAPS]
    seen = _reduced(right[0] * np.asarray(diagnosis.scale) + np.asarray(diagnosis.offset))
    # A model may have made colour of grey before; kernels may be larger than the image where it is padded.
    if seen.shape[2:] != kernels.shape[3:] or min(np.subtract(seen.shape[:2], kernels.shape[1:3])) < 0:
        return None
    maps = convolved(seen, kernels)
    figure, _ = _tiled(maps, width=5.8)
    row = int(diagnosis.right.rows[0])
    form = " x ".join(map(str, maps.shape[1:]))
    text = f"Test example {row}, {_words(diagnosis, row)}, by {len(maps)} kernels of {printable(first.layer)}"
    return Chart("Feature maps of the first layer", figure, f"{text}: maps of {form}.", detailed=True)


def convolved(image: NDArray[Any], kernels: NDArray[Any]) -> NDArray[np.float64]:
    """The sum of every window of an image, weighed by each kernel: stride 1, no padding.

    Args:
        image: Shape (height, width) or (height, width, channels).
        kernels: Shape (k, rows, columns), or with channels at the end as the image has.
    Returns:
        Shape (k, height - rows + 1, width - columns + 1).
    """
    windows = np.lib.stride_tricks.sliding_window_view(image, kernels.shape[1:3], axis=(0, 1))
    channels = "c" if image.ndim == 3 else ""
    found: NDArray[np.float64] = np.einsum(f"yx{channels}ij,kij{channels}->kyx", windows, kernels.astype(np.float64))
    return found


def is_image(inputs: NDArray[Any] | None) -> bool:
    """Whether samples can be shown as pictures: shape (k, height, width) or (k, height, width, 1, 3 or 4)."""
    if inputs is None or 0 in inputs.shape:
        return False
    return inputs.ndim == 3 or (inputs.ndim == 4 and inputs.shape[-1] in (1, 3, 4))


def _samples(diagnosis: Diagnosis, samples: Samples, title: str, captions: Sequence[str] | None = None) -> Chart | None:
    """Pictures with what was predicted of them, or with captions of their own."""
    if samples.inputs is None or not is_image(samples.inputs):
        return None
    lines = math.ceil(len(samples.rows) / COLUMNS)
    pitch = 1.5  # leaves room for three lines
    figure, axes = picture_frame(height=0.1 + lines * pitch)
    low, high = _range(diagnosis)
    for place, image in enumerate(samples.inputs):
        extent = _extent(place, COLUMNS, image, pitch)
        axes.imshow(_pixels(image, low, high), cmap="gray", vmin=0, vmax=1, interpolation="none", extent=extent)
        centre, top = place % COLUMNS + 0.5, -(place // COLUMNS) * pitch + 0.05
        caption = captions[place] if captions else _caption(diagnosis, int(samples.rows[place]))
        axes.text(centre, top, caption, ha="center", va="bottom", fontsize=8)
    _frame(axes, COLUMNS, lines, pitch)
    told = "; ".join(_words(diagnosis, row) for row in samples.rows.tolist())
    return Chart(title, figure, f"{len(samples.rows)} test examples: {told}.", detailed=True)


def _tiled(images: NDArray[Any], width: float) -> tuple[Figure, Axes]:
    """Pictures of numbers about 0 side by side on one scale, which has 0 in its middle.

    Args:
        images: Shape (k, height, width), or with 3 channels at the end.
        width: Of all of them, in inches.
    """
    columns = min(WEIGHT_COLUMNS, len(images))
    lines = math.ceil(len(images) / columns)
    figure, axes = picture_frame(height=0.2 + width / columns * lines)
    limit = float(np.abs(images).max()) or 1.0
    for place, image in enumerate(images):
        drawn = 0.5 + image / (2 * limit) if image.ndim == 3 else image
        extent = _extent(place, columns, image)
        axes.imshow(drawn, cmap="PuOr", vmin=-limit, vmax=limit, interpolation="none", extent=extent)
    _frame(axes, columns, lines, pitch=1.0)
    return figure, axes


def _weight_words(first: FirstWeights) -> str:
    images = first.images
    which = f"all {first.units}" if len(images) == first.units else f"the {len(images)} largest of {first.units}"
    form = " x ".join(map(str, images.shape[1:3]))
    return (
        f"Weights of {printable(first.layer)}, {which} kernels, as images of {form}: from {images.min():+.3f} to "
        f"{images.max():+.3f}, mean {images.mean():+.4f}, standard deviation {images.std():.4f}."
    )


def _caption(diagnosis: Diagnosis, row: int) -> str:
    true, predicted = (_short_name(diagnosis, labels[row]) for labels in (diagnosis.labels, diagnosis.predicted))
    sure = f"{diagnosis.confidence[row]:.1%}"
    return f"{true}\n{sure}" if diagnosis.hits[row] else f"{predicted}\n{sure}\nis {true}"


def _short_name(diagnosis: Diagnosis, label: int) -> str:
    return short_labels(diagnosis.class_names, LONGEST_NAME)[label]


def _words(diagnosis: Diagnosis, row: int) -> str:
    true, predicted = (class_name(diagnosis, labels[row]) for labels in (diagnosis.labels, diagnosis.predicted))
    sure = f"({diagnosis.confidence[row]:.1%})"
    return f"{true} {sure}" if diagnosis.hits[row] else f"{true} taken for {predicted} {sure}"


def _range(diagnosis: Diagnosis) -> tuple[float, float]:
    """The lowest and the highest pixel of all samples: black and white."""
    given = [one for one in (diagnosis.right, diagnosis.wrong, diagnosis.examples) if one is not None]
    kept = [one.inputs for one in given if one.inputs is not None and one.inputs.size]
    return min(float(inputs.min()) for inputs in kept), max(float(inputs.max()) for inputs in kept)


def _pixels(image: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    """From 0 to 1, grey or RGB, no larger than is seen."""
    return (_reduced(image).astype(np.float64) - low) / ((high - low) or 1.0)


def _reduced(image: NDArray[Any]) -> NDArray[Any]:
    """Grey (height, width) or RGB (height, width, 3), no larger than is seen."""
    step = math.ceil(max(image.shape[:2]) / MOST_PIXELS)
    image = image[::step, ::step]
    return image[..., 0] if image.shape[2:] == (1,) else image[..., :3] if image.ndim == 3 else image


def _extent(place: int, columns: int, image: NDArray[Any], pitch: float = 1.0) -> tuple[float, float, float, float]:
    """Where the tile of a picture lies: columns go right, rows go down by `pitch`."""
    height, width = (TILE * side / max(image.shape[:2]) for side in image.shape[:2])
    centre, middle = place % columns + 0.5, -(place // columns) * pitch - 0.5
    return centre - width / 2, centre + width / 2, middle - height / 2, middle + height / 2


def _frame(axes: Axes, columns: int, lines: int, pitch: float) -> None:
    axes.set_xlim(0, columns)
    axes.set_ylim(-(lines - 1) * pitch - 1, pitch - 1)
    axes.set_aspect("equal")
