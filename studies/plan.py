"""How a study goes about its search: the study file, every key with its law."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from spaces import CATALOG as SPACES
from spaces import (
    InputError,
    LawError,
    Parameter,
    Scalar,
    Space,
    did_you_mean,
    find,
    load_space,
    read_toml,
    shown,
    shown_path,
    validate,
)
from spaces.parameters import extremes, in_order
from spaces.space import is_hypermodel
from studies import overrides as command_line
from studies.files import NAME_LAW, is_name
from studies.grid import no_grid
from studies.ladder import Ladder
from studies.overrides import Override, is_path
from studies.patience import EarlyStopping, Plateau, waiting_problems
from studies.records import Direction, direction_of
from studies.schedule import ScheduleKeys, schedule_problems
from studies.section import Count, Section
from studies.steps import Record

CATALOG = Path(__file__).with_name("catalog")
"""The folder of the studies that toprung ships."""

GIVEN = "given"
"""The name of a space that came as an object."""

SOURCES = ("digits", "xor", "mnist", "fashion_mnist", "cifar10", "cifar100")
"""Data that go by a name."""

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Label = int | str
Value = TypeVar("Value")
Channels = Annotated[tuple[Value, ...], Field(strict=False, min_length=1)]


class DataPlan(Section):
    """`[data]`: what is learned from, and how it is split.

    Attributes:
        source: A name of `SOURCES`, or a path: .npz, .csv, a folder or an archive.
        path: A local file for a named source, so that nothing needs the network.
        validation: Share of the training data held out, stratified.
        test: Share cut off as test split where the source has none.
        seed: Of both cuts.
        classes: The classes to keep, relabelled from 0 in this order; None keeps all.
        target: The column of a CSV file to predict.
        normalise: "channel" takes off each channel's mean and divides by its deviation, both of the training
            split; None scales pixels to 0..1 and standardises the columns of a table.
        mean: One a channel, for pixels from 0 to 1, to be taken off instead of the training split's.
        deviation: One a channel, to divide by; goes with `mean`.
    """

    source: str
    path: Annotated[str, Field(min_length=1)] | None = None
    validation: Share = 0.2
    test: Share = 0.2
    seed: Seed = 0
    classes: Annotated[tuple[Label, ...], Field(strict=False), BeforeValidator(in_order)] | None = None
    target: Annotated[str, Field(min_length=1)] | None = None
    normalise: Literal["channel"] | None = None
    mean: Channels[float] | None = None
    deviation: Channels[Annotated[float, Field(gt=0)]] | None = None

    @field_validator("source")
    @classmethod
    def _known_or_a_path(cls, source: str) -> str:
        if source not in SOURCES and not is_path(source):
            law = f'unknown source {shown(source)}{did_you_mean(source, SOURCES)}; a folder is written "./name"'
            raise ValueError(law)
        return source

    @field_validator("classes")
    @classmethod
    def _two_or_more(cls, classes: tuple[Label, ...] | None) -> tuple[Label, ...] | None:
        if classes is not None and (len(classes) < 2 or len(set(classes)) < len(classes)):
            raise ValueError(f"must be two or more different classes (came {shown(classes)})")
        return classes

    @model_validator(mode="after")
    def _one_normalisation(self) -> Self:
        mean, deviation = self.mean or (), self.deviation or ()
        if len(mean) != len(deviation):
            law = f"mean and deviation must come together, one each a channel ({len(mean)} and {len(deviation)} came)"
            raise LawError([("", law)])
        if mean and self.normalise:
            raise LawError([("normalise", "must be left out where mean and deviation are given")])
        return self


class Objective(Section):
    """`[objective]`: what trials are ranked by, measured on the validation split.

    Attributes:
        monitor: The metric.
        seeds: Trainings of every trial, each with a seed of its own; all that is known of the trial is their mean.
    """

    monitor: Literal["val_accuracy", "val_loss", "val_f1"] = "val_accuracy"
    seeds: Annotated[int, Field(ge=1, le=100)] = 1

    @property
    def direction(self) -> Direction:
        """Which way is better."""
        return direction_of(self.monitor)


class Hyperband(Section):
    """`[hyperband]`: when trials are compared.

    Attributes:
        min_resource: Epochs to the first comparison.
        max_resource: Epochs of a complete trial.
        reduction_factor: One in so many goes on.
        mode: "promote" pauses trials and sends up the best; "stop" is Optuna's own HyperbandPruner;
            "none" trains every trial to the end.
    """

    min_resource: Count = 1
    max_resource: Count = 27
    reduction_factor: Annotated[int, Field(ge=2, le=1_000_000)] = 3
    mode: Literal["promote", "stop", "none"] = "promote"

    @field_validator("max_resource")
    @classmethod
    def _not_below_the_first_rung(cls, top: int, info: ValidationInfo) -> int:
        low = info.data.get("min_resource", 1)
        if top < low:
            raise ValueError(f"must be at least min_resource (max_resource = {top}, min_resource = {low})")
        return top

    @property
    def ladder(self) -> Ladder:
        """The rungs and brackets; a single rung where every trial trains to the end."""
        if self.mode == "none":
            return Ladder.flat(self.max_resource)
        return Ladder(self.min_resource, self.max_resource, self.reduction_factor)


class SamplerPlan(Section):
    """`[sampler]`: how new params are chosen."""

    name: Literal["gp", "tpe", "random", "grid", "cmaes"] = "gp"
    seed: Seed = 0


class Training(ScheduleKeys):
    """`[training]`: how a trial is trained, where the space has no parameter of that name.

    Attributes:
        batch_size: Samples a step.
        loss: Keras's name of the loss; binary_crossentropy is for two classes and a model with one sigmoid unit.
        label_smoothing: What is taken off the right class and spread over all; none by default.
        class_weight: "balanced" gives each class the same weight in the loss, however many rows it has.
        optimizer: Keras's name of the optimizer.
        learning_rate: Of the optimizer.
        momentum: Of sgd and rmsprop; none by default.
        nesterov: Whether sgd looks ahead along its momentum; None for no.
        weight_decay: Decoupled, of any optimizer; none by default, for adamw Keras's 0.004.
        precision: Keras's dtype policy.
        jit_compile: Whether XLA compiles the program; "auto" decides by model and device.
    """

    batch_size: Count = 32
    loss: Literal[
        "sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy", "mean_squared_error"
    ] = "sparse_categorical_crossentropy"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    class_weight: Literal["none", "balanced"] = "none"
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 0.001
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    nesterov: bool | None = None
    weight_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    jit_compile: bool | Literal["auto"] = "auto"


class Budget(Section):
    """`[budget]`: where the search ends; both are totals, not "more", when a study is resumed.

    Attributes:
        trials: Configurations in all.
        minutes: Minutes of search in all; None for no limit.
    """

    trials: Count = 60
    minutes: Annotated[float, Field(gt=0)] | None = None


class Retrain(Section):
    """`[retrain]`: how the winner is trained once more.

    Attributes:
        seeds: Repetitions.
        data: "train" keeps the validation split for choosing the best epoch; "train+validation" learns from it.
        epochs: Of each repetition; None for as many as the trial had.
    """

    seeds: Annotated[int, Field(ge=1, le=1_000)] = 3
    data: Literal["train", "train+validation"] = "train+validation"
    epochs: Count | None = None


class LeaderboardPlan(Section):
    """`[leaderboard]`: how many complete trials, best first, are scored on the test split in the end."""

    test_top: Annotated[int, Field(ge=0, le=1_000_000)] = 20


class StudyPlan(Section):
    """A study file.

    Attributes:
        name: The study's name in the store, and its folder.
        space: A name in the catalog, a path relative to the study file, or "keras_tuner:package.module:build_model".
        early_stopping: When a trial ends by itself; None for never.
        plateau: When its learning rate is reduced; None for never.
        record: How often a training step is looked at; None for never.
        enqueue: Known-good params that go first; what they leave out is sampled.
    """

    name: str
    space: Annotated[str, Field(min_length=1)]
    data: DataPlan
    objective: Objective = Objective()
    hyperband: Hyperband = Hyperband()
    sampler: SamplerPlan = SamplerPlan()
    training: Training = Training()
    early_stopping: EarlyStopping | None = None
    plateau: Plateau | None = None
    record: Record | None = None
    budget: Budget = Budget()
    retrain: Retrain = Retrain()
    leaderboard: LeaderboardPlan = LeaderboardPlan()
    enqueue: Annotated[tuple[dict[str, Scalar], ...], Field(strict=False)] = ()

    @field_validator("name")
    @classmethod
    def _fit_for_a_folder(cls, name: str) -> str:
        if not is_name(name):
            raise ValueError(f"{NAME_LAW} (came {shown(name)})")
        return name


@dataclass(frozen=True, slots=True)
class LoadedStudy:
    """A study file that has been checked, with its space.

    Attributes:
        path: The file; relative paths of data in the plan start in its folder.
    """

    plan: StudyPlan
    space: Space
    path: Path

    @property
    def space_name(self) -> str:
        """What messages call the space: its file where it has one."""
        if self.plan.space == GIVEN:
            return "space"
        if is_hypermodel(self.plan.space):
            return self.plan.space
        return shown_path(find("space", self.plan.space, SPACES, self.path.parent))


def load_study(name_or_path: str, overrides: Sequence[str] = ()) -> LoadedStudy:
    """Read and check a study and its space.

    Args:
        name_or_path: A path, or a name in the catalog of studies.
        overrides: "section.key=value" each; values are TOML, bare words are text.
    Raises:
        InputError: All problems of the file at once, those of `overrides` as "--set".
    """
    path = find("study", name_or_path, CATALOG)
    changes, unreadable = command_line.parse(overrides)
    tables, misplaced = command_line.apply(read_toml(path), changes)
    try:
        study = study_from(tables, path)
    except InputError as error:
        if error.where != shown_path(path):
            raise  # the space has a file of its own
        raise _sorted_out(error, changes, unreadable + misplaced) from None
    if unreadable or misplaced:
        raise InputError(command_line.WHERE, unreadable + misplaced)
    return study


def fingerprint(plan: StudyPlan, space: Space) -> dict[str, Any]:
    """What must stay the same while a study goes on, as plain JSON values.

    The budget, retraining, the leaderboard, enqueued params and the sampler's name may change, and so may
    the place where named data lie; what the data are is told by their own hash.
    """
    searched = {"data", "objective", "hyperband", "sampler", "training", "early_stopping", "plateau"}
    sections = plan.model_dump(mode="json", include=searched)
    del sections["data"]["path"], sections["sampler"]["name"]
    for key in ("class_weight", "schedule"):
        if sections["training"][key] == "none":
            del sections["training"][key]  # studies from before there was the key are the same as ever
    if plan.objective.seeds == 1:
        del sections["objective"]["seeds"]
    kept: dict[str, Any] = json.loads(json.dumps({"space": space.canonical(), **sections}))
    return kept


def study_from(tables: Mapping[str, Any], path: Path, space: Space | None = None) -> LoadedStudy:
    """The tables of a study file as a study, with another space in place of its own if that is given."""
    plan = validate(StudyPlan, tables, shown_path(path))
    study = LoadedStudy(plan, space or _space(plan, path), path.absolute())
    return checked(study) if study.space.parameters else study


def checked(study: LoadedStudy) -> LoadedStudy:
    """The study, if its plan and its space go together; else an `InputError` says all that doesn't."""
    plan, space = study.plan, study.space
    if problems := [*_enqueue_problems(plan, space), *_training_problems(plan, space), *_grid_problems(plan, space)]:
        raise InputError(shown_path(study.path), problems)
    return study


def _space(plan: StudyPlan, path: Path) -> Space:
    try:
        if not is_hypermodel(plan.space):
            find("space", plan.space, SPACES, path.parent)
    except InputError as error:
        raise InputError(
            shown_path(path), [f"space: {one} (came {shown(plan.space)})" for one in error.problems]
        ) from None
    return load_space(plan.space, relative_to=path.parent)


def _enqueue_problems(plan: StudyPlan, space: Space) -> Iterator[str]:
    for index, params in enumerate(plan.enqueue):
        for problem in space.problems_with(params):
            about_a_key = problem.partition(":")[0] in params
            yield f"enqueue[{index}]{'.' if about_a_key else ': '}{problem}"


def _training_problems(plan: StudyPlan, space: Space) -> Iterator[str]:
    """A parameter that takes the place of a key of [training] must keep the key's law, and both go together."""
    read = {} if space.is_custom else space.parameters  # the user's own function reads its params as it likes
    given = {name: one for name, one in read.items() if name in Training.model_fields}
    broken = [f"space: parameters.{line}" for name, one in given.items() for line in law_breaks(name, one)]
    if broken:
        yield from dict.fromkeys(broken)
        return
    trained = {name: (value,) for name, value in plan.training.model_dump(exclude_none=True).items()}
    choices = trained | {name: extremes(parameter) for name, parameter in given.items()}
    epochs = plan.hyperband.max_resource
    yield from schedule_problems(choices, epochs, None, given)
    if True in choices.get("nesterov", ()) and ("momentum" not in choices or "sgd" not in choices["optimizer"]):
        yield 'training.nesterov: is for optimizer = "sgd" with a momentum'
    yield from waiting_problems(plan.early_stopping, plan.plateau, epochs, plan.objective.monitor, choices)


def law_breaks(name: str, parameter: Parameter) -> Iterator[str]:
    """What is wrong with a parameter that takes the place of the key of [training] that has its name."""
    for value in extremes(parameter):
        try:
            validate(Training, {name: value}, "")
        except InputError as error:
            yield from error.problems


def _grid_problems(plan: StudyPlan, space: Space) -> Iterator[str]:
    if plan.sampler.name == "grid" and (law := no_grid(space)):
        yield law


def _sorted_out(error: InputError, changes: Sequence[Override], refused: Sequence[str]) -> InputError:
    """Problems of the file, and apart from them those of the command line."""
    caused = [line for line in error.problems if any(change.causes(line) for change in changes)]
    in_file = [line for line in error.problems if line not in caused]
    if not in_file:
        return InputError(command_line.WHERE, [*refused, *caused])
    return InputError(error.where, in_file + [f"{command_line.WHERE}: {line}" for line in [*refused, *caused]])
