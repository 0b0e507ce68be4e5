"""What a run tells while it lasts: kinds of events with their fields, which `--json` prints an object a line.

- study: it begins (name, monitor, maximize, trials_total, trials, finished, known_epochs, expected_epochs,
  seconds_left, best, where).
- phase: the next one begins (phase: search, retrain, score, report).
- worker: one is ready (worker, backend, devices, versions, seconds, cohort, warning).
- trial: it is given to a worker (worker, trial, epoch, to_epoch, params, cohort).
- epoch: one is completed (worker, trial, epoch, value, best; of a retraining no value, but doing and to_epoch).
- rung: a trial has come to one (trial, epoch, value, state).
- failed: a trial has (trial, reason, details).
- died: a worker has (worker, reason).
- message: a person should know something (text).
- done: the run ends (trials, retrained).
"""

from __future__ import annotations

from collections.abc import Callable

Observe = Callable[..., None]
"""Is told the kind, and the fields by their names."""


def to_nobody(kind: str, **fields: object) -> None:
    """Tells nobody, for jobs that take a moment."""
