"""A diagnosis as sections of a report: sentences, tables and charts in the order in which one reads them."""

from __future__ import annotations

from reports.diagnosis import charts, pictures, tables
from reports.diagnosis.values import Diagnosis
from reports.sections import Section, there


def sections(diagnosis: Diagnosis) -> list[Section]:
    """The parts for which the diagnosis has something to show."""
    made = (_predictions(diagnosis), _samples(diagnosis), _training(diagnosis), _weights(diagnosis))
    return [section for section in made if not section.is_empty]


def _predictions(diagnosis: Diagnosis) -> Section:
    drawn = there(
        charts.confusion(diagnosis),
        charts.reliability(diagnosis),
        charts.class_bars(diagnosis),
        charts.decision_boundary(diagnosis),
    )
    shown = there(tables.class_table(diagnosis), tables.pair_table(diagnosis))
    return Section("Predictions on the test split", tuple(tables.score_lines(diagnosis)), drawn, shown)


def _samples(diagnosis: Diagnosis) -> Section:
    if pictures.is_image(diagnosis.right.inputs) or pictures.is_image(diagnosis.wrong.inputs):
        drawn = there(
            pictures.wrong_samples(diagnosis),
            pictures.right_samples(diagnosis),
            pictures.class_examples(diagnosis),
        )
        return Section("Samples", charts=drawn)
    wrong = tables.sample_table(diagnosis, "Wrong, the surest first", diagnosis.wrong)
    right = tables.sample_table(diagnosis, "Right, from the surest to the least sure", diagnosis.right)
    return Section("Samples", tables=there(wrong, right))


def _training(diagnosis: Diagnosis) -> Section:
    drawn, table = there(charts.training_curves(diagnosis)), there(tables.epoch_table(diagnosis))
    return Section("Training", tuple(tables.training_lines(diagnosis)), drawn, table)


def _weights(diagnosis: Diagnosis) -> Section:
    drawn = there(pictures.first_weights(diagnosis), pictures.feature_maps(diagnosis))
    shown = there(tables.model_table(diagnosis), tables.weight_table(diagnosis))
    return Section("Weights", charts=drawn, tables=shown)
