"""Ctrl-C and SIGTERM: the first asks the run to end in good order, the second ends it at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType

_SHOW_CURSOR = b"\x1b[?25h"
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class StopRequest(threading.Event):
    """Set when the user wants the run to end.

    Attributes:
        exit_code: 130 for SIGINT, 143 for SIGTERM.
    """

    exit_code = 130


def _end_at_once(exit_code: int) -> None:
    """End this process; workers die with it."""
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), _SHOW_CURSOR)  # the live display has hidden it
    os._exit(exit_code)


@contextmanager
def stop_on_signals(
    signals: Collection[signal.Signals] = tuple(EXIT_CODES), again: Callable[[int], object] = _end_at_once
) -> Iterator[StopRequest]:
    """Turn the first signal into a request while the context lasts.

    Args:
        signals: Those that are heeded.
        again: Called with the exit code when another one comes.
    """
    stop = StopRequest()

    def handle(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            again(EXIT_CODES[signal.Signals(number)])
        stop.exit_code = EXIT_CODES[signal.Signals(number)]
        stop.set()

    before = {number: signal.signal(number, handle) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
