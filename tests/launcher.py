"""Starts runs of a study without importing everything each time: one JSON line asks for a run, two lines answer.

The first answer is the process of the run, the second its exit code, below 0 for a signal; where several runs are asked
for, at once, that of the first and all their codes.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from running import run

import search.phases  # noqa: F401
import studies.store  # noqa: F401
from search.errors import Interrupted, SearchError
from search.signals import stop_on_signals
from search.telling import to_nobody
from search.worker import _die_with_parent
from studies.errors import StudyError


def launch(order):
    """A run in a process of its own, which has all modules already."""
    pid = os.fork()
    if not pid:
        _die_with_parent()
        os._exit(_code(order))
    return pid


def killer(kind, count):
    """Kill the run where it tells something of a kind for that many times."""
    told = []

    def observe(told_kind, **_):
        told.append(told_kind)
        if told_kind == kind and told.count(kind) == count:
            os.kill(os.getpid(), signal.SIGKILL)

    return observe


def _code(order):
    os.environ.update(order["environment"])
    path, observe = Path(order["path"]), killer(*order["kill_at"]) if order["kill_at"] else to_nobody
    try:
        with stop_on_signals() as stop:
            run(path, order["out"], *order["overrides"], workers=order["workers"], stop=stop, observe=observe)
    except (Interrupted, SearchError, StudyError) as end:
        print(f"error: {end}", file=sys.stderr, flush=True)
        return end.exit_code
    except BaseException as error:
        print(f"Traceback: {error!r}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    for line in sys.stdin:
        order = json.loads(line)
        runs = [launch(order) for _ in range(order["count"])]
        with suppress(BrokenPipeError):
            print(runs[0], flush=True)
            codes = [os.waitstatus_to_exitcode(os.waitpid(run, 0)[1]) for run in runs]
            print(codes[0] if len(codes) == 1 else codes, flush=True)
