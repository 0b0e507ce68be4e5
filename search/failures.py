"""What an error in training is: a trial's own failure, or the end of the search."""

from __future__ import annotations

import traceback

from search.errors import ENVIRONMENT, SearchError, Unusable
from search.messages import Task, TrialFailed
from spaces.errors import first_words, in_a_line


def ends_search(problem: Exception) -> bool:
    """Whether no trial is at fault, and every trial would meet it: a full disk, a monitor that isn't reported."""
    environment = isinstance(problem, SearchError) and problem.exit_code == ENVIRONMENT
    return environment or isinstance(problem, Unusable)


def failure(task: Task, problem: Exception) -> TrialFailed:
    """The news of a trial that failed by an error of its own; call it while the error is being handled."""
    reason = first_words(problem) if isinstance(problem, SearchError) else in_a_line(problem)
    return TrialFailed(trial=task.trial, reason=reason, details=traceback.format_exc())
