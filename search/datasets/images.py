"""Images in one folder a class: class/image, or train/class/image and test/class/image."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.datasets.arrays import BYTES_LIMIT, Arrays, Source, checked, in_short, refuse
from search.datasets.trees import Tree, unwrapped
from search.errors import SearchError

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "WEBP", "TIFF")
_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".webp", ".tif", ".tiff"}
_GREY, _COLOUR = {"1", "L", "LA"}, {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
_SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation"}
_PIXELS_LIMIT = 4096 * 4096  # of one image; what decodes to more is a decompression bomb or no training image
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, MemoryError, struct.error)

Labels = dict[str, str]  # an image's name to its class
Size = tuple[int, int]  # width and height


def images(tree: Tree) -> Source:
    """A source over images of equal size; pixels of shape (height, width, 1) or (height, width, 3).

    Images are grey if all to train with are, else all are colour, those to test with too.

    Raises:
        SearchError: No images, images outside a class's folder, fewer than two classes. Reading those to train with:
            some of them cannot be used, or some of all have another size.
    """
    tree = _without_notes(tree)
    layout = _layout(tree)
    train, test = layout["train"], layout.get("test")
    classes = tuple(sorted(set(train.values())))
    if len(classes) < 2:
        came = in_short(classes) or "none"
        raise SearchError(f"{tree.where}: at least two classes are needed, a folder each (came: {came})")
    unknown = sorted(set((test or {}).values()) - set(classes))
    if unknown:
        raise SearchError(f"{tree.where}: test has classes that train lacks ({in_short(unknown)})")
    channels = 0  # of the images to train with, once they have been read

    def read_train() -> Arrays:
        nonlocal channels
        arrays = _read(tree, train, classes)
        _, height, width, channels = arrays.x.shape
        _refuse_other_sizes(tree, test or {}, {min(train): (width, height)})
        return arrays

    def read_test() -> Arrays:
        if not channels:
            read_train()
        return _read(tree, test or {}, classes, mode="L" if channels == 1 else "RGB")

    return Source(tree.where, read_train, read_test if test else None, classes)


def _without_notes(tree: Tree) -> Tree:
    """The tree without what lies beside its folders, unless that is images: a README beside the folder with all."""
    inside = tuple(name for name in tree.names if "/" in name)
    notes = [name for name in tree.names if "/" not in name]
    return unwrapped(replace(tree, names=inside)) if inside and not any(map(_is_picture, notes)) else tree


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _ENDINGS


def _layout(tree: Tree) -> dict[str, Labels]:
    """The class of every image, for each split."""
    pictures = [name for name in tree.names if _is_picture(name)]
    if not pictures:
        raise SearchError(
            f"{tree.where}: holds no images (came: {in_short(tree.names)}); these endings are read: "
            f"{', '.join(sorted(_ENDINGS))}"
        )
    tops = {name.partition("/")[0] for name in tree.names if "/" in name}
    split = "train" in tops
    if tops and not split and {top.lower() for top in tops} <= _SPLITS:
        came = in_short(sorted(tops))
        raise SearchError(f'{tree.where}: splits must be folders named "train" and "test" (came: {came}); rename them')
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
            f"{in_short(loose)}); two such folders or more are needed"
        )

    def folders(names: Iterable[str]) -> set[str]:
        return {"/".join(name.split("/")[:depth]) for name in names if name.count("/") >= depth}

    empty = sorted(folders(tree.names) - folders(pictures))
    if empty:
        raise SearchError(f"{tree.where}: each folder is a class and must hold images (without: {in_short(empty)})")


def _read(tree: Tree, labels: Mapping[str, str], classes: tuple[str, ...], mode: str | None = None) -> Arrays:
    """The images of a split, as grey ("L") or in colour ("RGB"); None for grey where all of them are.

    Raises:
        SearchError: All images that cannot be read, and that there are some of other sizes.
    """
    pixels: dict[str, NDArray[np.uint8]] = {}
    sizes: dict[str, Size] = {}
    broken = []
    for name, content in tree.read(labels):
        try:
            image = _opened(content)
            sizes[name] = image.size
            _refuse_too_much(tree, len(labels), image.size)
            if image.size == next(iter(sizes.values())):
                pixels[name] = _decoded(image, mode)
        except _BROKEN as problem:
            text = str(problem).partition(" <")[0]  # without the object that stands for the file
            broken.append(f"{name}: cannot be read as an image ({text})")
        except _Unusable as problem:
            broken.append(f"{name}: {problem}")
    refuse(tree.where, [*broken, *_size_problems(sizes)])
    names = sorted(pixels)
    stacked = _stacked([pixels.pop(name) for name in names])
    return checked(tree.where, stacked, np.array([labels[name] for name in names]), classes)


def _refuse_other_sizes(tree: Tree, test: Labels, known: Mapping[str, Size]) -> None:
    """Refuse images to test with of another size than a known one, before the search; only their headers are judged."""
    sizes = dict(known)
    with suppress(SearchError):  # what is damaged is told when the split is opened
        for name, content in tree.read(test):
            with suppress(*_BROKEN, _Unusable):
                sizes[name] = _opened(content).size
    refuse(tree.where, [*_size_problems(sizes)])


class _Unusable(Exception):
    """An image that is whole, but none to train with."""


def _opened(content: bytes) -> Any:
    """An image whose header has been judged, not decoded yet."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes that are refused below
            image = Image.open(io.BytesIO(content), formats=_FORMATS)
    except Image.DecompressionBombError as problem:
        raise ValueError(str(problem)) from None
    width, height = image.size
    if width * height > _PIXELS_LIMIT:
        raise _Unusable(f"at most {_PIXELS_LIMIT} pixels are read ({width} x {height} came); shrink it")
    if image.mode not in _GREY | _COLOUR:
        raise _Unusable(f"must have 8 bits a channel (mode {image.mode!r} came); convert it")
    return image


def _decoded(image: Any, mode: str | None) -> NDArray[np.uint8]:
    """Pixels of shape (height, width) or (height, width, 3)."""
    image.info.pop("transparency", None)  # left out in any case; of a palette's Pillow would warn
    return np.asarray(image.convert(mode or ("L" if image.mode in _GREY else "RGB")))


def _size_problems(sizes: Mapping[str, Size]) -> Iterator[str]:
    (first, size), *others = sizes.items() or [("", (0, 0))]
    odd = [(name, came) for name, came in others if came != size]
    for name, came in odd[:1]:
        more = f", and {len(odd) - 1} more of other sizes" if odd[1:] else ""
        yield (
            f"{name}: all images must have one size ({came[0]} x {came[1]} came{more}; {first} is "
            f"{size[0]} x {size[1]}); resize them first"
        )


def _refuse_too_much(tree: Tree, number: int, size: Size) -> None:
    width, height = size
    if number * height * width * 3 > BYTES_LIMIT:
        raise SearchError(
            f"{tree.where}: {number} images of {width} x {height} need more than {BYTES_LIMIT} bytes of "
            "memory; shrink them first"
        )


def _stacked(pixels: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    if all(image.ndim == 2 for image in pixels):
        return np.stack(pixels)[..., np.newaxis]
    return np.stack([image if image.ndim == 3 else np.stack([image] * 3, -1) for image in pixels])
