"""How long something took: by the clock, and of the processor alone, which a loaded machine disturbs less."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """One measurement in seconds."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Median:
    """Several measurements of one thing, in seconds.

    Attributes:
        wall: Median by the clock.
        worst: The longest by the clock.
        cpu: Median of the processor.
        count: How many there were.
    """

    wall: float
    worst: float
    cpu: float
    count: int


def median(samples: Sequence[Sample]) -> Median:
    """The medians of some samples, at least one."""
    walls = [sample.wall for sample in samples]
    cpu = statistics.median(sample.cpu for sample in samples)
    return Median(statistics.median(walls), max(walls), cpu, len(samples))


def timed(action: Callable[[], object]) -> Sample:
    """Do something in this process; all its threads count."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return Sample(time.perf_counter() - wall, time.process_time() - cpu)


def command(words: Sequence[str], output: Path) -> Sample:
    """Run a command as a process of its own.

    Args:
        words: The command.
        output: Where its standard output goes.
    Raises:
        subprocess.CalledProcessError: It failed.
    """
    started = time.perf_counter()
    with output.open("wb") as file:
        process = subprocess.Popen(words, stdout=file)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(words))
    return Sample(wall, usage.ru_utime + usage.ru_stime)
