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
    rows = [(10 * i, i // 8 + 1, 2.0 / (i + 1), 0.5, 0.4, 0.1**i) for i in range(count)]
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
    chart = steps_chart(two, recorded)
    assert "trial 1 from a loss of 2 at step 0 to 0.05 at step 390" in chart.alternative
    assert [len(axes.lines) for axes in chart.figure.axes] == [2, 2, 2, 2]
    assert [axes.get_yscale() for axes in chart.figure.axes] == ["linear", "linear", "linear", "log"]


@pytest.mark.parametrize(("mode", "drawn"), [("none", 8), ("promote", 6)])
def test_all_trials_of_a_comparison_are_drawn_by_their_names_and_of_a_search_the_best_six(mode, drawn, tmp_path):
    params = [{"network": name, "activation": kind} for name in ("mlp", "cnn", "a", "b") for kind in ("relu", "tanh")]
    some = [record(n, val_accuracy=0.9 - n / 100, params=one) for n, one in enumerate(params)]
    for trial in some:
        write_steps(tmp_path, trial.number)
    eight = study(some, plan={"hyperband": {"mode": mode}})
    chart = steps_chart(eight, recorded_steps(eight, tmp_path))
    looks = {(line.get_color(), str(line.get_linestyle())) for line in chart.figure.axes[0].lines}
    assert len(looks) == drawn
    names = [text.get_text() for text in chart.figure.legends[0].get_texts()]
    assert names[:2] == ["0: mlp, relu", "1: mlp, tanh"]
    assert len(names) == drawn


def test_the_report_has_the_chart_where_steps_were_recorded_and_only_there(two, tmp_path):
    write_report(two, tmp_path, tmp_path / "without.html")
    write_steps(tmp_path, 1)
    write_report(two, tmp_path, tmp_path / "with.html")
    assert "Step by step" not in (tmp_path / "without.html").read_text()
    assert "<h2>Step by step</h2>" in (told := (tmp_path / "with.html").read_text())
    assert "<figcaption>Step by step" not in told  # a chart does not repeat the heading of its section


def test_a_file_without_rows_makes_no_chart(two, tmp_path):
    write_steps(tmp_path, 1, count=0)
    assert steps_chart(two, recorded_steps(two, tmp_path)) is None


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
