"""Writes a study's changes in order, in a thread of its own, so that no worker waits for a disk."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Generic, Self, TypeVar

_TOGETHER = 500  # changes in one transaction at most: others want to write to the store as well
_GATHER_SECONDS = 0.02  # from the first: more follow at once, from the thread that a worker waits for

Change = TypeVar("Change")


class Ledger(Generic[Change]):
    """Changes that are on their way to the store.

    What is given at nearly the same time goes there together, in one transaction, which costs no more than that of
    a single change. What is lost with the process is at most the last few changes, and whole ones: they are written
    in the order in which they were given. A later run finds the study as it stood before them, and the checkpoints
    that go beyond.

    Args:
        commit: Makes changes in one transaction.
    """

    def __init__(self, commit: Callable[[Sequence[Change]], object]) -> None:
        self._commit = commit
        self._changes: queue.Queue[Change | None] = queue.Queue()
        self._settling = threading.Event()  # someone waits until all is written
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, change: Change) -> None:
        """Have a change written.

        Raises:
            StudyError: An earlier change couldn't be written; nothing is after it.
        """
        self._complain()
        self._changes.put(change)

    def settle(self) -> None:
        """Wait until everything is written.

        Raises:
            StudyError: A change couldn't be written.
        """
        self._settling.set()
        self._changes.join()
        self._settling.clear()
        self._complain()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is left; a failure was told, or is overtaken by the error that ends the block."""
        self._settling.set()
        self._changes.put(None)
        self._thread.join()

    def _work(self) -> None:
        closed = False
        while not closed:
            waiting = self._waiting()
            changes = [change for change in waiting if change is not None]
            closed = len(changes) < len(waiting)
            if changes and self._failure is None:
                try:
                    self._commit(changes)
                except Exception as failure:
                    self._failure = failure
            for _ in waiting:
                self._changes.task_done()

    def _waiting(self) -> list[Change | None]:
        """Wait for a change, then take all that come soon; None, which ends it, is the last that ever comes."""
        waiting = [self._changes.get()]
        if waiting[0] is not None:
            self._settling.wait(_GATHER_SECONDS)
        while len(waiting) < _TOGETHER:
            try:
                waiting.append(self._changes.get_nowait())
            except queue.Empty:
                break
        return waiting

    def _complain(self) -> None:
        if self._failure is not None:
            raise self._failure
