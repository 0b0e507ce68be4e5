"""A study from its first trial to its report; the workers are on their way before the rest is imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.open_run import Options, opened_run
from search.signals import StopRequest
from spaces import Space, validate
from studies.plan import LoadedStudy, StudyPlan
from studies.records import StudyRecord

if TYPE_CHECKING:
    from search.telling import Observe


def run_study(loaded: LoadedStudy, options: Options, stop: StopRequest, observe: Observe) -> StudyRecord:
    """Search within the budget, score, retrain, and write the study's files.

    A study that is in the store goes on where it stood; what is done isn't done again.

    Returns:
        The study as the store has it in the end.
    Raises:
        SearchError: Bad data, workers that cannot start, no usable trial.
        StudyError: The store cannot be used, or holds another study of that name.
        Interrupted: `stop` was set.
    """
    with opened_run(loaded, options, stop, observe) as run:
        from search.phases import conclude, search

        search(run)
        return conclude(run, top=1)


def retrain_study(
    name: str,
    options: Options,
    top: int,
    changes: Mapping[str, Any],
    stop: StopRequest,
    observe: Observe,
) -> StudyRecord:
    """Retrain the best `top` configurations of a study in the store, those too that failed with every seed before.

    Args:
        name: The study.
        options: Where it is.
        top: How many configurations.
        changes: Keys of the plan's retrain section, with new values.
        stop: Set when the user asks to end.
        observe: Told of the progress.
    Raises:
        SearchError: The study has no usable trial (exit code 1).
        StudyError: There is none of that name, or another program made it.
    """
    from studies.store import Store

    with Store.open(options.store, create=False) as store:
        record = store.load(name)
    with opened_run(stored_study(record, changes), options, stop, observe) as run:
        from search.phases import conclude

        run.study.set("state", record.state)  # opening it says that it searches
        if record.state != "finished":
            observe("message", text=f"{name}: its search isn't over; this opens the test split for what there is")
        return conclude(run, top, anew=True)


def stored_study(record: StudyRecord, retrain_changes: Mapping[str, Any]) -> LoadedStudy:
    """A study as it was last run, with another way of retraining."""
    where = f"{record.name} (in the store)"
    plan = {**record.own_plan, "retrain": {**record.own_plan["retrain"], **retrain_changes}}
    space = validate(Space, dict(record.space), where)
    return LoadedStudy(validate(StudyPlan, plan, where), space, Path(record.data["base"]) / "study.toml")
