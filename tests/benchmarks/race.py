"""Runs one contestant as a process of its own and notes when each of its epochs arrives."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_END_SECONDS = 15.0  # that a contestant has to clean up once it has been told to end


@dataclass(frozen=True)
class Epoch:
    """A trial-epoch, `seconds` after the contestant's process was started."""

    seconds: float
    trial: int | str
    epoch: int
    value: float


@dataclass(frozen=True)
class Finish:
    """When a contestant has done enough.

    Attributes:
        epochs: Trial-epochs that every contestant trains.
        value: Validation accuracy that it then goes on to reach.
        seconds: When it is ended in any case.
    """

    epochs: int
    value: float
    seconds: float


class RaceError(Exception):
    """A contestant failed."""


def race(command: Sequence[str], finish: Finish, log: Path) -> list[Epoch]:
    """Run a contestant until it has done enough.

    Args:
        command: Prints `{"event": "epoch", "trial": ..., "epoch": ..., "value": ...}`, one a line; a line
            `{"event": "phase", "phase": ...}` of another phase than "search" ends the run.
        finish: What is enough.
        log: Where its standard error goes.
    Raises:
        RaceError: It ended with an error, or without an epoch.
    """
    epochs: list[Epoch] = []
    with log.open("wb") as errors:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)
        try:
            lines = _lines(process)
            while not _enough(epochs, finish) and (line := _next(lines, started + finish.seconds)):
                arrived, event = line[0], _event(line[1])
                if event.get("event") == "phase" and event["phase"] != "search":
                    break
                if event.get("event") == "epoch":
                    epochs.append(_epoch(arrived - started, event))
        finally:
            ended_by_itself = _end(process)
    if not epochs or ended_by_itself not in (None, 0):
        last_words = log.read_text(encoding="utf-8", errors="replace")[-3000:]
        raise RaceError(f"{' '.join(command)}: exit {ended_by_itself}, {len(epochs)} epochs\n{last_words}")
    return epochs


def _enough(epochs: Sequence[Epoch], finish: Finish) -> bool:
    if len(epochs) < finish.epochs:
        return False
    return max(epoch.value for epoch in epochs) >= finish.value


def _lines(process: subprocess.Popen[bytes]) -> queue.Queue[tuple[float, bytes] | None]:
    """The lines of a process with the time at which each arrived; None at the end."""
    arrived: queue.Queue[tuple[float, bytes] | None] = queue.Queue()

    def read(stream: IO[bytes]) -> None:
        for line in stream:
            arrived.put((time.monotonic(), line))
        arrived.put(None)

    threading.Thread(target=read, args=(process.stdout,), daemon=True).start()
    return arrived


def _next(lines: queue.Queue[tuple[float, bytes] | None], until: float) -> tuple[float, bytes] | None:
    with suppress(queue.Empty):
        return lines.get(timeout=max(0.0, until - time.monotonic()))
    return None


def _event(line: bytes) -> dict[str, Any]:
    """What a line tells; nothing if it isn't one of ours."""
    with suppress(ValueError):
        event = json.loads(line)
        if isinstance(event, dict):
            return event
    return {}


def _epoch(seconds: float, event: dict[str, Any]) -> Epoch:
    """An epoch; its accuracy in the digits of a float32, which some print in full, and 0 where it is no number."""
    return Epoch(seconds, event["trial"], event["epoch"], round(event["value"] or 0.0, 7))


def _end(process: subprocess.Popen[bytes]) -> int | None:
    """End a process and all that it has started; its exit code if it had ended by itself."""
    with suppress(subprocess.TimeoutExpired):
        return process.wait(timeout=0.2)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_END_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return None
