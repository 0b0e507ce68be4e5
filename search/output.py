"""Standard output, whose reader may go before a search is through (`toprung run digits | head`), and its tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection

from rich import box
from rich.console import Console
from rich.table import Table


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


def thin_table(*columns: str, texts: Collection[str]) -> Table:
    """An empty table in the look of the leaderboard; numbers stand to the right, and `texts` to the left."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0, 0, 1))
    for name in columns:
        table.add_column(name, justify="left" if name in texts else "right")
    return table
