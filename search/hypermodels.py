"""A worker's hypermodels: built for its trials, with what trains them, and what a user should know of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from search.errors import SearchError
from search.machines import Machine
from search.messages import Workload
from search.metrics import metrics_for
from search.models.fitness import NOT_FOR_OWN_FIT
from search.models.hypermodel import Built, build_hypermodel, find_hypermodel, has_own_fit
from search.models.purpose import Purpose
from search.own_fit import OwnFit
from search.programs import Program
from search.programs.fit import FitProgram
from search.scalars import Scalars
from spaces.parameters import Params

MakeProgram = Callable[[Any, dict[str, Any]], Program]


class Hypermodels:
    """Builds a hypermodel again and again, and notes what it asks for that its space has not.

    Raises:
        SearchError: It cannot be imported, or its own `fit` cannot train what the study asks for.
    """

    def __init__(self, workload: Workload) -> None:
        if has_own_fit(find_hypermodel(workload.model)) and not workload.own_fit:
            raise SearchError(NOT_FOR_OWN_FIT)
        self._workload = workload
        self._built: list[Built] = []
        self._told: set[str] = set()

    def machine(self, params: Params, purpose: Purpose, make_program: MakeProgram) -> Machine:
        """A trial's model, compiled as the hypermodel compiles it, and what trains it: its own `fit` if it has one.

        Args:
            params: The trial's, and those that training reads.
            purpose: What the model takes and tells apart.
            make_program: Makes the program of a model that Keras's way trains, from it and its params.
        """
        workload = self._workload
        built = build_hypermodel(workload.model, params, purpose)
        self._built = [*self._built[-1:], built]
        built.compile(metrics_for(workload.monitor, workload.classes))
        if built.fits_itself:
            metrics = metrics_for(workload.monitor, workload.classes)
            own = OwnFit(built, workload.scale, workload.offset, metrics, int(params["batch_size"]))
            return Machine(built.model, Scalars.plain({}), own, built.labels, own)
        eager = built.model.run_eagerly
        program = FitProgram(built.model, int(params["batch_size"])) if eager else make_program(built.model, params)
        return Machine(built.model, Scalars.plain({}), program, built.labels)

    def news(self) -> str:
        """What a user should know and has not been told: parameters that only took their defaults."""
        found = {name: value for built in self._built for name, value in built.defaults.items()}
        new = {name: value for name, value in found.items() if name not in self._told}
        self._told |= set(new)
        if not new:
            return ""
        defaults = ", ".join(f"{name} = {value!r}" for name, value in new.items())
        return f"the hypermodel asks for what its space has not, and gets its defaults: {defaults}"
