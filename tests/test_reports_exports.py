import csv
import io
import subprocess
import sys

import pandas as pd
import pytest
from records import record, retrained, study

from reports.errors import ReportError
from reports.exports import export, learning_curves
from reports.leaderboard import joint_leaderboard, leaderboard
from reports.tables import to_csv, to_markdown, to_parquet, to_text

FORMULA = "=cmd|' /C calc'!A0"


def one(name="digits", begin=0.9, **more):
    trials = [
        record(0, val_accuracy=begin, test_accuracy=begin - 0.02, params={"units": 32, "optimizer": "adam"}),
        record(1, "pruned", 3, val_accuracy=begin + 0.05, params={"units": 64, "optimizer": FORMULA}),
    ]
    return study(trials, [retrained(0, test_accuracy=begin)], name=name, **more)


def test_studies_of_the_same_data_are_ranked_together():
    frame = joint_leaderboard([one(), one("deeper", 0.92)])
    assert list(frame.columns[:3]) == ["rank", "study", "trial"]
    told = list(zip(frame["study"], frame["trial"], frame["state"], strict=True))
    assert told == [
        *(("deeper", 0, "complete"), ("digits", 0, "complete")),
        *(("deeper", 1, "pruned"), ("digits", 1, "pruned")),
        *(("digits", 0, "retrained"), ("deeper", 0, "retrained")),
    ]
    assert frame["rank"].dropna().tolist() == [1, 2, 3, 4]
    assert frame["val_rank"].dropna().tolist() == [1, 2]
    assert "deeper" in to_text(frame)


def test_a_comparison_has_the_columns_of_all_and_its_top_counts_over_all():
    other = study([record(0, val_accuracy=0.99, params={"units": 0.5, "depth": 3})], name="other")
    frame = joint_leaderboard([one(), other], top=1)
    assert frame["study"].tolist() == ["other", "digits"]
    assert {"params_units", "params_optimizer", "params_depth"} <= set(frame.columns)
    assert frame["params_units"].dtype == "float64"
    assert joint_leaderboard([one(), other], sort="params_depth")["study"].tolist()[0] == "other"


def test_the_order_of_columns_does_not_depend_on_which_study_has_several_seeds():
    seeds = one("seeds", plan={"objective": {"seeds": 3}})
    assert list(joint_leaderboard([one(), seeds]).columns) == list(joint_leaderboard([seeds, one()]).columns)
    assert list(joint_leaderboard([one(), seeds]).columns).index("val_spread") == 8


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (one("b", data={"hash": "sha256:999"}), "digits and b cannot be compared: the data differs"),
        (one("b", data={}), "the data differs .*unknown"),
        (one("b", monitor="val_loss"), r"the monitor differs \(val_accuracy and val_loss\)"),
        (one("b", direction="minimize"), r"the direction differs \(maximize and minimize\)"),
        (one(), "named twice"),
    ],
)
def test_what_cannot_be_compared_is_refused(other, said):
    with pytest.raises(ReportError, match=said):
        joint_leaderboard([one(), other])


def test_another_test_split_is_other_data_once_both_were_opened():
    data = {"hash": "x", "n_validation": 10}
    closed, opened = one("a", data=data), one("b", data=data | {"test_hash": "1"})
    assert len(joint_leaderboard([closed, opened]))
    with pytest.raises(ReportError, match="the test split differs"):
        joint_leaderboard([opened, one("c", data=data | {"test_hash": "2"})])
    with pytest.raises(ReportError, match="b and c cannot be compared: the test split differs"):
        joint_leaderboard([closed, opened, one("c", data=data | {"test_hash": "2"})])


def test_learning_curves_are_a_long_table_of_every_measured_value():
    trials = [
        record(0, epochs=2, history={"val_accuracy": (0.5, 0.6), "train_loss": (0.9, float("nan"))}),
        record(3, epochs=1, history={"val_accuracy": (0.4,)}),
    ]
    frame = learning_curves([study(trials), study(trials, name="again")])
    assert list(frame.columns) == ["study", "trial", "epoch", "metric", "value"]
    assert len(frame) == 10
    assert frame.iloc[1].tolist() == ["digits", 0, 2, "val_accuracy", 0.6]
    assert learning_curves([study()]).dtypes.astype(str).tolist()[1:] == ["int64", "int64", "str", "float64"]


def test_no_cell_of_a_csv_is_a_formula(tmp_path):
    told = study([record(0, epochs=1, history={"=1+1": (0.5,), "val_accuracy": (0.4,)})], name="=name")
    export(leaderboard(one()), [told], tmp_path / "board.csv", None, tmp_path / "curves.csv")
    for name in ("board.csv", "curves.csv"):
        cells = [cell for row in csv.reader(io.StringIO((tmp_path / name).read_text(), newline="")) for cell in row]
        assert any(cell.startswith("'=") for cell in cells)
        assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]


def test_parquet_keeps_types_and_values(tmp_path):
    pytest.importorskip("pyarrow")
    frame = leaderboard(one())
    written = export(frame, [one()], None, tmp_path / "board.parquet", tmp_path / "curves.parquet")
    assert [what for what, _ in written] == ["leaderboard", "learning curves"]
    again = pd.read_parquet(tmp_path / "board.parquet")
    pd.testing.assert_frame_equal(again, frame)
    assert "study" in pd.read_parquet(tmp_path / "curves.parquet")


def test_cells_of_mixed_kinds_are_text_in_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    mixed = study([record(i, val_accuracy=0.9, params={"rate": rate}) for i, rate in enumerate(["auto", 2, True])])
    to_parquet(leaderboard(mixed), tmp_path / "board.parquet")
    assert sorted(pd.read_parquet(tmp_path / "board.parquet")["params_rate"]) == ["2", "True", "auto"]


WITHOUT = """
import sys
from pathlib import Path
for name in ("pyarrow", "fastparquet"):
    sys.modules[name] = None
sys.path.insert(0, {tests!r})
from test_reports_exports import one
from reports.errors import ReportError
from reports.leaderboard import leaderboard
from reports.tables import to_csv, to_parquet
to_csv(leaderboard(one()), Path(sys.argv[1]) / "board.csv")
try:
    to_parquet(leaderboard(one()), Path(sys.argv[1]) / "board.parquet")
except ReportError as error:
    print(error)
"""


def test_without_pyarrow_the_error_names_it_and_everything_else_works(tmp_path):
    code = WITHOUT.format(tests=str(__file__).rpartition("/")[0])
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("Parquet needs pyarrow; pip install 'toprung[parquet]'\n")
    assert [file.name for file in tmp_path.iterdir()] == ["board.csv"]
    to_csv(leaderboard(one()), tmp_path / "with.csv")
    assert (tmp_path / "with.csv").read_bytes() == (tmp_path / "board.csv").read_bytes()


def test_a_leaderboard_in_markdown_has_numbers_to_the_right_and_no_markup():
    lines = to_markdown(leaderboard(one())).splitlines()
    assert lines[0].startswith(r"| \# | trial | state |")
    assert lines[1].startswith("| ---: | ---: | --- |")
    assert r"=cmd\|' /C calc'\!A0" in lines[3]
    assert len(lines) == 5
