"""Studies of other programs brought into a store as finished trials: Optuna's, and Keras Tuner's projects."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from spaces.errors import shown
from studies.errors import StudyError
from studies.files import NAME_LAW, is_name
from studies.quiet import quiet
from studies.records import Direction
from studies.store import Store
from studies.store.faults import explained

_STATES = {"COMPLETED": TrialState.COMPLETE, "INVALID": TrialState.FAIL, "FAILED": TrialState.FAIL}
_DIRECTIONS: dict[str, Direction] = {"max": "maximize", "min": "minimize"}


@dataclass(frozen=True)
class ForeignStudy:
    """What a study of another program comes to here.

    Attributes:
        name: What it is called here.
        direction: Of the monitor.
        monitor: What the values measure; None where nobody says.
        trials: By number; those that have not finished hold their places.
    Raises:
        StudyError: The name is none.
    """

    name: str
    direction: Direction
    monitor: str | None
    trials: Sequence[FrozenTrial]

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise StudyError(f"name: {NAME_LAW} (came {shown(self.name)})")

    def add_to(self, store: Store) -> int:
        """Write it into a store.

        Returns:
            How many finished trials there are.
        Raises:
            StudyError: The store has a study of that name.
        """
        if self.name in store.names():
            raise StudyError(f'the study "{self.name}" is in the store already; choose another name')
        with explained(self.name), quiet():
            study = optuna.create_study(storage=store.storage, study_name=self.name, direction=self.direction)
            if self.monitor is not None:
                study.set_user_attr("monitor", self.monitor)
            study.add_trials(self.trials)
        return sum(trial.state.is_finished() for trial in self.trials)


def read_optuna(name: str, source: optuna.Study) -> ForeignStudy:
    """The finished trials of an Optuna study, with their numbers.

    Args:
        name: What it is called here.
        source: With one objective.
    Raises:
        StudyError: It is no name, or the source has several objectives.
    """
    if len(source.directions) > 1:
        raise StudyError(f"{source.study_name}: has {len(source.directions)} objectives; one is needed")
    metrics = source.metric_names
    direction: Direction = "maximize" if source.direction.name == "MAXIMIZE" else "minimize"
    # One that has not begun keeps the number of each that has not finished, and is shown nowhere.
    not_begun = optuna.trial.create_trial(state=TrialState.WAITING)
    trials = [trial if trial.state.is_finished() else not_begun for trial in source.get_trials()]
    return ForeignStudy(name, direction, metrics[0] if metrics else None, trials)


@contextmanager
def open_optuna(url: str) -> Iterator[optuna.Study]:
    """The study at "DATABASE-URL#NAME", or the only one of a database; for reading.

    Raises:
        StudyError: There is no such study, or the name is needed.
    """
    address, _, name = url.partition("#")
    with Store.open(address, create=False, read_only=True) as store:
        names = store.names()
        if not name and len(names) != 1:
            raise StudyError(f"{address}: holds {len(names)} studies; add one's name: {address}#NAME")
        yield store.optuna(name or names[0])


def read_keras_tuner(name: str, project: Path) -> ForeignStudy:
    """The finished trials of a Keras Tuner project, a folder with trial_*/trial.json.

    A trial's value is its score, under the name of the metric that the tuner's objective was. Fixed values and what
    the tuner itself noted are user attributes.

    Args:
        name: What it is called here.
        project: The folder.
    Raises:
        StudyError: It is no name, or the folder is no such project.
    """
    finished = [state for path in sorted(project.glob("trial_*/trial.json")) if (state := _finished(path))]
    if not finished:
        raise StudyError(f"{project}: has no finished trial in trial_*/trial.json; give a tuner's project folder")
    with _of_keras_tuner(project):
        monitor, direction = _objective(finished, project)
        trials = [_trial(state, monitor) for state in finished]
    return ForeignStudy(name, direction, monitor, trials)


def _finished(path: Path) -> dict[str, Any] | None:
    with _of_keras_tuner(path):
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return state if state["status"] in _STATES else None


@contextmanager
def _of_keras_tuner(path: Path) -> Iterator[None]:
    """Tell of a file, or of a project's, that is not as Keras Tuner writes it."""
    try:
        yield
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StudyError(f"{path}: is not as Keras Tuner writes it ({type(error).__name__}: {error})") from error


def _objective(states: list[dict[str, Any]], project: Path) -> tuple[str, Direction]:
    """The metric whose best value is the score of every trial, and its direction; Keras Tuner writes neither down."""
    scored = [state for state in states if state["score"] is not None]
    metrics = scored[0]["metrics"]["metrics"] if scored else {}
    names = [name for name in metrics if all(_is_score(state, name) for state in scored)]
    if not names:
        raise StudyError(f"{project}: no metric of its trials is their score")
    name = min(names, key=lambda one: not one.startswith("val_"))
    return name, _DIRECTIONS[metrics[name]["direction"]]


def _is_score(state: Mapping[str, Any], metric: str) -> bool:
    values = [value for _, value in _curve(state, metric)]
    return any(math.isclose(value, state["score"], rel_tol=1e-9) for value in values)


def _curve(state: Mapping[str, Any], metric: str) -> Iterator[tuple[int, float]]:
    """The steps at which a metric was observed, and its means there."""
    for seen in state["metrics"]["metrics"].get(metric, {}).get("observations", ()):
        yield seen["step"], sum(seen["value"]) / len(seen["value"])


def _trial(state: Mapping[str, Any], monitor: str) -> FrozenTrial:
    config, outcome = state["hyperparameters"], _STATES[state["status"]]
    values, score = config["values"], state["score"]
    kinds = {one["config"]["name"]: one for one in reversed(config["space"])}
    drawn: dict[str, BaseDistribution] = {}
    for name in values:
        if (kind := _distribution(kinds.get(name), values[name])) is not None:
            drawn[name] = kind
    if outcome == TrialState.COMPLETE and (score is None or not math.isfinite(score)):
        outcome = TrialState.FAIL
    return optuna.trial.create_trial(
        state=outcome,
        value=score if outcome == TrialState.COMPLETE else None,
        params={name: values[name] for name in drawn},
        distributions=drawn,
        user_attrs={name: value for name, value in values.items() if name not in drawn} | _noted(state),
        intermediate_values=dict(_curve(state, monitor)),
    )


def _noted(state: Mapping[str, Any]) -> dict[str, Any]:
    """The other metrics, and where the trial came from."""
    means = {name: next((value for _, value in _curve(state, name)), None) for name in state["metrics"]["metrics"]}
    return means | {"keras_tuner_trial": state["trial_id"]}


def _distribution(described: Mapping[str, Any] | None, value: Any) -> BaseDistribution | None:
    """What a value was drawn from, wide enough for the value; None for what was fixed or is the tuner's own."""
    if described is None or described["class_name"] == "Fixed":
        return None
    kind, config = described["class_name"], described["config"]
    if kind == "Boolean":
        return CategoricalDistribution((True, False))
    if kind == "Choice":
        return CategoricalDistribution(tuple(dict.fromkeys([*config["values"], value])))
    low, high = min(config["min_value"], value), max(config["max_value"], value)
    log = config["sampling"] == "log" and low > 0
    return IntDistribution(low, high, log=log) if kind == "Int" else FloatDistribution(low, high, log=log)
