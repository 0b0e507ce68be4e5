from dataclasses import asdict

import numpy as np
import pytest

from reports.diagnosis.scores import calibration, class_scores, confused_pairs, confusion_matrix


def test_scores_are_those_of_scikit_learn_also_of_classes_never_predicted_and_never_seen():
    from sklearn.metrics import confusion_matrix as sklearn_matrix
    from sklearn.metrics import precision_recall_fscore_support

    generator = np.random.default_rng(1)
    labels, predicted = generator.integers(0, 5, 200), generator.integers(0, 4, 200)
    matrix = confusion_matrix(labels, predicted, classes=6)
    assert np.array_equal(matrix, sklearn_matrix(labels, predicted, labels=range(6)))
    scores = class_scores(matrix)
    expected = precision_recall_fscore_support(labels, predicted, labels=range(6), zero_division=0)
    for found, right in zip((scores.precision, scores.recall, scores.f1, scores.support), expected, strict=True):
        assert found == pytest.approx(right)
    for name in ("macro", "weighted"):
        average = precision_recall_fscore_support(labels, predicted, labels=range(6), zero_division=0, average=name)
        assert tuple(asdict(getattr(scores, name)).values()) == pytest.approx(average[:3])
    assert scores.worst == 4


def test_the_most_confused_pairs_come_first_and_say_their_share_of_the_true_class():
    matrix = np.array([[5, 3, 0], [1, 8, 3], [0, 0, 4]])
    pairs = [(pair.true, pair.predicted, pair.count, pair.share) for pair in confused_pairs(matrix, 2)]
    assert pairs == [(0, 1, 3, 3 / 8), (1, 2, 3, 3 / 12)]
    assert confused_pairs(np.eye(3, dtype=int), 5) == []


def test_the_calibration_error_is_the_weighted_difference_of_confidence_and_accuracy_worked_by_hand():
    found = calibration(np.array([0.5, 0.45, 0.9, 1.0]), np.array([True, False, True, True]), bins=2)
    # (0, 0.5]: mean confidence 0.475, accuracy 0.5; (0.5, 1]: 0.95 and 1. Half of 0.025 and half of 0.05.
    assert found.rows.tolist() == [2, 2]
    assert found.confidence == pytest.approx([0.475, 0.95])
    assert found.error == pytest.approx(0.0375)
    assert np.isnan(calibration(np.array([0.9]), np.array([True]), bins=2).accuracy[0])
