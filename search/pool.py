"""The workers of a run: started, given jobs, listened to, replaced when they die.

A worker is known by one seam: start it, send it an order, take its events, kill it. A subprocess of this
machine is one kind; nothing above the seam assumes a pid, a pipe or a shared file system.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from pydantic import BaseModel, ValidationError

from search.devices import oom_kills
from search.messages import EVENTS, Event, Pause, Workload

KERAS_WORKER = (sys.executable, "-m", "search.worker")
_STOP_SECONDS = 1.0  # what workers did is kept already; this is for their own tidying up
_LISTEN_SECONDS = 1.0  # that a worker is heard after its end: what it said last is in the line
_LAST_BYTES = 4000  # of its log


@dataclass(frozen=True)
class Died:
    """A worker is gone.

    Attributes:
        reason: "SIGKILL", "exit 3", ...
        last_words: The end of what it wrote to its log.
        killed: By a signal: not of its own accord.
    """

    reason: str
    last_words: str = ""
    killed: bool = False

    def __str__(self) -> str:
        return f"({self.reason}):\n{self.last_words}"


Post = Callable[[Event | Died], None]


class Worker(Protocol):
    """One training process, wherever it runs; it posts its events, and in the end that it died."""

    def send(self, order: BaseModel) -> None:
        """Give it an order; a dead worker ignores it."""

    def kill(self) -> None:
        """End it at once."""

    def close(self, seconds: float) -> None:
        """Let it end by itself within some seconds, then kill it."""


class SubprocessWorker:
    """A worker in a process of this machine, in a session of its own so that Ctrl-C doesn't reach it."""

    def __init__(self, post: Post, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._post = post
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=dict(environment),
                start_new_session=True,
            )
        self._oom_kills = oom_kills()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._listener.start()
        self._watcher.start()

    @property
    def pid(self) -> int:
        """Of the process, for messages and tests."""
        return self._process.pid

    def send(self, order: BaseModel) -> None:
        """Give it an order."""
        with suppress(BrokenPipeError, ValueError):
            stream = _opened(self._process.stdin)
            stream.write(order.model_dump_json().encode() + b"\n")
            stream.flush()

    def kill(self) -> None:
        """End it and what it started."""
        with suppress(ProcessLookupError, PermissionError):  # none is left, or, as macOS says, only its remains
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self, seconds: float) -> None:
        """Close the line, wait, then kill."""
        with suppress(BrokenPipeError):
            _opened(self._process.stdin).close()
        self._watcher.join(seconds)
        if self._watcher.is_alive():
            self.kill()
            self._watcher.join()

    def _listen(self) -> None:
        with _opened(self._process.stdout) as lines:
            for line in lines:
                try:
                    self._post(EVENTS.validate_json(line))
                except ValidationError:
                    self.kill()

    def _watch(self) -> None:
        """Post the end of the process; that of the line may be far off: what it forked holds it as well."""
        code = self._process.wait()
        self.kill()
        self._listener.join(_LISTEN_SECONDS)
        reason = _exit_reason(code)
        if code == -signal.SIGKILL and oom_kills() > self._oom_kills:
            reason += "; memory ran out"
        self._post(Died(reason, self._last_words(), killed=code < 0))

    def _last_words(self) -> str:
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, self._log.stat().st_size - _LAST_BYTES))  # it may have grown for weeks
                end = log.read()
        except OSError:  # a run that was refused has taken its folder away
            return ""
        return "\n".join(end.decode(errors="replace").strip().splitlines()[-15:])


class Pool:
    """The workers of a run, by slot.

    Args:
        start: Starts a worker in a slot.
        slots: How many there are.
        most_bytes: Of memory that a worker may have taken when it gets another job.
    """

    def __init__(self, start: Callable[[int, Post], Worker], slots: int, most_bytes: int = sys.maxsize) -> None:
        self.most_bytes = most_bytes
        self._inbox: queue.Queue[tuple[int, int, Event | Died]] = queue.Queue()
        self._start = start
        self._lives = dict.fromkeys(range(slots), 0)
        self._workers = {slot: self._begin(slot) for slot in range(slots)}
        self._workload: Workload | None = None

    @property
    def slots(self) -> list[int]:
        """The slots that have a worker."""
        return sorted(self._workers)

    def brief(self, workload: Workload) -> None:
        """Tell every worker, and each that will replace one, what the study trains."""
        self._workload = workload
        for worker in self._workers.values():
            worker.send(workload)

    def send(self, slot: int, order: BaseModel) -> None:
        """Give the worker of a slot an order."""
        self._workers[slot].send(order)

    def events(self, seconds: float) -> Iterator[tuple[int, Event | Died]]:
        """Wait for an event, then give all that have arrived, with the slots they came from."""
        with suppress(queue.Empty):
            item = self._inbox.get(timeout=seconds)
            while True:
                slot, life, event = item
                if life == self._lives[slot]:  # what a worker said before it was replaced no longer counts
                    yield slot, event
                item = self._inbox.get_nowait()

    def first_event(self, seconds: float) -> Event | Died | None:
        """Wait for the first event of all, and leave it to `events`; None if there is none yet."""
        try:
            item = self._inbox.get(timeout=seconds)
        except queue.Empty:
            return None
        self._inbox.put(item)
        return item[2]

    def pause(self) -> None:
        """Ask every worker to stop at the end of its epoch."""
        for worker in self._workers.values():
            worker.send(Pause())

    def kill(self, slot: int) -> None:
        """End a slot's worker; its `Died` will arrive."""
        self._workers[slot].kill()

    def replace(self, slot: int) -> None:
        """Start a new worker in a slot; the old one is killed if it still lives."""
        self._workers[slot].close(0)
        self._lives[slot] += 1
        self._workers[slot] = self._begin(slot)
        if self._workload is not None:
            self._workers[slot].send(self._workload)

    def close(self, seconds: float = _STOP_SECONDS) -> None:
        """End all workers."""
        closers = [threading.Thread(target=w.close, args=(seconds,)) for w in self._workers.values()]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join()

    def _begin(self, slot: int) -> Worker:
        life = self._lives[slot]
        return self._start(slot, lambda event: self._inbox.put((slot, life, event)))


def _opened(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("the process has no such stream")
    return stream


def _exit_reason(code: int) -> str:
    if code >= 0:
        return f"exit {code}" if code else "exit 0 without a result"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
