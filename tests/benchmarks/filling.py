"""Stores with as many trials as a benchmark asks for, written by the store's own code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sqlalchemy.orm import Session

from spaces.parameters import Params, Scalar
from spaces.sampling import suggest
from studies.history import system_attributes, user_attributes
from studies.ladder import Ladder
from studies.plan import LoadedStudy, fingerprint, load_study
from studies.records import TrialRecord, TrialState
from studies.sampler import distributions
from studies.store import OpenStudy, Store, sqlite_url

EPOCHS = 30
_BLOCK = 500  # trials a transaction: a commit for each change would take minutes

# How trials stand, one of ten after the other; a search by promotion leaves most of them paused.
_STATES: Sequence[TrialState] = (
    "complete", "paused", "pruned", "paused", "failed", "paused", "complete", "paused", "pruned", "paused",
)  # fmt: skip
_EPOCHS: dict[TrialState, int] = {"complete": EPOCHS, "paused": 27, "pruned": 27, "failed": 29}

Answer = TypeVar("Answer")


def study_of(trials: int) -> LoadedStudy:
    """The `digits` study of the catalog with rungs at 1, 3, 9, 27 and 30 epochs, and one trial more for each asked."""
    return load_study("digits", [f"hyperband.max_resource={EPOCHS}", f"budget.trials={2 * trials}", "enqueue=[]"])


def begun(store: Store, loaded: LoadedStudy) -> OpenStudy:
    """The study in the store, made or resumed."""
    plan, space = loaded.plan, loaded.space
    data = {"hash": "0" * 64, "n_train": 1149, "n_validation": 288, "classes": [str(digit) for digit in range(10)]}
    about = {
        "monitor": plan.objective.monitor,
        "plan": plan.model_dump(mode="json"),
        "space": space.model_dump(mode="json"),
        "data": data,
    }
    return store.begin(plan.name, plan.objective.direction, fingerprint(plan, space), about)


def fill(out: Path, trials: int) -> LoadedStudy:
    """Make `out/studies.db` with one study of so many trials, each with about thirty epochs.

    Hyperband would have stopped most of them after an epoch or three: this is ten times the work of reading a real
    study of as many trials. They stand at their highest rungs, half of them paused there.
    """
    loaded = study_of(trials)
    rng = np.random.default_rng(0)
    with Store.open(sqlite_url(out.absolute() / "studies.db")) as store, begun(store, loaded) as study:
        for start in range(0, trials, _BLOCK):
            with _one_transaction(study):
                for number in range(start, min(start + _BLOCK, trials)):
                    _add(study, loaded, _record(number, loaded, rng))
    return loaded


@contextmanager
def _one_transaction(study: OpenStudy) -> Iterator[None]:
    """Let all changes of a block be one transaction instead of one each."""
    access = study._access
    with Session(access.engine) as session, session.begin():
        study._access = _Within(session)  # type: ignore[assignment]
        try:
            yield
        finally:
            study._access = access


class _Within:
    def __init__(self, session: Session) -> None:
        self._session = session

    def write(self, change: Callable[[Session, bool], Answer]) -> Answer:
        answer = change(self._session, False)
        self._session.flush()
        return answer


def _add(study: OpenStudy, loaded: LoadedStudy, record: TrialRecord) -> None:
    (number,) = study.commit(
        [study.creation(record.params, distributions(loaded.space, record.params), record.bracket)]
    )
    values = dict(enumerate(record.history[loaded.plan.objective.monitor], start=1))
    attributes = user_attributes(record), system_attributes(record)
    study.commit([study.writing(number, values, *attributes, record.state, record.value)])


def _record(number: int, loaded: LoadedStudy, rng: np.random.Generator) -> TrialRecord:
    """A trial with plausible learning curves."""
    state, ladder = _STATES[number % len(_STATES)], loaded.plan.hyperband.ladder
    history = _history(_EPOCHS[state], rng)
    curve = history["val_accuracy"]
    best = int(np.argmax(curve))
    return TrialRecord(
        number=number,
        state=state,
        params=_params(loaded, rng),
        bracket=ladder.bracket_of(number),
        epochs=len(curve),
        value=curve[best],
        best_epoch=best + 1,
        metrics={name: values[best] for name, values in history.items()},
        history=history,
        rungs=_rungs(curve, ladder, ladder.bracket_of(number)),
        weights=int(rng.integers(5_000, 200_000)),
        seconds=float(rng.uniform(1, 20)),
        reason={"pruned": "stopped after 27 epochs: outranked at its rung", "failed": "val_loss is nan"}.get(state),
    )


def _params(loaded: LoadedStudy, rng: np.random.Generator) -> Params:
    return suggest(loaded.space, _Draws(rng))


def _history(epochs: int, rng: np.random.Generator) -> dict[str, tuple[float, ...]]:
    top, pace = rng.uniform(0.3, 0.98), rng.uniform(2, 12)
    learned = top - 0.3 * np.exp(-np.arange(1, epochs + 1) / pace)
    noisy = learned[:, None] + rng.normal(0, 0.01, (epochs, 2))
    curves = {
        "train_accuracy": noisy[:, 0],
        "train_loss": 2 - 2 * noisy[:, 0],
        "val_accuracy": noisy[:, 1],
        "val_loss": 2 - 2 * noisy[:, 1],
    }
    return {name: tuple(values.round(7).tolist()) for name, values in curves.items()}  # the digits of a float32


def _rungs(curve: Sequence[float], ladder: Ladder, bracket: int) -> dict[int, float]:
    return {rung: max(curve[:rung]) for rung in ladder.rungs(bracket) if rung <= len(curve)}


class _Draws:
    """Draws values at random, quickly."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return int(low + step * self._rng.integers((high - low) // step + 1))

    def suggest_float(self, name: str, low: float, high: float, *, step: Any = None, log: bool = False) -> float:
        return float(np.exp(self._rng.uniform(np.log(low), np.log(high))) if log else self._rng.uniform(low, high))

    def suggest_categorical(self, name: str, choices: Sequence[Scalar]) -> Scalar:
        return choices[int(self._rng.integers(len(choices)))]
