"""Who won: the records of a study as one table, ranked by validation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from reports.errors import ReportError
from reports.gaps import mean_over_seeds, without_dust
from spaces.errors import close_match
from spaces.parameters import Scalar
from spaces.relations import base_name
from studies.records import Direction, RetrainRecord, StudyRecord, TrialRecord, sign_of

if TYPE_CHECKING:
    import pandas as pd

STATES = ["complete", "pruned", "paused", "running", "failed", "retrained"]
LONGEST_HASH = 12
Row = dict[str, Any]


def leaderboard(study: StudyRecord, top: int | None = None, sort: str | None = None) -> pd.DataFrame:
    """The study as a table: one row a configuration, then a row for each one that was retrained.

    `rank` is by validation: complete trials first, then the others by the epochs or the rung they reached; failed ones
    and those without a usable value have none. `val_rank` is the place of a complete or retrained row by its
    validation column, `test_rank` the place by its test column; neither changes the order of rows.
    A retrained row is the mean over its seeds. They share one test split, so `gap_se` is the mean of
    theirs: it does not shrink with their number. Where every trial has several seeds, all of a row is their
    mean and `val_spread` the standard deviation of the monitor over them.

    Args:
        study: What happened.
        top: How many configurations to keep, counted after sorting; None keeps all. Retrained rows stay.
        sort: A column to sort by: metrics best first, others smallest first; "-seconds" turns it round.
    Returns:
        Always the same columns and types: "Int64" for whole numbers, "float64" for others, NA where there is
        no number. Where the monitor is no accuracy its metric takes accuracy's place; with "val_loss" the
        later columns `val_loss` and `test_loss` become `val_accuracy` and `test_accuracy`.
    Raises:
        ReportError: `top` is below 1, or there is no such column.
    """
    rows = [_trial_row(study, trial, place) for place, trial in enumerate(ranked(study), start=1)]
    rows += [_retrained_row(study, group) for group in retrained_groups(study)]
    return _picked(_framed(study, rows, _columns(study)), study, top, sort)


def joint_leaderboard(studies: Sequence[StudyRecord], top: int | None = None, sort: str | None = None) -> pd.DataFrame:
    """Several studies as one table, ranked together: that of `leaderboard` with a column `study` after `rank`.

    Args:
        studies: Of the same data and monitor, each of another name.
        top: See `leaderboard`.
        sort: See `leaderboard`.
    Raises:
        ReportError: The studies cannot be compared; else see `leaderboard`.
    """
    first = studies[0]
    _refuse_incomparable(studies)
    placed = [(study, trial) for study in studies for trial in study.trials]
    placed.sort(key=lambda pair: _standing(pair[1], first.direction))
    rows = [{"study": s.name, **_trial_row(s, trial, place)} for place, (s, trial) in enumerate(placed, start=1)]
    rows += [{"study": s.name, **_retrained_row(s, group)} for s in studies for group in retrained_groups(s)]
    return _picked(_framed(first, rows, _common_columns(studies)), first, top, sort)


def ranked(study: StudyRecord) -> list[TrialRecord]:
    """All trials, best first: complete ones by value, others by the rung they reached and value, failed ones last."""
    return sorted(study.trials, key=lambda trial: _standing(trial, study.direction))


def usable(study: StudyRecord) -> list[TrialRecord]:
    """The trials that can be compared, best first."""
    return [trial for trial in ranked(study) if is_ranked(trial)]


def is_ranked(trial: TrialRecord) -> bool:
    """Whether a trial has a value that others can be compared with."""
    return trial.state != "failed" and trial.value is not None and math.isfinite(trial.value)


def retrained_groups(study: StudyRecord) -> list[list[RetrainRecord]]:
    """Retrainings of one configuration on the same data, together; the better configuration first."""
    places = {trial.number: place for place, trial in enumerate(ranked(study))}
    groups: dict[tuple[int, str], list[RetrainRecord]] = {}
    for record in study.retrained:
        groups.setdefault((record.trial, record.data), []).append(record)
    return sorted(groups.values(), key=lambda group: places.get(group[0].trial, len(places)))


def seeds_of(study: StudyRecord) -> int:
    """How often every trial was trained."""
    return int(study.section("objective").get("seeds", 1))


def other_metric(study: StudyRecord) -> str:
    """What the leaderboard shows beside the study's own metric."""
    return "accuracy" if study.metric == "loss" else "loss"


def _standing(trial: TrialRecord, direction: Direction) -> tuple[int, int, float, int]:
    """What trials are sorted by, the best first."""
    if trial.state == "failed":
        return (3, 0, 0.0, trial.number)
    if not is_ranked(trial):
        return (2, 0, 0.0, trial.number)
    assert trial.value is not None
    loss = -sign_of(direction) * trial.value
    if trial.state == "complete":
        return (0, 0, loss, trial.number)
    return (1, -max([trial.epochs, *trial.rungs]), loss, trial.number)


def _refuse_incomparable(studies: Sequence[StudyRecord]) -> None:
    for one, other in combinations(studies, 2):
        facts = [
            ("monitor", one.monitor, other.monitor),
            ("direction", one.direction, other.direction),
            ("data", one.data.get("hash"), other.data.get("hash")),
        ]
        if "test_hash" in one.data and "test_hash" in other.data:  # opened in both
            facts.append(("test split", one.data["test_hash"], other.data["test_hash"]))
        for what, own, theirs in facts:
            if own != theirs:
                raise ReportError(
                    f"{one.name} and {other.name} cannot be compared: the {what} differs "
                    f"({_short(own)} and {_short(theirs)}); show each by itself"
                )
    if len({study.name for study in studies}) < len(studies):
        raise ReportError(f"a study was named twice ({', '.join(study.name for study in studies)}); name each once")


def _short(value: str | None) -> str:
    text = "unknown" if value is None else value
    return text if len(text) <= LONGEST_HASH else f"{text[:LONGEST_HASH]}..."


def _common_columns(studies: Sequence[StudyRecord]) -> dict[str, str]:
    types: dict[str, str] = {}
    for study in sorted(studies, key=seeds_of, reverse=True):  # first those that have all columns
        for name, kind in _columns(study).items():
            types[name] = _common_kind(types.get(name, kind), kind)
    params = {name: kind for name, kind in types.items() if name.startswith("params_")}
    others = {name: kind for name, kind in types.items() if name not in params}
    return {"rank": others.pop("rank"), "study": "str", **others, **params}


def _common_kind(one: str, other: str) -> str:
    if {one, other} == {"Int64", "float64"}:
        return "float64"
    return one if one == other else "object"


def _framed(study: StudyRecord, rows: Sequence[Row], types: Mapping[str, str]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame({name: _cells(kind, [row.get(name) for row in rows]) for name, kind in types.items()})
    _add_places(table, study)
    return table


def _columns(study: StudyRecord) -> dict[str, str]:
    metric, other = study.metric, other_metric(study)
    whole = ["rank", "trial", "epochs", "best_epoch", "val_rank", "test_rank", "parameters"]
    names = ["rank", "trial", "state", "epochs", "best_epoch"]
    spread = ["val_spread"] if seeds_of(study) > 1 else []
    names += [f"train_{metric}", f"val_{metric}", *spread, f"test_{metric}", "gap", "gap_se", "train_val_gap"]
    names += [f"val_{other}", f"test_{other}", "val_rank", "test_rank", "parameters", "seconds"]
    kinds = {name: "Int64" if name in whole else "float64" for name in names} | {"state": "category"}
    return kinds | {f"params_{name}": kind for name, kind in _param_kinds(study).items()}


def _param_kinds(study: StudyRecord) -> dict[str, str]:
    declared: Mapping[str, Mapping[str, Any]] = study.space.get("parameters") or {}
    values: dict[str, list[Scalar]] = {
        name: [] for name, law in declared.items() if law.get("type") != "fixed" and not law.get("per")
    }
    for trial in study.trials:
        for name, value in trial.params.items():
            values.setdefault(name, []).append(value)
    order = {name: place for place, name in enumerate(declared)}
    names = sorted(values, key=lambda name: _place(name, order))
    return {name: _kind(declared.get(_base(name, order), {}).get("type"), values[name]) for name in names}


def _base(name: str, declared: Mapping[str, Any]) -> str:
    return name if name in declared else base_name(name)


def _place(name: str, order: Mapping[str, int]) -> tuple[int, int, str]:
    base = _base(name, order)
    repeat = int(name[len(base) + 1 :] or 0) if base != name else 0
    return (order.get(base, len(order)), repeat, name)


def _kind(declared: str | None, values: Sequence[Scalar]) -> str:
    kinds = {type(value) for value in values}
    if kinds <= {int, float}:
        if declared == "float" or float in kinds:
            return "float64"
        if declared == "int" or int in kinds:
            return "Int64" if all(-(2**63) <= int(value) < 2**63 for value in values) else "object"
    if kinds == {bool}:
        return "boolean"
    return "str" if kinds <= {str} else "object"


def _cells(kind: str, values: list[Any]) -> pd.Categorical | pd.Series[Any]:
    import pandas as pd

    if kind == "category":
        return pd.Categorical(values, categories=STATES)
    return pd.Series(values, dtype=kind)


def _trial_row(study: StudyRecord, trial: TrialRecord, place: int) -> Row:
    tested = trial.test.metrics if trial.test else {}
    value = trial.value if trial.value is not None else trial.metrics.get(f"val_{study.metric}")
    return {
        "rank": place if is_ranked(trial) else None,
        "trial": trial.number,
        "state": trial.state,
        "epochs": trial.epochs,
        "best_epoch": trial.best_epoch,
        **_metric_cells(study, {**trial.metrics, **tested, f"val_{study.metric}": value}),
        "val_spread": trial.metrics.get(f"{study.monitor}_spread"),
        "gap": trial.test.gap if trial.test else None,
        "gap_se": trial.test.gap_se if trial.test else None,
        "parameters": trial.weights,
        "seconds": trial.seconds or None,
        **_param_cells(trial),
    }


def _retrained_row(study: StudyRecord, group: Sequence[RetrainRecord]) -> Row:
    names = {name: None for record in group for name in record.metrics}
    metrics = {name: mean(record.metrics.get(name) for record in group) for name in names}
    trial = study.trial(group[0].trial)
    return {
        "trial": group[0].trial,
        "state": "retrained",
        "epochs": round(fmean(record.epochs for record in group)),
        **_metric_cells(study, metrics),
        "val_spread": _spread(record.metrics.get(study.monitor) for record in group),
        "gap": mean(record.gap for record in group),
        "gap_se": mean(record.gap_se for record in group),
        "parameters": group[0].weights,
        "seconds": fmean(record.seconds for record in group),
        **(_param_cells(trial) if trial else {}),
    }


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the numbers there are; None where there are none."""
    known = [value for value in values if value is not None]
    return mean_over_seeds(known) if known else None


def _spread(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return stdev(known) if len(known) > 1 else None


def _metric_cells(study: StudyRecord, metrics: Mapping[str, float | None]) -> Row:
    metric, other = study.metric, other_metric(study)
    names = [f"{split}_{metric}" for split in ("train", "val", "test")] + [f"val_{other}", f"test_{other}"]
    cells: Row = {name: metrics.get(name) for name in names}
    train, validation = cells[f"train_{metric}"], cells[f"val_{metric}"]
    if train is not None and validation is not None:
        cells["train_val_gap"] = without_dust((train - validation) * sign_of(study.direction))
    return cells


def _param_cells(trial: TrialRecord) -> Row:
    return {f"params_{name}": value for name, value in trial.params.items()}


def _add_places(table: pd.DataFrame, study: StudyRecord) -> None:
    ascending = study.direction == "minimize"
    full = table["state"].isin(["complete", "retrained"])
    for split in ("val", "test"):
        values = table[f"{split}_{study.metric}"]
        places = values.where(full & values.abs().lt(math.inf)).rank(method="min", ascending=ascending)
        table[f"{split}_rank"] = places.astype("Int64")


def _picked(table: pd.DataFrame, study: StudyRecord, top: int | None, sort: str | None) -> pd.DataFrame:
    import pandas as pd

    if top is not None and top < 1:
        raise ReportError(f"--top must be at least 1 (top = {top})")
    retrained = table["state"] == "retrained"
    trials, last = table[~retrained], table[retrained]
    if sort is not None:
        trials = _sorted(trials, study, sort)
    return pd.concat([trials.head(len(trials) if top is None else top), last], ignore_index=True)


def _sorted(table: pd.DataFrame, study: StudyRecord, sort: str) -> pd.DataFrame:
    column = sort.removeprefix("-")
    if column not in table.columns:
        hint = close_match(column, table.columns) or f"; there are {', '.join(table.columns)}"
        raise ReportError(f'--sort: no column "{column}"{hint}')
    descending = _is_greatest_first(study, column) != sort.startswith("-")
    values = table[column]
    keys = values.astype(str).where(values.notna()) if values.dtype == object else values
    return table.loc[keys.sort_values(ascending=not descending, kind="stable", na_position="last").index]


def _is_greatest_first(study: StudyRecord, column: str) -> bool:
    if column in [f"{split}_{study.metric}" for split in ("train", "val", "test")]:
        return study.direction == "maximize"
    return column in ("val_accuracy", "test_accuracy")
