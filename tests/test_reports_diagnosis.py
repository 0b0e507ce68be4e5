import re
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict, replace
from functools import partial
from itertools import combinations

import numpy as np
import pytest
from matplotlib.transforms import Bbox

from reports.diagnosis import boundary_grid, diagnose, read, write
from reports.diagnosis.charts import (
    class_bars,
    confusion,
    decision_boundary,
    reliability,
    training_curves,
)
from reports.diagnosis.pictures import convolved, feature_maps, first_weights, right_samples, wrong_samples
from reports.diagnosis.sections import sections
from reports.diagnosis.tables import (
    class_table,
    epoch_table,
    model_table,
    pair_table,
    score_lines,
    training_lines,
    weight_table,
)
from reports.errors import ReportError

ANIMALS = ("cat", "dog", "owl")


def predictions(labels, predicted, confidence, classes=3):
    """Probabilities of these predictions: what is left of each row is spread evenly."""
    shares = np.repeat((1 - np.asarray(confidence))[:, None] / (classes - 1), classes, axis=1)
    shares[np.arange(len(labels)), predicted] = confidence
    return np.array(labels), shares


def small(**more):
    labels, shares = predictions([0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 0, 2], [0.9, 0.6, 0.8, 0.7, 0.95, 0.5])
    return diagnose(labels, shares, ANIMALS, **more)


def full():
    """Images, weights, a history: all that there can be, but for a boundary."""
    generator = np.random.default_rng(0)
    return small(
        inputs=generator.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8),
        weights=[
            ("conv", "conv/kernel", generator.normal(size=(3, 3, 3, 8))),
            ("conv", "conv/bias", np.zeros(8)),
            ("norm", "gamma", np.ones(8)),
            ("head", "kernel", generator.normal(size=(72, 3))),
        ],
        model=[("conv", "Conv2D 3 x 3 same", "4 x 5 x 8", 224), ("drop", "Dropout 0.3", "4 x 5 x 8", 0)],
        history={
            "train_accuracy": (0.4, 0.6, 0.8, 0.9),
            "val_accuracy": (0.4, 0.55, 0.7, 0.6),
            "train_loss": (1.1, 0.8, 0.5, 0.3),
            "val_loss": (1.1, 0.7, 0.9, float("nan")),
        },
        best_epoch=3,
        splits={"training": np.array([0, 0, 0, 1, 1, 2]), "validation": np.array([0, 1, 2])},
        subject="trial 4, retrained",
    )


def plane(**given):
    points = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32)
    return diagnose(
        np.array([0, 1, 0, 1]), points[:, 0] * 0.8 + 0.1, ("left", "right"), points,
        grid_probabilities=boundary_grid(points)[:, :1] > 0.5, **given,
    )  # fmt: skip


def drawn(diagnosis):
    return [chart for section in sections(diagnosis) for chart in section.charts]


def test_predictions_are_keras_ones_the_first_of_equals_and_class_one_only_above_one_half():
    assert diagnose([0, 1], [[0.4, 0.4, 0.2], [0, 0.5, 0.5]], ANIMALS).predicted.tolist() == [0, 1]
    for shape in ((4,), (4, 1)):
        one_unit = np.array([0.5, 0.50001, 0.2, 1.0]).reshape(shape)
        diagnosis = diagnose([0, 1, 0, 0], one_unit, ("no", "yes"))
        assert diagnosis.predicted.tolist() == [0, 1, 0, 1]
        assert diagnosis.confidence == pytest.approx([0.5, 0.50001, 0.8, 1.0])


def test_mean_confidence_is_told_apart_for_right_and_wrong_predictions():
    diagnosis = small()
    assert diagnosis.confidence_right == pytest.approx((0.9 + 0.8 + 0.7 + 0.5) / 4)
    assert diagnosis.confidence_wrong == pytest.approx((0.6 + 0.95) / 2)
    assert diagnose([0, 1], np.eye(2), ("a", "b")).confidence_wrong is None


def test_samples_are_the_surest_wrong_predictions_and_right_ones_from_the_surest_to_the_least_sure():
    confidence = np.linspace(0.5, 0.99, 60).round(3)
    labels, shares = predictions(np.arange(60) % 2, np.zeros(60, int), confidence, classes=2)
    diagnosis = diagnose(labels, shares, ("a", "b"), np.arange(120).reshape(60, 2))
    assert diagnosis.wrong.rows.tolist() == list(range(59, 35, -2))
    assert len(diagnosis.right.rows) == 12
    assert diagnosis.right.rows[[0, -1]].tolist() == [58, 0]
    assert np.array_equal(diagnosis.wrong.inputs[0], [118, 119])
    same = diagnose(np.zeros(5, int), np.full((5, 2), 0.5), ("a", "b"))
    assert same.right.rows.tolist() == [0, 1, 2, 3, 4]


def test_weights_are_summed_up_array_by_array():
    diagnosis = full()
    kernel, bias, *_ = diagnosis.layers
    assert (kernel.layer, kernel.name, kernel.shape, kernel.count) == ("conv", "kernel", (3, 3, 3, 8), 216)
    assert (bias.mean, bias.deviation) == (0, 0)
    rows = {row[0]: row for row in weight_table(diagnosis).rows}
    assert rows["conv"] == ("conv", "224", f"{kernel.mean:+.4f} ± {kernel.deviation:.4f}", "+0.0000 ± 0.0000")
    assert rows["norm"] == ("norm", "8", "", "")
    assert rows["all"][1] == "448"


def test_the_model_is_summed_up_layer_by_layer_those_without_weights_too():
    table = model_table(full())
    assert table.rows == (
        ("conv", "Conv2D 3 x 3 same", "4 x 5 x 8", "224"),
        ("drop", "Dropout 0.3", "4 x 5 x 8", "0"),
        ("all", "", "", "224"),
    )
    assert "The model" in [one.title for section in sections(full()) for one in section.tables]
    assert model_table(small()) is None


def test_filters_of_a_convolution_and_units_that_see_whole_images_are_shown_as_images():
    kernel = np.arange(3 * 3 * 1 * 2.0).reshape(3, 3, 1, 2)
    first = small(weights=[("c", "kernel", kernel)]).first_weights
    assert np.array_equal(first.images, [kernel[..., 0, 0], kernel[..., 0, 1]])
    dense = np.arange(20 * 100.0).reshape(20, 100)
    first = small(inputs=np.zeros((6, 4, 5)), weights=[("d", "kernel", dense)]).first_weights
    assert first.units == 100
    assert first.shown.tolist() == list(range(99, 35, -1)), "the 64 with the largest norm"
    assert np.array_equal(first.images[0], dense[:, 99].reshape(4, 5))


def test_feature_maps_are_of_the_image_as_the_layer_is_given_it(tmp_path):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (6, 9, 7, 3), dtype=np.uint8)
    kernel = generator.normal(size=(3, 3, 3, 8)).astype(np.float32)
    scale, offset = np.array([0.1, 0.2, 0.3]), np.array([-5.0, 0.0, 5.0])
    given = {"scale": scale.tolist(), "offset": offset.tolist()}
    diagnosis = small(inputs=images, weights=[("conv", "kernel", kernel)], **given)
    expected = convolved(diagnosis.right.inputs[0] * scale + offset, np.moveaxis(kernel, -1, 0))
    write(diagnosis, tmp_path / "d.npz")
    for one in (diagnosis, read(tmp_path / "d.npz")):
        drawn = [image.get_array() for image in feature_maps(one).figure.axes[0].images]
        np.testing.assert_allclose(drawn, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("images", "kernel"),
    [((9, 7), (3, 3, 3, 8)), ((9, 7, 3), (3, 3, 1, 8)), ((9, 7, 3), (11, 11, 3, 8)), ((9, 7), (3, 9, 1, 2))],
)
def test_there_are_no_feature_maps_where_the_kernels_do_not_see_the_image_itself(images, kernel):
    assert feature_maps(small(inputs=np.ones((6, *images)), weights=[("conv", "kernel", np.ones(kernel))])) is None


@pytest.mark.parametrize("shape", [(3, 3, 4, 2), (3, 3, 2), (7, 5)])
def test_weights_that_are_no_images_are_not_shown_as_images(shape):
    diagnosis = small(inputs=np.zeros((6, 7)), weights=[("layer", "kernel", np.ones(shape))])
    assert diagnosis.first_weights is None
    assert first_weights(diagnosis) is None


def test_a_boundary_has_the_first_input_across_and_the_second_upwards():
    boundary = plane().boundary
    assert boundary.x[[0, -1]] == pytest.approx([-0.05, 1.05])
    assert boundary.predicted.shape == (120, 120)
    assert set(boundary.predicted[:, 0]) == {0}
    assert set(boundary.predicted[:, -1]) == {1}
    assert "left on 50% and right on 50% of it; 4 of 4 test examples lie" in decision_boundary(plane()).alternative


def test_a_boundary_has_the_names_of_the_inputs_at_its_axes():
    for names, told in (((), ("first input", "second input")), (("width", "price in $"), ("width", r"price in \$"))):
        axes = decision_boundary(plane(input_names=names)).figure.axes[0]
        assert (axes.get_xlabel(), axes.get_ylabel()) == told


def test_a_few_lines_say_what_matters():
    lines = [*score_lines(full()), *training_lines(full())]
    assert lines[0] == "Accuracy 66.67% on 6 test examples; weighted F1 0.6556, macro F1 0.6556."
    assert lines[1] == "Worst class: cat, F1 0.5000 (precision 0.5000, recall 0.5000, 2 examples)."
    assert lines[2] == "Most confused: cat taken for dog (once, 50.0% of that class)."
    assert lines[3].startswith(
        "Mean confidence: 72.5% where it is right and 77.5% where it is wrong; on average it is "
    )
    assert lines[4].startswith("The validation loss diverges")
    assert lines[5] == "Training and validation accuracy cannot be told apart (10.00 points ± 26.84 points at epoch 3)."
    assert training_lines(small()) == []


def test_where_every_prediction_is_right_no_class_is_the_worst():
    assert score_lines(diagnose([0, 1], np.eye(2), ("a", "b")))[1] == "No example was taken for another class."


def test_validation_ahead_of_training_is_laid_to_how_training_accuracy_is_taken():
    ahead = small(history={"train_accuracy": [0.6], "val_accuracy": [0.9]})
    assert training_lines(ahead) == [
        "Validation accuracy is above training accuracy by 30.00 points at epoch 1: the latter is taken over an epoch, "
        "while weights change and dropout and augmentation, if any, work."
    ]


def test_the_table_of_classes_has_their_rows_in_each_split_and_the_averages():
    table = class_table(full())
    assert table.header == ("class", "precision", "recall", "F1", "training rows", "validation rows", "test rows")
    assert table.rows[0] == ("cat", "0.5000", "0.5000", "0.5000", "3", "1", "2")
    assert table.rows[-1] == ("weighted by rows", "0.7222", "0.6667", "0.6556", "6", "3", "6")
    assert table.note == "In the training split the largest class (cat) has 3.0 times the rows of the smallest (owl)."
    assert pair_table(full()).rows[1] == ("owl", "cat", "1", "50.0%")


def test_the_table_of_epochs_has_the_best_ones_the_one_that_was_kept_and_the_last():
    rows = epoch_table(full()).rows
    assert rows[0] == ("lowest validation loss", "2", "60.00%", "55.00%", "0.8000", "0.7000")
    assert rows[1] == ("highest validation accuracy and weights kept", "3", "80.00%", "70.00%", "0.5000", "0.9000")
    assert rows[2] == ("last", "4", "90.00%", "60.00%", "0.3000", "")


def test_many_layers_and_classes_are_cut_and_say_so():
    layers = [(f"layer{number}", "kernel", np.ones(2)) for number in range(100)]
    table = weight_table(small(weights=layers))
    assert len(table.rows) == 42
    assert table.rows[20][0] == "60 more layers"
    table = class_table(diagnose(np.arange(300), np.eye(300), [str(name) for name in range(300)]))
    assert len(table.rows) == 102
    assert "The 100 of 300 classes with the lowest F1." in table.note


@pytest.mark.parametrize("make", [small, full, plane, partial(plane, input_names=("width", "height"))])
def test_a_diagnosis_reads_back_as_it_was_written(make, tmp_path):
    path = tmp_path / "diagnosis.npz"
    diagnosis = make()
    write(diagnosis, path)
    np.testing.assert_equal(asdict(read(path)), asdict(diagnosis))
    assert [file.name for file in tmp_path.iterdir()] == ["diagnosis.npz"]


def test_what_is_rounded_for_the_file_does_not_change_a_prediction(tmp_path):
    write(diagnose([1], [[0.49999, 0.50001]], ("a", "b")), tmp_path / "d.npz")
    again = read(tmp_path / "d.npz")
    assert again.probabilities.tolist() == [[0.5, 0.5]]
    assert again.predicted.tolist() == [1]
    assert again.accuracy == 1


def damage(path, kind):
    content = path.read_bytes()
    if kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "flipped":
        middle = len(content) // 3
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
    elif kind == "text":
        path.write_text("# Not this one")
    elif kind == "pickle":
        np.savez(path, about=np.array([{"format": "toprung diagnosis 1"}], dtype=object))
    elif kind == "foreign":
        np.savez(path, x_train=np.zeros(3))
    elif kind == "newer":
        np.savez(path, about=np.array('{"format": "toprung diagnosis 2"}'))
    elif kind == "inconsistent":
        with np.load(path) as file:
            np.savez(
                path, **{name: file[name] for name in file.files} | {"labels": np.array([0, 1, 7, 0, 0, 0], np.int32)}
            )


@pytest.mark.parametrize("kind", ["cut", "flipped", "text", "pickle", "foreign", "newer", "inconsistent"])
def test_a_damaged_or_foreign_file_is_one_error_that_names_it(kind, tmp_path):
    path = tmp_path / "diagnosis.npz"
    write(full(), path)
    damage(path, kind)
    with pytest.raises(ReportError, match=r"diagnosis\.npz: damaged, or no diagnosis \(.+\)") as refusal:
        read(path)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_there_or_cannot_be_written_is_one_error(tmp_path):
    with pytest.raises(ReportError, match=r"none\.npz: cannot be read: No such file"):
        read(tmp_path / "none.npz")
    with pytest.raises(ReportError, match=r"d\.npz: cannot be written: No such file"):
        write(small(), tmp_path / "missing" / "d.npz")
    (tmp_path / "d.npz").mkdir()
    with pytest.raises(ReportError, match=r"d\.npz: cannot be written"):
        write(small(), tmp_path / "d.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["d.npz"]


@pytest.mark.parametrize(
    ("changes", "law"),
    [
        ({"probabilities": np.ones((2, 3)) * 4}, "probabilities must be from 0 to 1 .*softmax"),
        ({"probabilities": [[np.nan, 0, 1], [0, 0, 1]]}, "probabilities must be from 0 to 1"),
        ({"probabilities": np.ones((2, 2)) / 2}, r"probabilities must have shape \(2, 3\)"),
        ({"probabilities": np.zeros((0, 3))}, r"probabilities must have shape \(n, classes\)"),
        ({"labels": [0, 3]}, "labels must be from 0 to 2"),
        ({"labels": [0]}, r"labels must have shape \(2,\)"),
        ({"inputs": np.zeros((3, 4))}, "inputs must have a row a label"),
        ({"best_epoch": 0}, "best_epoch must be at least 1"),
        ({"splits": {"training": np.array([0, 5])}}, "splits must count each of the 3 classes"),
        ({"inputs": np.zeros((2, 3)), "grid_probabilities": np.eye(3)}, "grid_probabilities must be"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(changes, law):
    given = {"labels": [0, 1], "probabilities": [[1, 0, 0], [0, 1, 0]], "class_names": ANIMALS}
    with pytest.raises(ValueError, match=law):
        diagnose(**given | changes)


def test_every_picture_says_in_words_what_it_shows_with_the_numbers():
    words = {chart.title: chart.alternative for chart in drawn(full())}
    assert len(words) == 9
    assert "cat" in words["An example of each class"]
    assert "by 8 kernels of conv: maps of " in words["Feature maps of the first layer"]
    assert (
        "4 of 6 test examples in 3 classes are right. Right by class: cat 1 of 2, dog 2 of 2"
        in words["Confusion matrix"]
    )
    assert "dog 0.800 (0.667, 1.000)" in words["Scores by class"]
    assert "100% right (1 row)" in words["What confidence is worth"]
    assert "validation accuracy from 40.00% to 60.00%" in words["Learning curves"]
    assert "validation accuracy at epoch 3 and validation loss at epoch 2" in words["Learning curves"]
    assert "owl taken for cat (95.0%); cat taken for dog (60.0%)" in wrong_samples(full()).alternative
    assert "cat (90.0%)" in right_samples(full()).alternative
    assert "Weights of conv, all 8 kernels, as images of 3 x 3" in words["Weights of the first layer"]


def test_pictures_are_well_formed_svg_without_script_and_the_same_each_time():
    for first, second in zip(drawn(full()), drawn(full()), strict=True):
        svg = first.svg()
        ElementTree.fromstring(svg)
        assert "<script" not in svg
        assert not re.search(r"(href|src)=\"(?!#|data:image/png;base64,)", svg)
        assert svg == second.svg()


def test_what_there_is_nothing_to_show_of_is_left_out():
    bare = small()
    assert [chart.title for chart in drawn(bare)] == ["Confusion matrix", "What confidence is worth", "Scores by class"]
    left_out = (training_curves, decision_boundary, first_weights, right_samples, wrong_samples)
    assert [draw(bare) for draw in left_out] == [None] * len(left_out)
    assert [section.title for section in sections(bare)] == ["Predictions on the test split", "Samples"]


def test_samples_that_are_no_images_stand_in_a_table():
    wrong, right = sections(small(inputs=np.zeros((6, 7))))[1].tables
    assert wrong.rows == (("owl", "cat", "95.0%", "4"), ("cat", "dog", "60.0%", "1"))
    assert right.rows[0] == ("cat", "cat", "90.0%", "0")


@pytest.mark.parametrize("shape", [(6, 8, 8), (6, 8, 3, 1), (6, 3, 8, 4), (6, 300, 200, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_of_every_kind_are_shown(shape, dtype):
    images = np.linspace(0, 200, np.prod(shape)).reshape(shape).astype(dtype)
    svg = wrong_samples(small(inputs=images)).svg()
    assert 1_000 < len(svg) < 400_000


def test_captions_of_samples_do_not_touch():
    names, wrong = ("automobile", "truck"), [0] * 12
    labels, shares = predictions([1] * 12, wrong, np.full(12, 0.8642), classes=2)
    chart = wrong_samples(diagnose(labels, shares, names, np.zeros((12, 32, 32, 3), np.uint8)))
    chart.svg()
    (axes,) = chart.figure.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 12
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    pictures = [Bbox([image.get_extent()[::2], image.get_extent()[1::2]]) for image in axes.images]
    assert not any(box.overlaps(axes.transData.transform_bbox(one)) for box in boxes for one in pictures)


def test_a_hundred_classes_make_pictures_of_moderate_size():
    labels = np.arange(1000) % 100
    shares = np.random.default_rng(0).random((1000, 100)) * 0.5
    shares[np.arange(1000), labels] += 0.4
    diagnosis = diagnose(labels, shares, [f"class number {label}" for label in range(100)])
    assert "The 12 classes with the lowest recall" in confusion(diagnosis).alternative
    assert class_bars(diagnosis).title == "The 30 classes with the lowest F1"
    assert sum(len(draw(diagnosis).svg()) for draw in (confusion, class_bars, reliability)) < 600_000


def test_names_of_classes_are_no_formulas_and_may_be_in_any_script():
    names = ("$\\frac{$ a very long name of a class", "\u732b", "a\x1b[2J\n")
    for draw in (confusion, class_bars):
        chart = draw(replace(small(), class_names=names))
        ElementTree.fromstring(chart.svg())
        assert "\x1b" not in chart.alternative
