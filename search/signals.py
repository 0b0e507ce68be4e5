"""Ctrl-C and SIGTERM: the first asks the run to end in good order, the second ends it at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
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


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn signals into a request while the context lasts."""
    stop = StopRequest()

    def handle(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            if sys.stdout.isatty():
                os.write(sys.stdout.fileno(), _SHOW_CURSOR)  # the live display has hidden it
            os._exit(EXIT_CODES[signal.Signals(number)])  # workers die with this process
        stop.exit_code = EXIT_CODES[signal.Signals(number)]
        stop.set()

    before = {number: signal.signal(number, handle) for number in EXIT_CODES}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
