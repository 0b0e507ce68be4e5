import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest
from matplotlib.text import Text
from records import record, study
from test_studies_importance import trials

from reports.parameters import parameter_section

EVIL = "$\\frac{ <script> \x1b[31m"


def test_parameters_have_importances_slices_and_parallel_coordinates():
    section = parameter_section(study(trials(60)))
    assert [chart.title for chart in section.charts] == [
        "Importance of parameters",
        "Slices: one parameter at a time",
        "Parallel coordinates",
    ]
    assert "best quarter of 60 trials after 3 epochs" in section.sentences[0]
    assert "rate: the best 5 from" in section.charts[1].alternative
    assert "55 others in grey" in section.charts[2].alternative
    for chart in section.charts:
        ElementTree.fromstring(chart.svg())


def test_of_parameters_that_are_not_drawn_nothing_is_claimed():
    some = [record(i, val_accuracy=i / 9, params={f"p{p}": i * p for p in range(1, 9)}) for i in range(3)]
    assert parameter_section(study(some)).charts[0].alternative.endswith(" Not drawn: 2 more parameters.")


def test_a_parameter_that_few_trials_draw_has_no_axis_of_its_own():
    some = [record(i, val_accuracy=i / 9, params={"x": i, "y": -i} | ({"rare": i} if i < 2 else {})) for i in range(9)]
    slices, lines = parameter_section(study(some)).charts
    assert "rare" in slices.alternative
    assert "rare" not in lines.alternative


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_loss"])
def test_wild_values_do_not_flatten_the_axis_of_values(monitor):
    sign = 1 if monitor == "val_accuracy" else -1
    some = [record(i, value=0.5 + sign * i / 100, params={"x": i, "y": -i}) for i in range(20)]
    some.append(record(99, value=0.0001 if sign > 0 else 1e9, params={"x": 1, "y": 2}))
    svg = parameter_section(study(some, monitor=monitor)).charts[-1].svg()
    assert ("≤" if sign > 0 else "≥") in svg


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_loss"])
def test_slices_put_wild_values_at_the_edge_and_tell_how_many(monitor):
    sign = 1 if monitor == "val_accuracy" else -1
    some = [record(i, value=0.5 + sign * i / 100, params={"x": i, "y": -i}) for i in range(20)]
    some.append(record(99, value=0.0001 if sign > 0 else 1e9, params={"x": 1, "y": 2}))
    direction = "maximize" if sign > 0 else "minimize"
    figure = parameter_section(study(some, monitor=monitor, direction=direction)).charts[-2].figure
    low, high = figure.axes[0].get_ylim()
    drawn = figure.axes[0].collections[0].get_offsets()[:, 1]
    assert 0 < high - low < 0.3
    assert sum(drawn == (low if sign > 0 else high)) == 4  # the worst fifth of 21
    assert all((low <= drawn) & (drawn <= high))
    edge = "lower edge: 4 trials below" if sign > 0 else "upper edge: 4 trials above"
    assert figure.get_supxlabel() == f"at the {edge} it"


@pytest.mark.parametrize(("reverse", "kind"), [(False, "log"), (True, "linear")])
def test_a_range_that_is_fine_near_high_has_no_axis_that_is_fine_near_low(reverse, kind):
    law = {"type": "float", "low": 0.001, "high": 1.0, "log": True, "reverse": reverse}
    some = [record(i, val_accuracy=i / 20, params={"x": 0.05 * i + 0.01}) for i in range(20)]
    slices = parameter_section(study(some, space={"parameters": {"x": law}})).charts[-1]
    assert slices.figure.axes[0].get_xscale() == kind


def slices_of(some):
    """The axes of the slices."""
    return next(c for c in parameter_section(study(some)).charts if c.title.startswith("Slices")).figure.axes


def test_slices_have_ticks_at_whole_numbers_alone_where_a_parameter_is_whole():
    some = [record(i, val_accuracy=i / 9, params={"layers": 1 + i % 2, "rate": 0.1 + i / 90}) for i in range(9)]
    axes = slices_of(some)
    ticks = {one.get_xlabel(): [tick for tick in one.get_xticks() if 1 <= tick <= 2] for one in axes}
    assert ticks["layers"] == [1, 2]


def test_equally_long_trials_are_equally_dark_in_all_slices():
    some = [record(i, epochs=27 if i else 3, val_accuracy=i / 9, params={"a": i}) for i in range(9)]
    some += [record(9, epochs=3, val_accuracy=0.4, params={"a": 3, "momentum": 0.5})]
    some += [record(10, epochs=3, val_accuracy=0.5, params={"a": 3, "momentum": 0.9})]
    axes = slices_of(some)
    lightest = {one.get_xlabel(): min(one.collections[0].get_array()) for one in axes}
    assert lightest["a"] == lightest["momentum"] < 1


def test_names_of_choices_do_not_touch_and_numbers_to_choose_from_stand_side_by_side():
    laws = {
        "loss": ["categorical_crossentropy", "mean_squared_error", "sparse_categorical_crossentropy"],
        "l1": [0.0, 1e-5, 1e-4],
        "rate": [0.001, 0.01, 0.1],
    }
    drawn = [{name: choices[i // 3**n % 3] for n, (name, choices) in enumerate(laws.items())} for i in range(27)]
    some = [record(i, val_accuracy=i / 27, params=params) for i, params in enumerate(drawn)]
    space = {"parameters": {name: {"type": "ordinal", "choices": choices} for name, choices in laws.items()}}
    charts = parameter_section(study(some, space=space)).charts
    slices = next(chart for chart in charts if chart.title.startswith("Slices"))
    slices.svg()
    shown = {axes.get_xlabel(): axes.get_xticklabels() for axes in slices.figure.axes}
    assert {name: labels[0].get_rotation() for name, labels in shown.items()} == {"loss": 30, "l1": 0, "rate": 0}
    assert [label.get_text() for label in shown["l1"]] == ["0", "1e-05", "0.0001"]
    for labels in (shown["l1"], shown["rate"]):
        assert [label.get_position()[0] for label in labels] == [0, 1, 2]
        boxes = [label.get_window_extent() for label in labels]
        assert all(one.x1 < other.x0 for one, other in pairwise(boxes))


@pytest.mark.parametrize(("low", "high"), [(1.2e-4, 9e-4), (6e-5, 4e-3), (1e-5, 1e-1)])
def test_a_logarithmic_axis_has_numbers_also_between_powers_of_ten(low, high):
    law = {"type": "float", "low": 1e-5, "high": 1.0, "log": True}
    some = [record(i, val_accuracy=i / 20, params={"x": low * (high / low) ** (i / 11)}) for i in range(12)]
    chart = parameter_section(study(some, space={"parameters": {"x": law}})).charts[-1]
    chart.svg()
    (axes,) = chart.figure.axes
    ends = axes.get_xlim()
    shown = [label for label in axes.get_xticklabels() if ends[0] <= label.get_position()[0] <= ends[1]]
    assert 2 <= len([label for label in shown if label.get_text()]) <= 6


@pytest.mark.parametrize(
    "values",
    [
        [0.00316, 0.00369, 0.0199],
        [0.000164, 0.00316, 0.00369, 0.0199],
        [1e-4 * 90 ** (i / 11) for i in range(12)],
        [1.2e-4 * 1.5 ** (i / 11) for i in range(12)],
    ],
)
def test_numbers_under_a_logarithmic_axis_do_not_touch(values):
    law = {"type": "float", "low": 1e-5, "high": 1.0, "log": True}
    params = [dict.fromkeys(("x", "y", "z"), value) for value in values]
    some = [record(i, val_accuracy=i / 20, params=own) for i, own in enumerate(params)]
    charts = parameter_section(study(some, space={"parameters": dict.fromkeys(("x", "y", "z"), law)})).charts
    slices = next(chart for chart in charts if chart.title.startswith("Slices"))
    slices.svg()
    for axes in slices.figure.axes:
        boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert len(boxes) >= 2
        assert all(one.x1 < other.x0 for one, other in pairwise(boxes))


def test_long_names_of_repeated_parameters_keep_their_numbers():
    names = [f"dense_dropout_{place}" for place in range(3)]
    some = [record(i, val_accuracy=i / 27, params={n: i // 3**p % 3 for p, n in enumerate(names)}) for i in range(27)]
    for chart in parameter_section(study(some)).charts:
        labels = [text.get_text() for text in chart.figure.findobj(Text)]
        assert {f"dense_dropo\N{HORIZONTAL ELLIPSIS}_{place}" for place in range(3)} <= set(labels)


@pytest.mark.parametrize("some", [[], [record(0, val_accuracy=0.5, params={"x": 1})], [record(0, "failed", 0)] * 3])
def test_with_nothing_to_compare_there_is_nothing_to_show(some):
    assert parameter_section(study(some)).charts == ()


def test_names_and_values_of_every_kind_can_be_drawn():
    kinds = [True, "auto", 2]
    some = [record(i, val_accuracy=i / 9, params={EVIL: EVIL * (i % 2), "mixed": kinds[i % 3]}) for i in range(9)]
    some += [record(9, val_accuracy=0.4, params={EVIL: "x", "mixed": 2})]
    for chart in parameter_section(study(some)).charts:
        assert "<script" not in chart.svg()
        assert "\x1b" not in chart.alternative


@pytest.mark.parametrize(
    ("state", "sampler", "caution"),
    [
        ("complete", "grid", []),
        ("complete", "tpe", ["The sampler tried more of what looked good: read these with care."]),
        ("pruned", "random", ["Most trials were trained briefly: read these with care."]),
        (
            "pruned",
            "gp",
            ["Most trials were trained briefly, and the sampler tried more of what looked good: read these with care."],
        ),
    ],
)
def test_care_is_asked_for_where_the_search_gives_reason(state, sampler, caution):
    some = [record(i, state, val_accuracy=i / 9, params={"x": i, "y": -i}) for i in range(7)]
    searched = study(some, plan={"sampler": {"name": sampler}})
    assert [one for one in parameter_section(searched).sentences if "care" in one] == caution
    chosen = study(some, plan={"sampler": {"name": sampler}, "enqueue": [{"x": i} for i in range(7)]})
    spread = study(some[1:], plan={"sampler": {"name": sampler}})  # evenly: the sampler was not asked yet
    for one in (chosen, spread):
        assert not any("sampler" in sentence for sentence in parameter_section(one).sentences)
