"""Studies from Python: the same run, resume, leaderboard and model as the commands have, for notebooks and scripts.

Example:
    study = run("digits", trials=20)
    study.leaderboard().head()
    study.best_model().predict(images)
"""

from __future__ import annotations

import inspect
import json
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.words import counted
from search.discovery import with_space
from search.errors import Interrupted, SearchError
from search.signals import StopRequest, stop_on_signals
from spaces import Space, validate
from spaces.parameters import Params
from spaces.space import HYPERMODEL, is_custom
from studies.files import BEST_MODEL, RUNS, store_url
from studies.objects import study_of
from studies.overrides import of_options
from studies.plan import LoadedStudy, StudyPlan, load_study
from studies.records import StudyRecord
from studies.store import Store

if TYPE_CHECKING:
    import keras
    import keras_tuner
    import optuna
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Study:
    """A study in the store, as it was when it was loaded.

    Attributes:
        record: All that is known of it.
        folder: Where its files are.
        store: Database URL.
    """

    record: StudyRecord
    folder: Path
    store: str

    @property
    def best_params(self) -> Params:
        """The params of the best trial.

        Raises:
            SearchError: No trial has a usable value.
        """
        from reports.leaderboard import usable

        trials = usable(self.record)
        if not trials:
            raise SearchError(f"{self.record.name}: no trial has a usable value", exit_code=1)
        return trials[0].params

    def leaderboard(self, top: int | None = None, sort: str | None = None) -> pd.DataFrame:
        """The table of its configurations, ranked by validation, then the retrained models."""
        from reports.leaderboard import leaderboard as make_leaderboard

        return make_leaderboard(self.record, top=top, sort=sort)

    def best_model(self, *, safe_mode: bool = True) -> keras.Model:
        """The retrained winner, ready to predict: it takes rows as the data has them.

        Args:
            safe_mode: Keras's: whether code in the file, as a Lambda layer of a `lambda` has it, is refused.
        Raises:
            SearchError: The study has not come so far, or there is code in the file.
        """
        import keras

        path = self.folder / BEST_MODEL
        if not path.exists():
            raise SearchError(f"{path}: there is no model yet; the study must run to its end")
        try:
            return keras.models.load_model(path, custom_objects=_own_objects(self.record), safe_mode=safe_mode)
        except ValueError as problem:
            if "safe_mode" not in str(problem):
                raise
            law = "best_model(safe_mode=False) runs it, if you trust the file; a named function needs none"
            raise SearchError(f"{path}: holds code, in a Lambda layer; {law}") from None

    def optuna(self) -> optuna.Study:
        """The study as Optuna has it, for its plots, importances and everything else; change nothing."""
        store = Store.open(self.store, create=False, read_only=True)
        study = store.optuna(self.record.name)
        weakref.finalize(study, store.close)
        return study

    def hyperparameters(self, params: Params | None = None) -> keras_tuner.HyperParameters:
        """The best params, or others, in Keras Tuner's form: `hypermodel.build` makes the model of them."""
        from spaces.keras_tuner import to_hyperparameters

        space = validate(Space, dict(self.record.space), self.record.name)
        return to_hyperparameters(space, self.best_params if params is None else params)

    def __repr__(self) -> str:
        return f"<Study {self.record.name}: {counted(len(self.record.trials), 'trial')}, in {self.folder}>"

    def _repr_html_(self) -> str:
        return str(self.leaderboard(top=10).to_html(index=False, na_rep=""))


def run(
    study: str | Path | Mapping[str, Any] | StudyPlan,
    *,
    space: str | Path | Mapping[str, Any] | Space | None = None,
    hypermodel: str | Callable[..., Any] | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    changes: Sequence[str] = (),
    out: str | Path = RUNS,
    store: str | None = None,
    workers: int | None = None,
    slots_per_gpu: int = 1,
    fresh_workers: bool = False,
    backend: str | None = None,
    quiet: bool = False,
) -> Study:
    """Search, retrain the best, open the test split, write leaderboard and report; run again to resume.

    An interrupt (the stop button of a notebook) ends it in good order after the epoch under way.

    Args:
        study: A study file, the name of one in the catalog, its tables as a dict, or a plan.
        space: In place of the study's: a file, a name, its tables, or a space.
        hypermodel: In place of a space: Keras Tuner's, "package.module:build_model" or the function or class itself,
            which has to lie in a module that workers can import.
        trials: As `--trials`; so are the others up to `seed`.
        minutes: See `trials`.
        seed: See `trials`.
        changes: "section.key=value" each, as `--set` takes them.
        out: Folder of all runs.
        store: Database URL; by default sqlite:///OUT/studies.db.
        workers: As `--workers`; so are the next three.
        slots_per_gpu: See `workers`.
        fresh_workers: See `workers`.
        backend: See `workers`.
        quiet: Show no progress.
    Raises:
        InputError: Problems of the study or the space.
        SearchError: Bad data, workers that cannot start, no usable trial.
        StudyError: The store cannot be used, or holds another study of that name.
        KeyboardInterrupt: It was interrupted; the same call goes on.
    """
    from rich.console import Console

    from search.display import make_display
    from search.open_run import make_options
    from search.study import run_study

    if hypermodel is not None and space is not None:
        raise SearchError("hypermodel: takes the place of a space; leave one of both out")
    options = make_options(out, store, backend, workers, slots_per_gpu, fresh_workers)
    overrides = [*changes, *of_options(trials, minutes, seed)]
    given = f"{HYPERMODEL}{_named(hypermodel)}" if hypermodel is not None else space
    loaded, notes = with_space(_loaded(study, given, overrides), options.backend)
    display = make_display(Console(markup=False), quiet=quiet, as_json=False)
    with _stop_on_interrupt() as stop, display.showing():
        for note in notes:
            display("message", text=note)
        record = run_study(loaded, options, stop, display)
    return Study(record, options.folder(record.name), options.store)


def load(name: str, *, out: str | Path = RUNS, store: str | None = None) -> Study:
    """A study of the store.

    Raises:
        StudyError: There is none of that name, or the store cannot be read.
    """
    url = store_url(Path(out), store)
    with Store.open(url, create=False, read_only=True) as opened:
        return Study(opened.load(name), Path(out) / name, url)


def leaderboard(
    name: str, *, top: int | None = None, sort: str | None = None, out: str | Path = RUNS, store: str | None = None
) -> pd.DataFrame:
    """The leaderboard of a study of the store; see `Study.leaderboard`."""
    return load(name, out=out, store=store).leaderboard(top, sort)


def best_model(name: str, *, safe_mode: bool = True, out: str | Path = RUNS, store: str | None = None) -> keras.Model:
    """The retrained winner of a study of the store; see `Study.best_model`."""
    return load(name, out=out, store=store).best_model(safe_mode=safe_mode)


def _loaded(study: Any, space: Any, overrides: list[str]) -> LoadedStudy:
    if isinstance(study, str | Path) and (space is None or isinstance(space, str | Path)):
        if space is not None:
            overrides = [*overrides, f"space={json.dumps(str(space))}", "enqueue=[]"]
        return load_study(str(study), overrides)
    return study_of(study, space, overrides)


def _named(hypermodel: str | Callable[..., Any]) -> str:
    """The name by which workers import a hypermodel."""
    if isinstance(hypermodel, str):
        return hypermodel.removeprefix(HYPERMODEL)
    module, name = inspect.getmodule(hypermodel), getattr(hypermodel, "__qualname__", "")
    if module is None or module.__name__ == "__main__" or getattr(module, name, None) is not hypermodel:
        law = "must be a function or a class at the top of a module that workers can import; put it into a file"
        raise SearchError(f"hypermodel: {law} (came {name or hypermodel!r})")
    return f"{module.__name__}:{name}"


def _own_objects(record: StudyRecord) -> dict[str, Any]:
    """The classes and functions beside a model of the user's own, by which Keras reads its file.

    None of a module that cannot be imported.
    """
    from search.models.custom import import_named

    name = str(record.space["model"])
    if not is_custom(name):
        return {}
    sys.path.insert(0, str(record.data["base"]))
    try:
        module, _ = import_named(name.removeprefix(HYPERMODEL))
    except SearchError:
        return {}
    finally:
        sys.path.pop(0)
    return {name: one for name, one in vars(module).items() if isinstance(one, type) or inspect.isfunction(one)}


@contextmanager
def _stop_on_interrupt() -> Iterator[StopRequest]:
    """Turn the first interrupt into a request; the second interrupts at once, and the process lives on.

    Raises:
        KeyboardInterrupt: The run has ended as it was asked to: no `except Exception` of a caller goes past it.
    """

    def interrupt(_exit_code: int) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # where no signal arrives
        yield StopRequest()
        return
    try:
        with stop_on_signals([signal.SIGINT], interrupt) as stop:
            yield stop
    except Interrupted:
        raise KeyboardInterrupt("interrupted; the same call goes on from here") from None
