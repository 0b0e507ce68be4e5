"""What a report tells, in its order, whatever it is written as: HTML or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.charts import gaps, learning_curves, progress, rungs
from reports.comparison import comparison, shared
from reports.leaderboard import leaderboard
from reports.parameters import parameter_section
from reports.reproduction import Reproduction, reproduction
from reports.rungs import RungCount, rung_counts
from reports.sections import Section, Table, there
from reports.steps import steps_chart
from reports.summary import summary
from reports.words import counted, printable, shown, spoken
from studies.records import StudyRecord
from studies.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from reports.diagnosis import Diagnosis

MOST_ROWS = 30
MOST_NUMBERS = 20
LEFT_OUT = ("val_rank", "train_val_gap")  # they follow from other columns


@dataclass(frozen=True, slots=True)
class Contents:
    """A report in parts.

    Attributes:
        study: What it is about.
        facts: A line on the study as a whole.
        sentences: The summary.
        board: The top of the leaderboard.
        board_note: What a reader of it must know.
        sections: The search, its trials and steps, the parameters, validation against test, where there is anything.
        winner: Which model was looked at closely; "" where none was.
        winner_sections: What it does on the test split.
        failures: Nothing, or one section with the reasons why trials failed.
        again: What it takes to run the study again; None of an imported one, which toprung cannot run.
    """

    study: StudyRecord
    facts: str
    sentences: Sequence[str]
    board: pd.DataFrame
    board_note: str
    sections: Sequence[Section]
    winner: str
    winner_sections: Sequence[Section]
    failures: Sequence[Section]
    again: Reproduction | None


def contents(
    study: StudyRecord,
    diagnosis: Diagnosis | None = None,
    versions: Mapping[str, str] | None = None,
    steps: Mapping[int, Steps] | None = None,
) -> Contents:
    """The parts of a study's report.

    Args:
        study: What happened; any state will do, even without trials.
        diagnosis: A close look at the winner, where one was taken.
        versions: Of the packages that made the winner, where they are known.
        steps: What was recorded of single training steps, by trial.
    """
    by_step = Section("Step by step", charts=there(steps_chart(study, steps or {})))
    gap = Section("Validation against test", charts=there(gaps(study)))
    board = leaderboard(study, top=MOST_ROWS).drop(columns=list(LEFT_OUT))
    made = (_search(study), _compared(study), by_step, parameter_section(study), gap)
    return Contents(
        study,
        _facts(study),
        summary(study),
        board,
        _board_note(study, has_gaps=bool(board["gap"].notna().any())),
        [section for section in made if not section.is_empty],
        (diagnosis.subject or "The winner of the study.") if diagnosis else "",
        _closely(diagnosis) if diagnosis else [],
        _failures(study),
        reproduction(study, versions) if study.plan else None,
    )


def _facts(study: StudyRecord) -> str:
    trials = counted(len(study.trials), "trial")
    state = "finished" if study.state == "finished" else "not finished"
    begun = f"{study.created:%Y-%m-%d %H:%M %Z}"
    return f"{trials} by {study.monitor}, begun {begun}, {state if study.plan else 'imported'}"


def _board_note(study: StudyRecord, *, has_gaps: bool) -> str:
    note = (
        "Trials that were trained to the end come first, then those that came furthest, each by validation; test "
        "numbers never choose."
    )
    if has_gaps:
        note += " The gap is validation minus test in accuracy, above 0 when test is worse, ± its standard error."
    if len(study.trials) <= MOST_ROWS:
        return note
    rest = f"toprung leaderboard {study.name} --csv FILE writes all."
    return f"{note} The best {MOST_ROWS} of {counted(len(study.trials), 'trial')}; {rest}"


def _search(study: StudyRecord) -> Section:
    drawn = there(rungs(study), progress(study), learning_curves(study))
    return Section("How the search went", charts=drawn, tables=there(_rung_table(study)))


def _compared(study: StudyRecord) -> Section:
    return Section("What was trained", charts=comparison(study), tables=there(shared(study)))


def _rung_table(study: StudyRecord) -> Table | None:
    counts = rung_counts(study)
    if not counts:
        return None
    header = ("bracket", "rung, in epochs", "trials that reached it", "of these went on", "epochs spent")
    rows = tuple(_rung_cells(study.metric, count) for count in counts)
    note = "Epochs spent: those after the rung below, also by trials that did not reach this one."
    return Table("Rungs", (*header, f"best {spoken(study.metric)} there"), rows, names=0, note=note)


def _rung_cells(metric: str, count: RungCount) -> tuple[str, ...]:
    went_on = "" if count.went_on is None else str(count.went_on)
    numbers = (str(count.bracket), str(count.epochs), str(count.reached), went_on, f"{count.spent:,}")
    return (*numbers, shown(metric, count.best))


def _failures(study: StudyRecord) -> list[Section]:
    numbers: dict[str, list[int]] = {}
    for trial in study.trials:
        if trial.state == "failed":
            numbers.setdefault(printable(trial.reason or "no reason was recorded"), []).append(trial.number)
    groups = sorted(numbers.items(), key=lambda group: -len(group[1]))
    rows = tuple((reason, counted(len(trials), "trial"), _few(trials)) for reason, trials in groups)
    table = Table("Trials that failed, by reason", ("reason", "how many", "trials"), rows, names=3)
    return [Section("Failures", tables=(table,))] if rows else []


def _few(trials: list[int]) -> str:
    text = ", ".join(map(str, trials[:MOST_NUMBERS]))
    return text if len(trials) <= MOST_NUMBERS else f"{text}, ..."


def _closely(diagnosis: Diagnosis) -> list[Section]:
    from reports.diagnosis.sections import sections

    return sections(diagnosis)
