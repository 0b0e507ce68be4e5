"""Which parameters decide how good a trial is."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from spaces.parameters import Scalar
from spaces.relations import base_name
from studies.absent import absent
from studies.records import StudyRecord, TrialRecord, best_of

LEAST_TRIALS = 12
ENOUGH_TRIALS = 20
BEST_SHARE = 0.25
MOST_CHOICES = 10


@dataclass(frozen=True, slots=True)
class Importances:
    """How much each parameter decides whether a trial is among the best quarter.

    Attributes:
        shares: Parameter to its share, the greatest first; together 1.
        epochs: Trials were compared by their best value after so many epochs; None where they were complete.
        trials: How many were compared.
    """

    shares: Mapping[str, float]
    epochs: int | None
    trials: int


def importances(study: StudyRecord) -> Importances | None:
    """How much each parameter that varies matters, by PED-ANOVA.

    Trials of a ladder train for different times, so they are compared where many of them came: at the highest rung
    that 20 trials and a quarter of all reached, else at the lowest one; where there are no rungs, as in a study of
    another program, complete trials are. Parameters that only some trials draw count where they are drawn.

    Returns:
        None where fewer than 12 trials can be compared, or none of their parameters vary.

    Source:
        Watanabe, Bansal and Hutter (2023), PED-ANOVA, arXiv:2304.10255; its conditional form arXiv:2601.20800.
    """
    epochs, values = _compared(study)
    names = varying_params([trial for trial in study.trials if trial.number in values])
    if len(values) < LEAST_TRIALS or len(set(values.values())) < 2 or not names:
        return None
    return Importances(_evaluated(study, values, names), epochs, len(values))


def varying_params(trials: Sequence[TrialRecord]) -> list[str]:
    """Parameters that have at least two values among trials, in the order in which they appear."""
    seen: dict[str, set[Scalar]] = {}
    for trial in trials:
        for name, value in trial.params.items():
            seen.setdefault(name, set()).add(value)
    return [name for name, values in seen.items() if len(values) > 1]


def law_of(study: StudyRecord, param: str) -> Mapping[str, Any]:
    """What the space says of a parameter, be it one of several that repeat: "units" for "units_1"."""
    laws: Mapping[str, Mapping[str, Any]] = study.space.get("parameters") or {}
    return laws.get(param) or laws.get(base_name(param)) or {}


def _compared(study: StudyRecord) -> tuple[int | None, dict[int, float]]:
    """The epochs after which trials are compared, and each one's best value up to then."""
    rungs = sorted({rung for trial in study.trials for rung in trial.rungs}, reverse=True)
    if not rungs:
        complete = {trial.number: trial.value for trial in study.trials if trial.state == "complete"}
        return None, {n: value for n, value in complete.items() if value is not None and math.isfinite(value)}
    enough = max(ENOUGH_TRIALS, len(study.trials) / 4)
    for rung in rungs:
        values = {trial.number: value for trial in study.trials if (value := _best(study, trial, rung)) is not None}
        if len(values) >= enough or rung == rungs[-1]:
            return rung, values
    raise AssertionError("there is a lowest rung")


def _best(study: StudyRecord, trial: TrialRecord, epochs: int) -> float | None:
    if trial.state == "failed":
        return None
    if epochs in trial.rungs:  # a trial that stopped early is there with fewer epochs
        return best_of([trial.rungs[epochs]], study.direction)
    if trial.epochs < epochs:
        return None
    return best_of(trial.history.get(study.monitor, ())[:epochs], study.direction)


def _evaluated(study: StudyRecord, values: Mapping[int, float], names: Sequence[str]) -> dict[str, float]:
    import optuna
    from optuna.trial import create_trial

    from studies.quiet import quiet

    trials = [trial for trial in study.trials if trial.number in values]
    kinds = {name: _distribution(study, name, trials) for name in names}
    with quiet():
        shadow = optuna.create_study(direction=study.direction)
    for trial in trials:
        params = {name: kinds[name][1](trial.params[name]) for name in names if name in trial.params}
        drawn = {name: kinds[name][0] for name in params}
        shadow.add_trial(create_trial(value=values[trial.number], params=params, distributions=drawn))
    importance = _optuna_importance()
    evaluator = importance.PedAnovaImportanceEvaluator(target_quantile=BEST_SHARE)
    with warnings.catch_warnings():
        # Of a parameter that all trials but one have, say: no user can do anything about it.
        warnings.filterwarnings("ignore", message="Some regimes for parameter")
        found = importance.get_param_importances(shadow, evaluator=evaluator)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _optuna_importance() -> ModuleType:
    """`optuna.importance` without scikit-learn: it takes a second to import, and PED-ANOVA is not what needs it.

    Whoever else imports the module gets it whole.
    """
    import optuna

    name = "optuna.importance"
    if name in sys.modules:
        return sys.modules[name]
    on_demand = vars(optuna)["importance"]
    with absent(["sklearn"]):
        module = import_module(name)
    for part in [part for part in sys.modules if f"{part}.".startswith(f"{name}.")]:
        del sys.modules[part]
    vars(optuna)["importance"] = on_demand
    return module


def _distribution(study: StudyRecord, name: str, trials: Sequence[TrialRecord]) -> tuple[Any, Any]:
    """What a parameter's values lie on, and how to bring a value there."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    law = law_of(study, name)
    values = [trial.params[name] for trial in trials if name in trial.params]
    # Peaks at few numbers would look like much knowledge, were they taken for points of a continuous range.
    if len(set(values)) <= MOST_CHOICES or any(isinstance(value, str | bool) for value in values):
        return CategoricalDistribution(sorted({str(value) for value in values})), str
    numbers = [float(value) for value in values]
    bounds = [float(law[end]) for end in ("low", "high") if isinstance(law.get(end), int | float)]
    low, high = min(numbers + bounds), max(numbers + bounds)
    kind = FloatDistribution(low, high, log=bool(law.get("log")) and low > 0)
    if law.get("reverse"):  # drawn from the mirror image
        return kind, lambda value: min(max(low + high - value, low), high)
    return kind, float
