"""A hypermodel's space, looked for in a process of its own: `python -m search.discovery MODEL PATHS...`.

Keras is not imported by the command that asks: the process that answers has the environment of a worker.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.devices import Slot, available_cores, worker_environment
from search.errors import SearchError
from search.models import check_space
from spaces import Space, validate
from spaces.errors import in_a_line
from spaces.space import HYPERMODEL, refuse_no_hypermodel
from studies.plan import LoadedStudy, checked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LAST_LINES = 15


def with_space(loaded: LoadedStudy, backend: str) -> tuple[LoadedStudy, list[str]]:
    """A study whose hypermodel has been asked for its space, unless its file gives one; and what to tell of it.

    Raises:
        SearchError: No family reads the parameters of the space, or the hypermodel cannot be imported or built.
        InputError: The study does not go with its space.
    """
    check_space(loaded.space, loaded.space_name)
    if not loaded.space.is_hypermodel or loaded.space.parameters:
        return loaded, []
    space, notes = discovered(loaded.space.model, backend, [loaded.path.parent])
    return checked(replace(loaded, space=space)), [f"{space.model}: {note}" for note in notes]


def discovered(model: str, backend: str, folders: Sequence[Path] = ()) -> tuple[Space, list[str]]:
    """The space of a hypermodel, and notes of how it was found.

    Args:
        model: "keras_tuner:package.module:build_model".
        backend: Keras's.
        folders: Where its module may lie, beside the current folder.
    Raises:
        InputError: It is no such name.
        SearchError: It cannot be imported or built, or asks for nothing.
    """
    refuse_no_hypermodel(model)
    command = [sys.executable, "-m", "search.discovery", model, *map(str, (*folders, Path.cwd()))]
    environment = worker_environment(Slot(None, 1, available_cores()), backend)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0 or not done.stdout:
        words = "\n".join(done.stderr.strip().splitlines()[-_LAST_LINES:])
        raise SearchError(f"model: the process that asks {model} for its space ended:\n{words}", exit_code=1)
    answer = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        raise SearchError(answer["error"])
    return validate(Space, answer["space"], model), answer["notes"]


def _answer(model: str) -> dict[str, Any]:
    from search.quick_import import quick_import
    from spaces import InputError

    with quick_import(everything=True):
        import keras  # noqa: F401
    try:
        from search.models.hypermodel import find_hypermodel
        from spaces.keras_tuner import discover

        hypermodel = find_hypermodel(model)
        notes: list[str] = []
        found = discover(model.removeprefix(HYPERMODEL), _attempts(model, hypermodel, notes))
    except (SearchError, InputError) as problem:
        return {"error": str(problem)}
    except Exception as problem:
        return {"error": f"model: {model} cannot be built with its defaults: {in_a_line(problem)}"}
    return {"space": found.space.model_dump(mode="json", exclude_unset=True), "notes": [*found.notes, *notes[:1]]}


def _attempts(name: str, hypermodel: Any, notes: list[str]) -> Callable[[Any], None]:
    """Builds once; lets a `fit` of the hypermodel's own begin, and notes why it could not."""
    import keras
    from keras_tuner import HyperModel

    from search.models.custom import refuse_what_takes_no_rows
    from search.own_fit import fit_briefly

    def attempt(hp: Any) -> None:
        keras.backend.clear_session()
        hypermodel.declare_hyperparameters(hp)
        model = hypermodel.build(hp)
        refuse_what_takes_no_rows(name, model)
        if type(hypermodel).fit is HyperModel.fit:
            return
        try:
            fit_briefly(hypermodel, hp, model)
        except Exception as problem:
            reason = in_a_line(problem)
            notes.append(f"its fit could not be tried on made-up rows ({reason}); what only it asks for may be missing")

    return attempt


def main() -> None:
    """Answer on standard output, and let whatever else prints go to standard error."""
    model, *paths = sys.argv[1:]
    sys.path[:0] = paths
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    print(json.dumps(_answer(model)), file=answers, flush=True)


if __name__ == "__main__":
    main()
