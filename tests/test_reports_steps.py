"""Charts of single training steps."""

import pytest
from records import record, study

from reports.errors import ReportError
from reports.page import write_report
from reports.steps import MOST_POINTS, _thinned, recorded_steps, steps_chart
from studies.steps import COLUMNS


def write_steps(folder, number, count=40, header=COLUMNS):
    path = folder / "trials" / f"{number:05d}" / "steps.csv"
    path.parent.mkdir(parents=True)
    rows = [(10 * i, i // 8 + 1, 2.0 / (i + 1), 0.5, 0.4, 0.1) for i in range(count)]
    path.write_text("".join(f"{','.join(map(str, row))}\n" for row in (header, *rows)))


@pytest.fixture
def two():
    return study([record(0, "complete", 9, val_accuracy=0.8), record(1, "complete", 9, val_accuracy=0.9)])


def test_the_best_trials_that_were_recorded_are_drawn_in_their_order(two, tmp_path):
    write_steps(tmp_path, 0)
    write_steps(tmp_path, 1)
    recorded = recorded_steps(two, tmp_path)
    assert list(recorded) == [1, 0]
    assert recorded[0]["step"][:3] == (0.0, 10.0, 20.0)
    chart = steps_chart(recorded)
    assert "trial 1 from a loss of 2 at step 0 to 0.05 at step 390" in chart.alternative
    assert [len(axes.lines) for axes in chart.figure.axes] == [2, 2, 2, 2]
    assert chart.figure.axes[3].get_yscale() == "log"
    assert list(recorded_steps(two, tmp_path, top=1)) == [1]


def test_the_report_has_the_chart_where_steps_were_recorded_and_only_there(two, tmp_path):
    write_report(two, tmp_path, tmp_path / "without.html")
    write_steps(tmp_path, 1)
    write_report(two, tmp_path, tmp_path / "with.html")
    assert "Step by step" not in (tmp_path / "without.html").read_text()
    assert "Step by step" in (tmp_path / "with.html").read_text()


def test_a_file_without_rows_makes_no_chart(two, tmp_path):
    write_steps(tmp_path, 1, count=0)
    assert steps_chart(recorded_steps(two, tmp_path)) is None


def test_a_file_of_another_kind_is_told_by_its_path(two, tmp_path):
    write_steps(tmp_path, 1, header=("a", "b"))
    with pytest.raises(ReportError, match=r"00001/steps.csv: cannot be read .*must have the columns step, epoch"):
        recorded_steps(two, tmp_path)


def test_a_long_training_is_thinned_to_means_of_stretches():
    steps, values = _thinned(range(1000), [float(i % 2) for i in range(1000)])
    assert len(steps) == 250 <= MOST_POINTS
    assert set(values) == {0.5}
    assert steps[0] == 1.5
    short, _ = _thinned((0.0, 10.0), (1.0, 2.0))
    assert list(short) == [0.0, 10.0]
