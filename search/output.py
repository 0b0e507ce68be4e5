"""Standard output, whose reader may go before a search is through (`toprung run digits | head`)."""

from __future__ import annotations

import os
import sys

from rich.console import Console


class Output(Console):
    """A console on which a run goes on when nobody reads it any more: what it finds is in the store."""

    def on_broken_pipe(self) -> None:
        """Not the end of the program, as it is with rich."""
        write_nowhere()


def write_nowhere() -> None:
    """Let what is still written to standard output be lost, without an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
