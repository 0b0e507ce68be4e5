import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from datetime import timedelta

import pytest
from matplotlib import rc_context
from records import START, record, retrained, study

from reports.canvas import short_labels
from reports.charts import gaps, learning_curves, progress, rungs, trial_curves
from reports.parameters import parameter_section
from reports.rungs import rung_counts


def curve(number, state="complete", values=(0.5, 0.7, 0.9), **more):
    best = max(range(len(values)), key=lambda epoch: values[epoch])
    return record(
        number,
        state,
        len(values),
        val_accuracy=values[best],
        best_epoch=best + 1,
        history={"val_accuracy": tuple(values)},
        **more,
    )


def charts(study):
    return [chart for draw in (learning_curves, rungs, progress, gaps) if (chart := draw(study))]


def few():
    tested = {"test_accuracy": 0.85, "gap_se": 0.012}
    return study(
        [curve(0, **tested), curve(1, "pruned", (0.4,), bracket=1), record(2, "failed", 2)],
        [retrained(0, test_accuracy=0.86, gap=0.01, gap_se=0.012)],
    )


def test_a_study_has_four_charts_and_each_says_in_words_what_it_shows():
    made = charts(few())
    assert len(made) == 4
    assert all(len(chart.alternative) > 40 for chart in made)
    words = " ".join(chart.alternative for chart in made)
    assert "trial 0 90.00%" in words
    assert "Bracket 0: 1 at 1, 1 at 3. Bracket 1: 1 at 1." in words
    assert "trial 0 +5.00 ±1.20; trial 0 retrained +1.00 ±1.20" in words


def test_no_axis_label_of_a_chart_is_cut_off():
    params = [{"units": 2**i, "rate": 0.1 / 2**i} for i in range(5)]
    trials = [curve(i, test_accuracy=0.85, params=own) for i, own in enumerate(params)]
    told = study(trials, [retrained(4, test_accuracy=0.86, gap=0.01)])
    for chart in [*charts(told), *parameter_section(told).charts]:
        chart.figure.draw_without_rendering()
        for axes in chart.figure.axes:
            box = axes.xaxis.label.get_window_extent()
            assert box.x0 >= 0, chart.title
            assert box.x1 <= chart.figure.bbox.width, chart.title


def test_there_is_no_epoch_0():
    long = curve(0, values=[0.5 + i / 100 for i in range(27)])
    for chart in (learning_curves(study([long])), trial_curves(study([long]), long)):
        axes = chart.figure.axes[-1]
        low, high = axes.get_xlim()
        assert all(tick >= 1 and tick % 1 == 0 for tick in axes.get_xticks() if low <= tick <= high)


def test_slices_say_what_a_dark_point_is():
    some = [curve(i, values=(0.5, 0.6, 0.7)[: i + 1], params={"units": i}) for i in range(3)]
    slices = parameter_section(study(some)).charts[-1]
    assert slices.figure.get_supxlabel() == "the darker, the longer trained"
    assert "the darker a point" in slices.alternative


def test_slices_of_trials_that_trained_equally_long_speak_of_no_shades():
    slices = parameter_section(study([curve(i, params={"units": i}) for i in range(3)])).charts[-1]
    assert "darker" not in slices.figure.get_supxlabel() + slices.alternative


def test_a_chart_is_well_formed_svg_without_script_and_the_same_each_time():
    for chart in charts(few()):
        svg = chart.svg()
        ElementTree.fromstring(svg)
        assert "<script" not in svg
        assert not re.search(r"(href|src)=\"(?!#)", svg)
    assert [chart.svg() for chart in charts(few())] == [chart.svg() for chart in charts(few())]


def test_a_chart_that_is_laid_out_once_is_the_one_that_savefig_draws_twice():
    for chart, again in zip(charts(few()), charts(few()), strict=True):
        file = io.StringIO()
        with rc_context({"svg.hashsalt": "toprung"}):
            again.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        assert chart.svg() == file.getvalue()
        assert chart.figure.get_layout_engine() is not None


def test_learning_curves_of_bad_trials_do_not_flatten_those_of_the_best():
    good = [curve(number, values=(0.8, 0.9, 0.95)) for number in range(3)]
    fair = [curve(number, "pruned", (0.3, 0.75)) for number in range(3, 6)]
    bad = [curve(number, "pruned", (0.1, 0.2)) for number in range(6, 9)]
    (axes,) = learning_curves(study([*good, *fair, *bad]), top=3).figure.axes
    low, high = axes.get_ylim()
    assert 0.7 < low < 0.75
    assert 0.95 < high < 1


@pytest.mark.parametrize(
    ("monitor", "values", "edge"),
    [
        ("val_accuracy", (0.97, 0.96, 0.95, 0.98, 0.1), "1 trial below, not shown"),
        ("val_loss", (0.1, 0.2, 0.15, 0.3, 40.0), "1 trial above, not shown"),
    ],
)
def test_the_way_to_the_best_tells_how_many_trials_lie_beyond_its_edge(monitor, values, edge):
    trials = [record(n, value=value, history={monitor: (value,)}) for n, value in enumerate(values)]
    direction = "maximize" if monitor == "val_accuracy" else "minimize"
    (axes,) = progress(study(trials, monitor=monitor, direction=direction)).figure.axes
    low, high = axes.get_ylim()
    assert [value for value in values if not low <= value <= high] == [values[-1]]
    assert axes.get_title(loc="right") == edge  # over the plot, where no point can lie under it


def test_a_metric_has_the_same_name_at_an_axis_and_in_a_sentence():
    chart = learning_curves(study([record(0, value=0.5, history={"val_f1": (0.4, 0.5)})], monitor="val_f1"))
    assert chart.figure.axes[0].get_ylabel() == "validation F1"
    assert chart.alternative.startswith("Validation F1 by epoch")


def test_a_few_curves_are_in_sight_from_end_to_end():
    some = [curve(0, values=(0.05, 0.2, 0.25)), *(curve(n, values=(0.15, 0.25, 0.3)) for n in range(1, 5))]
    low, high = learning_curves(study(some)).figure.axes[0].get_ylim()
    assert low < 0.05
    assert high > 0.3


def test_a_single_trial_has_no_way_to_the_best():
    assert progress(study([curve(0)])) is None
    (axes,) = progress(study([curve(0), curve(20)])).figure.axes
    assert all(tick % 1 == 0 for tick in axes.get_xticks())


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_auc"])
def test_the_best_of_a_metric_that_is_maximized_is_in_sight_whatever_its_name(monitor):
    values = [*(n / 200 for n in range(59)), 0.9]
    some = [record(n, value=value, params={"x": n}, history={monitor: (value,)}) for n, value in enumerate(values)]
    maximized = study(some, monitor=monitor, direction="maximize")
    slices = next(chart for chart in parameter_section(maximized).charts if chart.title.startswith("Slices"))
    for chart in (learning_curves(maximized), progress(maximized), slices):
        assert chart.figure.axes[0].get_ylim()[1] > 0.9


def test_charts_with_nothing_to_show_are_left_out():
    assert charts(study()) == []
    failed = study([record(0, "failed", 0, rungs={})])
    assert charts(failed) == []


@pytest.mark.parametrize("draw", [learning_curves, rungs, progress])
def test_charts_take_a_study_that_still_searches_and_values_that_are_not_finite(draw):
    trials = [
        curve(0, "running", (0.5, 0.6), bracket=None),
        curve(1, "paused", (0.5,)),
        curve(2, "failed", (float("nan"), float("inf")), rungs={1: float("nan")}),
        curve(3, "pruned", (0.7, float("nan"))),
    ]
    assert draw(study(trials, state="searching")) is not None


def test_losses_are_drawn_without_percent_and_the_best_is_the_least():
    trials = [record(i, value=v, history={"val_loss": (9.0, v)}) for i, v in enumerate([0.5, 0.2, 0.4])]
    made = charts(study(trials, monitor="val_loss"))
    assert "Best values: trial 1 0.2000, trial 2 0.4000" in made[0].alternative
    assert "the best after 81 with 0.2000" in made[2].alternative
    assert not any("%" in chart.alternative for chart in made)


def test_the_way_to_the_best_counts_the_epochs_of_all_trials_begun_by_then():
    """A trial that paused early and was pruned in the end had cost its epochs before others were complete."""
    trials = [
        record(0, "pruned", 3, val_accuracy=0.5, ended=START + timedelta(seconds=99)),
        record(1, "complete", 27, val_accuracy=0.8, ended=START + timedelta(seconds=2.5)),
        record(2, "pruned", 1, val_accuracy=0.4, ended=START + timedelta(seconds=99)),
        record(3, "complete", 27, val_accuracy=0.9, ended=START + timedelta(seconds=9)),
    ]
    words = progress(study(trials)).alternative
    assert "The first complete one came after 31 epochs with 80.00%, the best after 58 with 90.00%" in words
    late = START + timedelta(seconds=99)
    trials = [record(place, "complete", 1, val_accuracy=0.5, ended=end) for place, end in enumerate((START, late))]
    assert "The first complete one came after 1 epoch with 50.00%" in progress(study(trials)).alternative


def test_a_trials_own_curves_show_training_and_validation_of_the_metric_and_the_other_one():
    history = {"val_accuracy": (0.5, 0.7), "train_accuracy": (0.6, 0.9), "val_loss": (0.9, 0.8)}
    trial = record(3, epochs=2, val_accuracy=0.7, best_epoch=2, history=history)
    chart = trial_curves(study([trial]), trial)
    assert "accuracy and loss; best 70.00% at epoch 2 of 2" in chart.alternative
    assert chart.png().startswith(b"\x89PNG")
    foreign = replace(trial, best_epoch=None)
    assert "at epoch" not in trial_curves(study([foreign]), foreign).alternative
    assert trial_curves(study(), record(0, history={})) is None


def test_gaps_are_drawn_for_tested_trials_alone_best_first():
    trials = [record(0, val_accuracy=0.8, test_accuracy=0.7), record(1, val_accuracy=0.9, test_accuracy=0.9)]
    assert "trial 1 +0.00 ±1.00; trial 0 +10.00 ±1.00" in gaps(study(trials)).alternative
    low, high = sorted(gaps(study(trials)).figure.axes[0].get_ylim())
    assert low <= -0.5
    assert high >= 1.5  # no marker lies on the frame
    assert gaps(study([record(0, val_accuracy=0.9)])) is None


def test_gaps_are_drawn_in_accuracy_whatever_the_monitor():
    trial = record(4, value=0.1078, test_loss=0.1213, gap=0.0098, gap_se=0.013)
    told = gaps(study([trial], monitor="val_loss")).alternative
    assert told == "Validation minus test, points of accuracy: trial 4 +0.98 ±1.30."


def test_ten_thousand_trials_make_a_picture_of_moderate_size():
    trials = [record(i, "pruned", 1, val_accuracy=i / 1e4) for i in range(10_000)]
    assert len(progress(study(trials)).svg()) < 300_000


def test_reports_load_what_is_heavy_only_when_it_is_needed():
    program = "import sys, reports.charts, reports.page, reports.tables, reports.dashboard, reports.summary\n"
    program += "heavy = {'numpy', 'pandas', 'matplotlib', 'jinja2', 'optuna', 'optuna_dashboard', 'rich', 'keras'}\n"
    program += "print(heavy & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_charts_leave_the_plots_of_others_alone():
    program = "import sys\nfrom reports.canvas import canvas\ncanvas()[0].savefig(sys.argv[1], format='svg')\n"
    program += "print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, "/dev/null"], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_comparison_without_pruning_has_no_rungs():
    trials = [record(number, "complete", 27, val_accuracy=0.9) for number in range(3)]
    assert rung_counts(study(trials)) != []
    assert rung_counts(study(trials, plan={"hyperband": {"mode": "none"}})) == []


def test_the_epochs_spent_on_rungs_are_all_epochs_of_the_study():
    trials = [
        record(0, "pruned", 1, val_accuracy=0.5),
        record(1, "pruned", 5, val_accuracy=0.6),  # stopped between two rungs
        record(2, "complete", 27, val_accuracy=0.9),
        record(3, "failed", 12, value=0.1),
        record(4, "failed", 0, rungs={}),
        record(5, "complete", 27, val_accuracy=0.8, bracket=1, rungs={9: 0.7, 27: 0.8}),
    ]
    counts = rung_counts(study(trials))
    assert [(count.bracket, count.epochs, count.reached, count.spent) for count in counts] == [
        *((0, 1, 4, 4), (0, 3, 3, 6), (0, 9, 2, 14), (0, 27, 1, 21)),
        *((1, 9, 1, 9), (1, 27, 1, 18)),
    ]
    assert sum(count.spent for count in counts) == sum(trial.epochs for trial in trials)


def test_of_few_values_none_lies_out_of_sight_and_epochs_are_whole():
    few = [
        record(0, epochs=9, val_accuracy=0.97, history={"val_accuracy": (0.97,) * 9}),
        record(1, "pruned", 1, val_accuracy=0.17, history={"val_accuracy": (0.17,)}),
    ]
    for chart in (learning_curves(study(few)), progress(study(few))):
        (axes,) = chart.figure.axes
        low, high = axes.get_ylim()
        assert low < 0.17 < 0.97 < high
        assert all(tick == round(tick) for tick in axes.get_xticks())


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["cat", "a dog of the neighbour"], ["cat", "a dog of the n\u2026"]),
        (["a dog of the neighbour", "a dog of the north"], ["\u2026neighbour", "\u2026north"]),
        (["site_of_a_leaf_10_old", "site_of_a_leaf_11_old", "x"], ["\u202610_old", "\u202611_old", "x"]),
        (["z" * 20 + "a", "z" * 20 + "b", "z" * 20], ["\u2026a", "\u2026b", "\u2026"]),
        (["same name, twice and long"] * 2, ["same name, twi\u2026"] * 2),
    ],
)
def test_long_names_that_begin_alike_are_told_apart_by_their_ends(names, shown):
    assert short_labels(names, 15) == shown
