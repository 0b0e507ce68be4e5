"""A diagnosis as sections of a report: sentences, tables and charts in the order in which one reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from reports.diagnosis import charts, pictures, tables
from reports.diagnosis.values import Diagnosis
from reports.sections import Section

Item = TypeVar("Item")


def sections(diagnosis: Diagnosis) -> list[Section]:
    """The parts for which the diagnosis has something to show."""
    made = (_predictions(diagnosis), _samples(diagnosis), _training(diagnosis), _weights(diagnosis))
    return [one for one in made if one.sentences or one.charts or one.tables]


def _predictions(diagnosis: Diagnosis) -> Section:
    drawn = (
        charts.confusion(diagnosis),
        charts.reliability(diagnosis),
        charts.class_bars(diagnosis),
        charts.decision_boundary(diagnosis),
    )
    shown = _there((tables.class_table(diagnosis), tables.pair_table(diagnosis)))
    return Section("Predictions on the test split", tuple(tables.score_lines(diagnosis)), _there(drawn), shown)


def _samples(diagnosis: Diagnosis) -> Section:
    if pictures.is_image(diagnosis.right.inputs) or pictures.is_image(diagnosis.wrong.inputs):
        drawn = (
            pictures.wrong_samples(diagnosis),
            pictures.right_samples(diagnosis),
            pictures.class_examples(diagnosis),
        )
        return Section("Samples", charts=_there(drawn))
    wrong = tables.sample_table(diagnosis, "Wrong, the surest first", diagnosis.wrong)
    right = tables.sample_table(diagnosis, "Right, from the surest to the least sure", diagnosis.right)
    return Section("Samples", tables=_there((wrong, right)))


def _training(diagnosis: Diagnosis) -> Section:
    drawn, table = _there((charts.training_curves(diagnosis),)), _there((tables.epoch_table(diagnosis),))
    return Section("Training", tuple(tables.training_lines(diagnosis)), drawn, table)


def _weights(diagnosis: Diagnosis) -> Section:
    drawn = _there((pictures.first_weights(diagnosis), pictures.feature_maps(diagnosis)))
    shown = _there((tables.model_table(diagnosis), tables.weight_table(diagnosis)))
    return Section("Weights", charts=drawn, tables=shown)


def _there(items: Iterable[Item | None]) -> tuple[Item, ...]:
    return tuple(item for item in items if item is not None)
