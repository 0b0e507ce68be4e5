"""What an error in training is: a trial's own failure, or the end of the search."""

from __future__ import annotations

import traceback

from search.errors import ENVIRONMENT, SearchError, Unusable
from search.messages import Task, TrialFailed


def ends_search(problem: Exception) -> bool:
    """Whether no trial is at fault, and every trial would meet it: a full disk, a monitor that isn't reported."""
    environment = isinstance(problem, SearchError) and problem.exit_code == ENVIRONMENT
    return environment or isinstance(problem, Unusable)


def failure(task: Task, problem: Exception) -> TrialFailed:
    """What is told of a trial whose error is its own; while it is handled."""
    return TrialFailed(trial=task.trial, reason=_in_a_line(problem), details=traceback.format_exc())


def _in_a_line(problem: Exception) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()] or ["no message"]
    if lines[0].startswith("Exception encountered when calling") or lines[0].endswith(":"):  # the cause comes next
        lines[0] = " ".join(lines[:2])
    return (lines[0] if isinstance(problem, SearchError) else f"{type(problem).__name__}: {lines[0]}")[:300]
