"""The keys of a learning-rate schedule, and whether it fits into the run."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Literal, cast

from pydantic import Field

from spaces import Scalar, listed, shown
from studies.section import Count, Section

KINDS = ("step", "exponential", "cosine")

Choices = Mapping[str, Collection[Scalar]]
"""The values that params may take, by name; of a range both ends."""


class ScheduleKeys(Section):
    """The part of `[training]` that says how the learning rate goes.

    Attributes:
        schedule: "step" multiplies it every so often; "exponential" does so smoothly; "cosine" lets it fall along
            half a wave.
        schedule_every: Epochs or steps until the schedule acts, or the way of the cosine; None for the whole run.
        schedule_factor: What it multiplies the rate by, or the share that a cosine leaves; None for 0.1, or 0.
        schedule_times: How often a step schedule acts at most; None for no limit.
        schedule_unit: What it counts; None for epochs.
    """

    schedule: Literal["none", "step", "exponential", "cosine"] = "none"
    schedule_every: Count | None = None
    schedule_factor: Annotated[float, Field(ge=0, lt=1)] | None = None
    schedule_times: Count | None = None
    schedule_unit: Literal["epoch", "step"] | None = None


def schedule_problems(choices: Choices, epochs: int, steps: int | None, in_space: Collection[str]) -> Iterator[str]:
    """What is wrong with a schedule, one line each: keys that do nothing, a schedule that never acts or is too long.

    Args:
        choices: The values of the keys of [training], each of which the space may give.
        epochs: Of a complete trial.
        steps: Batches an epoch; None where the data isn't known yet: then schedules by step aren't looked at.
        in_space: The names that the space gives.
    """
    kinds = set(choices.get("schedule", ())) & set(KINDS)
    laws = _laws(choices, kinds, epochs, steps) if kinds else _idle(choices)
    for name, law in laws:
        yield f"{'space: parameters' if name in in_space else 'training'}.{name}: {law}"


def _idle(choices: Choices) -> Iterator[tuple[str, str]]:
    for name in sorted(set(ScheduleKeys.model_fields) & set(choices) - {"schedule"}):
        yield name, f"is for a schedule; set training.schedule to {listed(KINDS)}, or leave it out"


def _laws(choices: Choices, kinds: set[Scalar], epochs: int, steps: int | None) -> Iterator[tuple[str, str]]:
    if "step" in kinds and "schedule_every" not in choices:
        yield "schedule_every", 'must be given for schedule = "step"'
    if "step" not in kinds and "schedule_times" in choices:
        yield "schedule_times", f"is for a step schedule (schedule = {listed(sorted(map(str, kinds)))}); leave it out"
    if kinds != {"cosine"} and 0 in choices.get("schedule_factor", ()):
        yield "schedule_factor", 'must be above 0, or for "cosine" alone (came 0.0)'
    for unit in choices.get("schedule_unit", ("epoch",)):
        length = epochs if unit == "epoch" else epochs * (steps or 0)
        if length and (law := _too_long(choices, kinds, length)):
            yield "schedule_every", f"{law}; the run has {length} {unit}s"


def _too_long(choices: Choices, kinds: set[Scalar], length: int) -> str:
    """Why a schedule doesn't fit into a run; empty if it does."""
    every = max((cast(int, number) for number in choices.get("schedule_every", ())), default=0)
    times = max(cast(int, number) for number in choices.get("schedule_times", (1,)))
    if "step" in kinds and every * times >= length:
        often = f", schedule_times = {times}" if "schedule_times" in choices else ""
        return f"a step schedule must act before the run ends (came {shown(every)}{often})"
    return f"must not be longer than the run (came {shown(every)})" if every > length else ""
