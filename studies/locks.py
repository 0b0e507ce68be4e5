"""Locks that the kernel releases when their holder dies."""

import contextlib
import fcntl
import os
import socket
import time
from datetime import datetime
from pathlib import Path
from typing import Self


class Held(Exception):
    """Someone else holds the lock; the message says who."""


class FileLock:
    """A file that one process at a time holds, `flock`ed: gone with its holder, whatever kills it.

    Args:
        path: The lock's own file; made on taking, deleted on release. Its text names the holder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def take(self, patience_seconds: float = 0.0) -> Self:
        """Hold the lock.

        Raises:
            Held: Another process still holds it when patience ends.
        """
        deadline = time.monotonic() + patience_seconds
        while not self._try():
            if time.monotonic() >= deadline:
                raise Held(self._holder())
            time.sleep(0.02)
        return self

    def release(self) -> None:
        """Let go; harmless when not held."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            if self._still_there(self._descriptor):  # else it was deleted, and another holder's may lie there
                self.path.unlink()
        os.close(self._descriptor)
        self._descriptor = None

    def check(self) -> None:
        """Nothing to do: a process cannot lose an flock while it lives."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _try(self) -> bool:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return False
            raise
        if not self._still_there(descriptor):  # its holder deleted it between our open and our lock
            os.close(descriptor)
            return self._try()
        os.ftruncate(descriptor, 0)
        os.write(descriptor, me().encode())
        self._descriptor = descriptor
        return True

    def _still_there(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def _holder(self) -> str:
        time.sleep(0.1)  # it may have taken the lock this instant and not have signed yet
        with contextlib.suppress(OSError):
            return self.path.read_text(errors="replace").strip() or "another process"
        return "another process"


def me() -> str:
    """Who holds a lock: "process 4711 on myhost since 14:03:59"."""
    return f"process {os.getpid()} on {socket.gethostname()} since {datetime.now():%H:%M:%S}"
