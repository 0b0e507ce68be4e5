"""Where checkpoints, arrays and models are kept: bytes by key, so that a worker may live on another machine."""

from __future__ import annotations

import io
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from search.errors import SearchError
from studies.writing import TEMPORARY, replace_file, sync

SEALED = "sealed"  # the folder of the test split while it is open

Part = bytes | memoryview


class Blobs(Protocol):
    """Bytes by key. A key is a relative path with forward slashes."""

    def put(self, key: str, *parts: Part, durable: bool = False) -> None:
        """Keep bytes, part after part, under `key`, all or none; with `durable` also through a power cut."""

    def harden(self, key: str) -> None:
        """See that what was put under `key` outlasts a power cut; nothing happens if there are none."""

    def get(self, key: str) -> bytes:
        """The bytes under `key`; KeyError if there are none."""

    def delete(self, key: str) -> None:
        """Forget `key`, and all keys below it; nothing happens if there are none."""

    def sweep(self) -> None:
        """Delete what writers that were killed left half-written; only while nobody writes."""

    def keys(self, prefix: str) -> list[str]:
        """The keys below the folder `prefix`, sorted."""

    def put_array(self, key: str, array: NDArray[Any]) -> None:
        """Keep an array under `key`."""

    def array(self, key: str) -> NDArray[Any]:
        """The array under `key`, read-only; KeyError if there is none."""

    def address(self) -> dict[str, str]:
        """What another process needs to open the same store: the argument of `open_blobs`."""


class FolderBlobs:
    """Blobs as files below one folder; writes are atomic (a new file, then a rename)."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def put(self, key: str, *parts: Part, durable: bool = False) -> None:
        """Keep bytes under `key`."""
        write_atomically(self._path(key), *parts, durable=durable)

    def harden(self, key: str) -> None:
        """See that a file and its name are on the disk."""
        path = self._path(key)
        with suppress(FileNotFoundError):
            sync(path)
            sync(path.parent)

    def get(self, key: str) -> bytes:
        """The bytes under `key`."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            raise KeyError(key) from None

    def delete(self, key: str) -> None:
        """Forget `key`, and all keys below it."""
        path = self._path(key)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete temporary files."""
        for path in self._root.rglob(f".*{TEMPORARY}*"):
            path.unlink(missing_ok=True)

    def keys(self, prefix: str) -> list[str]:
        """The keys below the folder `prefix`, sorted."""
        found = self._path(prefix).rglob("*") if self._path(prefix).is_dir() else []
        return sorted(f.relative_to(self._root).as_posix() for f in found if f.is_file())

    def put_array(self, key: str, array: NDArray[Any]) -> None:
        """Keep an array under `key`."""
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        self.put(key, buffer.getvalue())

    def array(self, key: str) -> NDArray[Any]:
        """The array under `key`, mapped rather than copied: workers share its pages."""
        try:
            return np.load(self._path(key), mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
        except FileNotFoundError:
            raise KeyError(key) from None

    def address(self) -> dict[str, str]:
        """What another process needs to open the same folder."""
        return {"kind": "folder", "path": str(self._root)}

    def _path(self, key: str) -> Path:
        return self._root / key


def open_blobs(address: dict[str, str]) -> Blobs:
    """The store that `Blobs.address` described, opened in this process."""
    if address["kind"] != "folder":
        raise SearchError(f"blobs: unknown kind {address['kind']!r}; this version knows 'folder'", exit_code=1)
    return FolderBlobs(Path(address["path"]))


def write_atomically(path: Path, *parts: Part, durable: bool = False) -> None:
    """Replace a file by bytes, part after part: a reader, or a crash, finds the old or the new, never a mixture.

    Raises:
        SearchError: The disk is full or the folder cannot be written (exit code 3).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, parts, durable=durable)
    except OSError as error:
        raise SearchError(f"{path}: cannot be written ({error.strerror or error})", exit_code=3) from error
