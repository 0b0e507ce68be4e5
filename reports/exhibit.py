"""What the dashboard shows of a study beside what is stored: notes, figures, pictures."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from reports.canvas import Chart
from reports.charts import learning_curves, trial_curves
from reports.figures import figures
from reports.leaderboard import retrained_groups
from reports.notes import study_note, trial_notes
from studies.files import DIAGNOSIS
from studies.records import StudyRecord, TrialRecord

if TYPE_CHECKING:
    from studies.store.view import Exhibit, Picture


def exhibit(study: StudyRecord, folder: Path | None) -> Exhibit:
    """What to show of a study.

    Args:
        study: As it stands.
        folder: Of its files, with the close look at its winner; None where it is not known.
    """
    from studies.store.view import Exhibit

    close_look = folder / DIAGNOSIS if folder else None
    pictures = [*_study_pictures(study), *_trial_pictures(study), *_winner_pictures(study, close_look)]
    return Exhibit(study_note(study), trial_notes(study), figures(study), pictures)


def _study_pictures(study: StudyRecord) -> Iterator[Picture]:
    if any(trial.history for trial in study.trials):
        spent = sum(trial.epochs for trial in study.trials)
        yield _picture(study, "learning-curves.png", spent, partial(learning_curves, study))


def _trial_pictures(study: StudyRecord) -> Iterator[Picture]:
    for trial in study.trials:
        if trial.epochs:
            draw = partial(trial_curves, study, trial)
            yield _picture(study, "learning-curve.png", trial.epochs, draw, trial)


def _winner_pictures(study: StudyRecord, close_look: Path | None) -> Iterator[Picture]:
    """The confusion matrix of the retrained winner, on the study and on the trial it comes from."""
    if close_look is None or not study.retrained or not close_look.is_file():
        return
    version = close_look.stat().st_mtime_ns
    number = retrained_groups(study)[0][0].trial
    for trial in (None, study.trial(number)):
        yield _picture(study, "confusion-matrix.png", version, partial(_confusion, close_look), trial)


def _picture(
    study: StudyRecord, name: str, version: int, draw: Callable[[], Chart | None], trial: TrialRecord | None = None
) -> Picture:
    from studies.store.view import Picture

    number = None if trial is None else trial.number
    identity = uuid.uuid5(uuid.NAMESPACE_OID, f"{study.uuid} {name} {number} {version}")
    return Picture(str(identity), name, lambda: _drawn(draw), number)


def _drawn(draw: Callable[[], Chart | None]) -> bytes | None:
    chart = draw()
    return chart.png() if chart else None


def _confusion(path: Path) -> Chart:
    from reports.diagnosis import read
    from reports.diagnosis.charts import confusion

    return confusion(read(path))
