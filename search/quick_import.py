"""Importing Keras in less than half of its time, most of which goes into what training never touches."""

from __future__ import annotations

import gc
import os
import sys
import typing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

from studies.absent import absent

# What Keras and TensorFlow import where it is installed, and do without where it isn't.
_OPTIONAL = {
    "tensorflow": ("pandas", "matplotlib", "sklearn", "scipy", "jax"),
    "jax": ("pandas", "matplotlib", "sklearn"),
}
# Parts of TensorFlow's public names that lead to hundreds of modules which neither Keras nor training asks for.
_UNASKED = tuple(
    f"tensorflow._api.v2.{name}"
    for name in (
        "compat",
        "lite",
        "feature_column",
        "experimental.numpy",
        "experimental.tensorrt",
        "debugging.experimental",
        "tpu.experimental",
        "profiler.experimental",
        "__internal__.feature_column",
        "__internal__.distribute",
        "__internal__.test",
    )
)
# Folders of TensorFlow's by the public module of the same name, which must be imported after them to keep it.
_FOLDERS = {"tensorflow._api.v2.lite": "tensorflow.lite"}


@contextmanager
def quick_import(*, everything: bool) -> Iterator[None]:
    """Import Keras and its backend (by KERAS_BACKEND) in this context.

    Args:
        everything: Also what is optional to them, for a model of the user's own may need it.
    """
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    sys.meta_path.insert(0, _OnDemand(_UNASKED))
    with absent(() if everything else _OPTIONAL.get(backend, ())), _quotes_compiled_once(), _no_collections():
        yield


class _OnDemand:
    """Lets some modules run when something of them is first asked for, not when they are imported."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of one of the modules, with a lazy loader."""
        if name not in self._names:
            return None
        if folder := _FOLDERS.get(name):
            import_module(folder)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


@contextmanager
def _quotes_compiled_once() -> Iterator[None]:
    """Let `typing` compile equal types in quotes once: TensorFlow's operations have 18,000, of 114 kinds."""
    module = vars(typing)
    module["compile"] = cache(compile)  # which `typing` finds before Python's own
    try:
        yield
    finally:
        del module["compile"]


@contextmanager
def _no_collections() -> Iterator[None]:
    """Without the garbage collector, which is then spared what was imported: none of it is garbage."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
