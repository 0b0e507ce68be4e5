"""What JAX has compiled, kept for other workers and for later runs in the user's own cache.

It is no file of a study: a processor runs what is in it, and a folder of runs may come from anyone.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_MOST_BYTES = 2**30
_OTHERS_MAY_WRITE = 0o022


def compiled_programs(environment: Mapping[str, str] = os.environ, most_bytes: int = _MOST_BYTES) -> Path | None:
    """The folder of compiled programs for this kind of processor, with room for more; None where there can be none.

    Args:
        environment: XDG_CACHE_HOME in it stands for ~/.cache.
        most_bytes: What is kept at most; the oldest programs are deleted.
    """
    with suppress(OSError, RuntimeError):  # a home that cannot be written, or none
        caches = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = caches.absolute() / "toprung" / "jax" / _processor()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
        if about.st_uid == os.getuid() and not about.st_mode & _OTHERS_MAY_WRITE and os.access(folder, os.W_OK):
            _make_room(folder, most_bytes)
            return folder
    return None


def _make_room(folder: Path, most_bytes: int) -> None:
    """Delete the oldest programs beyond that."""
    files = [(path, path.stat()) for path in folder.iterdir() if path.is_file()]
    kept = 0
    for path, about in sorted(files, key=lambda file: -file[1].st_mtime):
        kept += about.st_size
        if kept > most_bytes:
            path.unlink(missing_ok=True)


def _processor() -> str:
    """Another word for another kind of processor: what is compiled for one may crash on another."""
    told = platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        told += "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    return hashlib.sha256(told.encode()).hexdigest()[:12]
