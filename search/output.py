"""Standard output, whose reader may go before a run ends (`toprung run digits | head`), and what is put there."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Collection, Mapping
from typing import Any

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


def json_line(fields: Mapping[str, Any]) -> str:
    """An object as JSON, in one line; a number that JSON doesn't have (NaN) is null."""
    return json.dumps(_finite(fields))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value
