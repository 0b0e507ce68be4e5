import pytest

from reports.diagnosis import diagnose
from reports.diagnosis.convergence import accuracy_gap, convergence
from reports.diagnosis.tables import TRENDS, training_lines


@pytest.mark.parametrize(
    ("trend", "losses"),
    [
        ("falling", [1 / epoch for epoch in range(1, 11)]),
        ("falling", [0.9, 0.8, 0.7, 0.6]),
        ("converged", [1.0, 0.6, 0.4, 0.31, 0.3, 0.3, 0.301, 0.299, 0.3, 0.302, 0.3]),
        ("converged", [1e-5, 3e-5, 2e-5, 9e-5]),
        ("converged", [0.0, 0.0, 0.0, 0.0]),
        ("overfit", [1.0, 0.5, 0.4, 0.45, 0.5, 0.55, 0.6, 0.62, 0.65, 0.7]),
        ("overfit", [1.0, 0.4, 0.4, 0.7, 0.8, 0.9, 0.88, 0.86, 0.84, 0.82]),
        ("diverging", [1.0, 0.5, 0.5, float("nan")]),
        ("diverging", [1.0, 0.5, 0.5, float("inf")]),
    ],
)
def test_a_loss_falls_has_converged_rose_again_or_diverges(trend, losses):
    train = [1 / epoch for epoch in range(1, len(losses) + 1)]
    history = {"val_loss": losses, "train_loss": train}
    assert convergence(history).trend == trend
    diagnosis = diagnose([0, 1], [[1, 0], [0, 1]], ("cat", "dog"), history=history)
    assert TRENDS[trend] in training_lines(diagnosis)[0]


def test_a_rising_validation_loss_is_no_overfitting_where_the_training_loss_rises_too():
    rising = (1.0, 0.5, 0.8, 0.9)
    assert convergence({"val_loss": rising, "train_loss": rising}).trend == "diverging"
    assert convergence({"train_loss": rising}).trend == "diverging"


def test_a_training_loss_that_falls_in_leaps_while_that_of_validation_rises_is_overfitting():
    validation = (0.5, 0.3, 0.2, 0.22, 0.25, 0.28, 0.3, 0.31)
    leaping = (0.8, 0.3, 0.105, 0.05, 0.09, 0.06, 0.09, 0.08)  # ends above its lowest, below what it was at epoch 3
    assert convergence({"val_loss": validation, "train_loss": leaping}).trend == "overfit"
    assert convergence({"val_loss": validation}).trend == "overfit"


def test_a_finite_loss_is_not_called_infinite_where_its_lowest_value_is_0():
    diagnosis = diagnose([0, 1], [[1, 0], [0, 1]], ("cat", "dog"), history={"train_loss": (0.5, 0.0, 0.2, 0.3)})
    assert training_lines(diagnosis) == ["The training loss diverges: the learning rate may be too high."]


def test_a_short_training_has_no_verdict():
    assert convergence({"val_loss": (1.0, 0.9, 0.8)}) is None
    assert convergence({}) is None


@pytest.mark.parametrize(
    ("train", "validation", "rows", "size"),
    [
        (0.90, 0.89, (100, 100), "none"),
        (0.93, 0.90, (9000, 9000), "small"),
        (0.97, 0.90, (9000, 9000), "moderate"),
        (0.99, 0.85, (9000, 9000), "large"),
        (0.80, 0.90, (9000, 9000), "reversed"),
        (0.99, 0.85, None, "large"),
    ],
)
def test_the_gap_between_training_and_validation_is_judged_by_its_size_and_its_error(train, validation, rows, size):
    history = {"train_accuracy": (0.1, train, 0.2), "val_accuracy": (0.1, validation, 0.2)}
    gap = accuracy_gap(history, 2, rows)
    assert gap.size == size
    assert gap.value == pytest.approx(train - validation)
    assert accuracy_gap({"train_accuracy": (0.9,)}, None, rows) is None
