"""Images in one folder a class: class/image, or train/class/image and test/class/image."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.datasets.arrays import BYTES_LIMIT, Arrays, Source, checked, in_short
from search.datasets.trees import Tree
from search.errors import SearchError

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "WEBP", "TIFF")
_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".webp", ".tif", ".tiff"}
_GREY, _COLOUR = {"1", "L", "LA"}, {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
_PIXELS_LIMIT = 4096 * 4096  # of one image; what decodes to more is a decompression bomb or no training image
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, MemoryError, struct.error)

Labels = dict[str, str]  # an image's name to its class


def images(tree: Tree) -> Source:
    """A source over images of equal size; pixels of shape (height, width, 1) or (height, width, 3).

    Images are grey if all of them are, else all are colour.

    Raises:
        SearchError: No images, images outside a class's folder, fewer than two classes.
    """
    layout = _layout(tree)
    train, test = layout["train"], layout.get("test")
    classes = tuple(sorted(set(train.values())))
    if len(classes) < 2:
        came = in_short(classes) or "none"
        raise SearchError(f"{tree.where}: at least two classes are needed, a folder each (came: {came})")
    unknown = sorted(set((test or {}).values()) - set(classes))
    if unknown:
        raise SearchError(f"{tree.where}: test has classes that train lacks ({in_short(unknown)})")
    open_test = (lambda: _read(tree, test, classes)) if test else None
    return Source(tree.where, lambda: _read(tree, train, classes), open_test, classes)


def _layout(tree: Tree) -> dict[str, Labels]:
    """The class of every image, for each split."""
    pictures = [name for name in tree.names if PurePosixPath(name).suffix.lower() in _ENDINGS]
    if not pictures:
        raise SearchError(
            f"{tree.where}: holds no images (came: {in_short(tree.names)}); these endings are read: "
            f"{', '.join(sorted(_ENDINGS))}"
        )
    tops = {name.partition("/")[0] for name in tree.names if "/" in name}
    split = "train" in tops
    _refuse_unlabelled(tree, pictures, depth=2 if split else 1)
    if not split:
        return {"train": _labels(pictures, "")}
    if tops - {"train", "test"}:
        others = in_short(sorted(tops - {"train", "test"}))
        raise SearchError(f"{tree.where}: beside train only test is read (came: {others}); move or remove the rest")
    return {top: _labels(pictures, f"{top}/") for top in sorted(tops)}


def _labels(pictures: list[str], prefix: str) -> Labels:
    below = {name: name.removeprefix(prefix) for name in pictures if name.startswith(prefix)}
    return {name: path.partition("/")[0] for name, path in below.items()}


def _refuse_unlabelled(tree: Tree, pictures: list[str], depth: int) -> None:
    """Refuse images outside a class's folder and classes without images; a class is `depth` folders deep."""
    loose = [name for name in pictures if name.count("/") < depth]
    if loose:
        raise SearchError(
            f"{tree.where}: every image must lie in a folder named after its class ({len(loose)} do not: "
            f"{in_short(loose)})"
        )

    def folders(names: Iterable[str]) -> set[str]:
        return {"/".join(name.split("/")[:depth]) for name in names if name.count("/") >= depth}

    empty = sorted(folders(tree.names) - folders(pictures))
    if empty:
        raise SearchError(f"{tree.where}: each folder is a class and must hold images (without: {in_short(empty)})")


def _read(tree: Tree, labels: Mapping[str, str], classes: tuple[str, ...]) -> Arrays:
    pixels: dict[str, NDArray[np.uint8]] = {}
    first = None
    for name, content in tree.read(labels):
        pixels[name] = _decoded(f"{tree.where}/{name}", content)
        first = first or name
        _refuse_other_size(tree, (first, pixels[first]), (name, pixels[name]), len(labels))
    names = sorted(pixels)
    stacked = _stacked([pixels.pop(name) for name in names])
    return checked(tree.where, stacked, np.array([labels[name] for name in names]), classes)


def _decoded(where: str, content: bytes) -> NDArray[np.uint8]:
    """Pixels of shape (height, width) or (height, width, 3); the header is judged before decoding."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes that are refused below
            image = Image.open(io.BytesIO(content), formats=_FORMATS)
        _refuse_unusable(where, image)
        return np.asarray(image.convert("L" if image.mode in _GREY else "RGB"))
    except (*_BROKEN, Image.DecompressionBombError) as problem:
        text = str(problem).partition(" <")[0]  # without the object that stands for the file
        raise SearchError(f"{where}: cannot be read as an image ({text})") from None


def _refuse_unusable(where: str, image: Any) -> None:
    width, height = image.size
    if width * height > _PIXELS_LIMIT:
        raise SearchError(f"{where}: at most {_PIXELS_LIMIT} pixels are read ({width} x {height} came); shrink it")
    if image.mode not in _GREY | _COLOUR:
        raise SearchError(f"{where}: must have 8 bits a channel (mode {image.mode!r} came); convert it")


def _refuse_other_size(
    tree: Tree, first: tuple[str, NDArray[Any]], other: tuple[str, NDArray[Any]], number: int
) -> None:
    (height, width), (other_height, other_width) = first[1].shape[:2], other[1].shape[:2]
    if (height, width) != (other_height, other_width):
        raise SearchError(
            f"{tree.where}/{other[0]}: all images must have one size ({other_width} x {other_height} came; "
            f"{first[0]} is {width} x {height}); resize them first"
        )
    if number * height * width * 3 > BYTES_LIMIT:
        raise SearchError(
            f"{tree.where}: {number} images of {width} x {height} need more than {BYTES_LIMIT} bytes of "
            "memory; shrink them first"
        )


def _stacked(pixels: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    if all(image.ndim == 2 for image in pixels):
        return np.stack(pixels)[..., np.newaxis]
    return np.stack([image if image.ndim == 3 else np.stack([image] * 3, -1) for image in pixels])
