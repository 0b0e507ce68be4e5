"""What a study will cost, before anything is spent: brackets, rungs, epochs, and hours from a short probe."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType

from reports.words import counted
from search.blobs import FolderBlobs
from search.datasets import open_source, search_splits
from search.devices import Slot
from search.display import duration
from search.errands import Crew, run_errands
from search.errors import SearchError
from search.messages import TrainJob
from search.models.fitness import check_study
from search.open_run import Options, publish, start_pool, workload
from search.output import thin_table
from search.recipe import Recipe
from studies.grid import configurations
from studies.plan import LoadedStudy
from studies.records import TrialRecord

_PROBE_EPOCHS = 3  # the first one is not counted: it compiles


def forecast_study(loaded: LoadedStudy, options: Options, *, probe: bool) -> dict[str, Any]:
    """The ladder's forecast for the plan's number of trials, and times if `probe` trains for a moment.

    Returns:
        Plain values: "budget" and "trials", which are fewer where the space has fewer configurations, "brackets",
        "expected_epochs", "worst_epochs", and with a probe "epoch_seconds" (of the default configuration) and
        "expected_hours", "worst_hours".
    """
    plan = loaded.plan
    stopping = plan.hyperband.mode == "stop"
    trials = configurations(loaded.space, plan.budget.trials)
    forecast = plan.hyperband.ladder.forecast(trials, stopping=stopping)
    found: dict[str, Any] = {
        "study": plan.name,
        "budget": plan.budget.trials,
        "trials": forecast.trials,
        "brackets": [asdict(bracket) for bracket in forecast.brackets],
        "expected_epochs": round(forecast.expected_epochs),
        "worst_epochs": forecast.worst_epochs,
        "full_epochs": trials * plan.hyperband.max_resource,
        "minutes": plan.budget.minutes,
    }
    return found | _times(loaded, options, found) if probe else found


def forecast_text(found: dict[str, Any]) -> RenderableType:
    """The forecast for a person."""
    texts = ("rungs (epochs)", "expected at each rung")
    table = thin_table("bracket", texts[0], "trials", texts[1], "epochs", "at worst", texts=texts)
    for bracket in found["brackets"]:
        table.add_row(
            str(bracket["bracket"]),
            ", ".join(map(str, bracket["rungs"])),
            str(bracket["trials"]),
            ", ".join(f"{count:.0f}" if count >= 1 or not count else f"{count:.1f}" for count in bracket["expected"]),
            f"{bracket['expected_epochs']:.0f}",
            str(bracket["worst_epochs"]),
        )
    few = f" (budget.trials = {found['budget']}; the space has no more)" if found["trials"] < found["budget"] else ""
    return Group(f"{found['study']}: {counted(found['trials'], 'trial')}{few}", "", table, *_sentences(found))


def _sentences(found: dict[str, Any]) -> list[str]:
    share = found["expected_epochs"] / found["full_epochs"]
    lines = [
        f"Expected {found['expected_epochs']} epochs, at worst {found['worst_epochs']}; "
        f"training all to the end would take {found['full_epochs']} ({share:.0%} is expected)."
    ]
    if "epoch_seconds" in found:
        lines.append(
            f"The default configuration takes {found['epoch_seconds']:.3g} s an epoch here: with "
            f"{found['workers']} at a time about {duration(3600 * found['expected_hours'])}, "
            f"at worst {duration(3600 * found['worst_hours'])}, and some seconds to start."
        )
    if found["minutes"] is not None:
        lines.append(f"The search ends after {found['minutes']:g} minutes in any case.")
    return lines


def _times(loaded: LoadedStudy, options: Options, found: dict[str, Any]) -> dict[str, Any]:
    slots = options.slots()
    seconds = _epoch_seconds(loaded, options, slots[:1])
    hours = {key: found[f"{key}_epochs"] * seconds / len(slots) / 3600 for key in ("expected", "worst")}
    return {
        "epoch_seconds": seconds,
        "workers": len(slots),
        "expected_hours": hours["expected"],
        "worst_hours": hours["worst"],
    }


def _epoch_seconds(loaded: LoadedStudy, options: Options, slots: list[Slot]) -> float:
    """Seconds an epoch of the default configuration, in one worker, after the first."""
    plan, recipe = loaded.plan, Recipe(loaded, options.backend)
    splits = search_splits(open_source(plan.data, loaded.path.parent), plan.data)
    check_study(loaded, splits)
    task = recipe.task(TrialRecord(number=0, state="running", params=loaded.space.default()))
    job = TrainJob(structure="probe", tasks=[task], to_epoch=_PROBE_EPOCHS)
    with tempfile.TemporaryDirectory() as folder:
        pool = start_pool(options, slots, Path(folder))
        try:
            blobs = FolderBlobs(Path(folder))
            publish(splits, blobs)
            brief = workload(loaded, splits, blobs, slots).model_copy(update={"early_stopping": None})
            pool.brief(brief)  # which would end the probe
            (errand,) = run_errands(Crew(pool), [job])
        finally:
            pool.close()
    if errand.failed:
        raise SearchError(f"the default configuration cannot be trained: {errand.failed}", exit_code=1)
    first, last = errand.epochs[1].seconds, errand.epochs[_PROBE_EPOCHS].seconds
    return (last - first) / (_PROBE_EPOCHS - 1)
