"""Tables for other programs: leaderboards and learning curves, as CSV or Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports.tables import to_csv, to_parquet
from studies.records import StudyRecord

if TYPE_CHECKING:
    import pandas as pd

PARQUET = (".parquet", ".pq")


def export(
    table: pd.DataFrame, studies: Sequence[StudyRecord], csv: Path | None, parquet: Path | None, curves: Path | None
) -> list[tuple[str, Path]]:
    """Write what was asked for.

    Args:
        table: The leaderboard.
        studies: Those it is of.
        csv: A file for the leaderboard.
        parquet: Another one.
        curves: A file for all learning curves: Parquet where its name ends so, else CSV.
    Returns:
        What was written, and where.
    Raises:
        ReportError: A file cannot be written.
    """
    if csv is not None:
        to_csv(table, csv)
    if parquet is not None:
        to_parquet(table, parquet)
    if curves is not None:
        (to_parquet if curves.suffix.lower() in PARQUET else to_csv)(learning_curves(studies), curves)
    asked = [("leaderboard", csv), ("leaderboard", parquet), ("learning curves", curves)]
    return [(what, path) for what, path in asked if path is not None]


def learning_curves(studies: Sequence[StudyRecord]) -> pd.DataFrame:
    """Every value that was measured, a row each: `study`, `trial`, `epoch` (from 1), `metric`, `value`."""
    import pandas as pd

    rows = [
        (study.name, trial.number, epoch, metric, value)
        for study in studies
        for trial in study.trials
        for metric, values in trial.history.items()
        for epoch, value in enumerate(values, start=1)
    ]
    kinds = {"study": "str", "trial": "int64", "epoch": "int64", "metric": "str", "value": "float64"}
    return pd.DataFrame(rows, columns=list(kinds)).astype(kinds)
