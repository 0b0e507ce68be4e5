import io
import json
import math
import os
import subprocess
import sys

import pandas as pd
import pytest
from records import record, retrained, study
from rich.console import Console

from reports.columns import readable
from reports.errors import ReportError
from reports.leaderboard import leaderboard
from reports.notes import study_note
from reports.tables import FORMULA_STARTS, print_table, to_csv, to_json, to_text


def board(**params):
    trials = [
        record(0, val_accuracy=0.9417, test_accuracy=0.9306, gap_se=0.0094, params={"units": 64, **params}),
        record(1, "pruned", 3, val_accuracy=0.8, params={"units": 32}),
        record(2, "failed", 0),
    ]
    return leaderboard(study(trials, [retrained(0, test_accuracy=0.935)]))


def on_a_terminal(frame, width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    print_table(frame, console)
    return console.file.getvalue()


def test_a_csv_file_reads_back_in_pandas_with_the_same_numbers(tmp_path):
    frame = board(learning_rate=1e-7, optimizer="adam")
    to_csv(frame, tmp_path / "board.csv")
    back = pd.read_csv(tmp_path / "board.csv")
    assert list(back.columns) == list(frame.columns)
    assert back["params_learning_rate"][0] == 1e-7
    for name in frame.columns:
        pd.testing.assert_series_equal(back[name], frame[name], check_dtype=False, check_categorical=False)


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe_and_numbers_do_not(tmp_path, start):
    frame = board(optimizer=f"{start}cmd|' /C calc'!A0", shift=-0.5).rename(columns={"seconds": f"{start}s"})
    to_csv(frame, tmp_path / "board.csv")
    back = pd.read_csv(tmp_path / "board.csv")
    start = start.replace("\r", "\n")
    assert back["params_optimizer"][0].startswith(f"'{start}cmd")
    assert f"'{start}s" in back.columns
    assert back["params_shift"][0] == -0.5


def test_a_csv_file_that_cannot_be_written_leaves_the_old_one_and_no_other(tmp_path):
    path = tmp_path / "board.csv"
    path.write_text("old")
    program = (
        "import resource, signal, sys, pathlib, reports.files, reports.errors\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    reports.files.replace(pathlib.Path(sys.argv[1]), 'x' * 2000)\n"
        "except reports.errors.ReportError as error:\n    print(error, error.exit_code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert done.stdout == f"{path}: cannot be written: File too large 3\n"
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["board.csv"]


def test_a_csv_file_has_the_permissions_that_the_umask_asks_for(tmp_path):
    umask = os.umask(0o027)
    try:
        to_csv(board(), tmp_path / "board.csv")
    finally:
        os.umask(umask)
    assert (tmp_path / "board.csv").stat().st_mode & 0o777 == 0o640


def test_a_csv_file_may_be_a_pipe_or_a_link(tmp_path):
    (tmp_path / "link.csv").symlink_to(tmp_path / "board.csv")
    to_csv(board(), tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "board.csv").read_text().startswith("rank,trial")


@pytest.mark.parametrize("name", ["missing/board.csv", "."])
def test_a_place_where_no_csv_file_can_be_is_refused(tmp_path, name):
    with pytest.raises(ReportError, match="cannot be written") as refusal:
        to_csv(board(), tmp_path / name)
    assert refusal.value.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_json_is_one_object_a_line_with_null_for_what_is_missing_or_not_finite():
    frame = leaderboard(study([record(0, val_accuracy=0.9, train_loss=math.inf, params={"batch_norm": True})]))
    frame.loc[0, "seconds"] = math.inf
    row = json.loads(to_json(frame))
    assert row["trial"] == 0
    assert row["val_accuracy"] == 0.9
    assert row["test_accuracy"] is None
    assert row["seconds"] is None
    assert row["params_batch_norm"] is True
    assert len(to_json(board()).splitlines()) == 4
    assert to_json(leaderboard(study())) == ""


def test_people_read_percent_points_and_errors():
    text = to_text(board())
    assert "94.17%" in text
    assert "+1.11 ±0.94" in text
    assert text.splitlines()[0].split()[:3] == ["rank", "trial", "state"]


def test_losses_are_no_percent_and_the_gap_beside_them_is_one_of_accuracy():
    trial = record(0, value=0.2134, train_loss=0.2, val_loss=0.2134, test_loss=0.25, gap=0.0366, gap_se=0.01)
    board = leaderboard(study([trial], monitor="val_loss"))
    text = to_text(board)
    assert "0.2134" in text
    assert "+3.66 ±1.00" in text
    assert "accuracy gap (points)" in [column.header for column in readable(board)]
    assert "-0.0134" not in text
    assert "+0.0134" in text
    assert "%" not in text


def test_a_study_without_trials_has_a_text_of_its_own():
    assert to_text(leaderboard(study())) == "No trials.\n"
    assert on_a_terminal(leaderboard(study()), 80) == "No trials.\n"


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_the_table_fits_the_terminal_and_loses_no_cell_of_the_columns_it_shows(width):
    shown = on_a_terminal(board(optimizer="adam", learning_rate=1e-4, dropout=0.25, momentum=0.9), width)
    assert max(map(len, shown.splitlines())) <= width
    assert "retrained" in shown
    assert "94.17%" in shown or width < 60
    assert "+1.11 ±0.94" in shown or width < 80
    assert "…" not in shown


def test_the_parameters_that_differ_are_shown_before_those_that_do_not():
    trials = [record(i, val_accuracy=0.9, params={"a_constant": 12345, "units": 32 + i}) for i in range(2)]
    assert "units" in on_a_terminal(leaderboard(study(trials)), 50)
    assert "constant" not in on_a_terminal(leaderboard(study(trials)), 50)


def test_nothing_in_a_cell_can_steer_a_terminal_or_be_taken_for_markup():
    frame = board(optimizer="\x1b[31m[bold]x\n\u202e")
    for text in (on_a_terminal(frame, 200), to_text(frame)):
        assert "\x1b[31m" not in text
        assert "\u202e" not in text
        assert "[bold]x" in text
        assert len({len(line) for line in text.splitlines()}) <= 8


def test_a_pipe_gets_plain_text_with_every_column_that_holds_anything():
    console = Console(file=io.StringIO(), width=20)
    print_table(board(), console)
    assert console.file.getvalue() == to_text(board())
    assert "train_accuracy" not in to_text(board())
    assert "params_units" in to_text(board())


def test_what_the_study_monitors_is_shown_before_its_parameters_wherever_there_is_little_room():
    for metric, value, shown in (("loss", 0.2134, "0.2134"), ("accuracy", 0.94, "94.00%")):
        trial = record(0, value=value, val_loss=0.2134, val_accuracy=0.94, test_loss=0.25, params={"units": 64})
        frame = leaderboard(study([trial], monitor=f"val_{metric}"))
        order = [column.name for column in sorted(readable(frame), key=lambda column: column.priority)]
        assert order.index(f"val_{metric}") < order.index("params_units")
        assert shown in on_a_terminal(frame, 45)
        assert shown in study_note(study([trial], monitor=f"val_{metric}")).partition("### The best")[2]
