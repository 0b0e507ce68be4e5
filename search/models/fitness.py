"""Whether a model can learn from the data at all; told before a trial is trained. No Keras in here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from search.errors import SearchError
from search.models.architectures import ARCHITECTURES
from search.models.laws import LIMITS
from search.models.pretrained import locate
from spaces.errors import shown, together
from spaces.parameters import extremes
from spaces.space import OF_HYPERMODELS, is_custom
from studies.plan import law_breaks
from studies.schedule import Choices, schedule_problems

if TYPE_CHECKING:
    from search.datasets import SearchSplits
    from spaces.parameters import Scalar
    from studies.plan import LoadedStudy

AUGMENTATION = frozenset({"flip", *LIMITS})

NOT_FOR_OWN_FIT = "objective.seeds, record: are not for a hypermodel's own fit; leave them out"


def check_study(loaded: LoadedStudy, splits: SearchSplits) -> None:
    """Refuse a study whose models could not learn from its data.

    Pretrained weights are looked for, and fetched where they are neither a file nor in Keras's cache.

    Raises:
        SearchError: Every problem at once: the loss or the model is for other data, a batch is larger than the
            training split, weights cannot be had.
    """
    choices = _choices(loaded)
    rows, *input_shape = splits.train.x.shape
    name = loaded.space.model
    if loaded.space.is_hypermodel:
        problems = [*_batch_problems(choices, rows), *_name_problems(loaded), *_hypermodel_problems(loaded)]
    else:
        problems = [
            *_row_problems(name, choices, input_shape, len(splits.class_names)),
            *_batch_problems(choices, rows),
            *_name_problems(loaded),
            *_normalisation_problems(loaded),
            *_schedule_problems(loaded, choices, rows),
        ]
    if problems:
        raise SearchError(together(problems))
    if name == "transfer":
        for backbone in choices.get("backbone", ("MobileNetV2",)):
            for weights in choices.get("weights", ("imagenet",)):
                locate(str(backbone), str(weights), loaded.path.parent)


def check_rows(name: str, choices: Choices, input_shape: Sequence[int], classes: int) -> None:
    """Refuse a family for rows that it cannot take.

    Args:
        name: Of the family or the user's own function.
        choices: The values of the params.
        input_shape: Of one row.
        classes: Number of classes.
    Raises:
        SearchError: The first problem.
    """
    for problem in _row_problems(name, choices, input_shape, classes):
        raise SearchError(problem)


def _row_problems(name: str, choices: Choices, input_shape: Sequence[int], classes: int) -> Iterator[str]:
    if "binary_crossentropy" in choices.get("loss", ()) and classes != 2:
        yield (
            f"training.loss: binary_crossentropy is for two classes ({classes} came); "
            "use sparse_categorical_crossentropy, or keep two with data.classes"
        )
    if is_custom(name) or len(input_shape) in (2, 3):
        return
    came = f"rows of shape (height, width) or (height, width, channels) (shape {tuple(input_shape)} came)"
    if name in ("cnn", "transfer"):
        yield f"model: {name} needs images, {came}; mlp takes any shape"
    named = [word for word in choices.get("architecture", ()) if word in ARCHITECTURES]
    if convolutional := [word for word in named if ARCHITECTURES[str(word)].family == "cnn"]:
        yield f"params.architecture: {convolutional[0]} needs images, {came}; mlp1 takes any shape"
    if asked := sorted(AUGMENTATION & set(choices)):
        yield f"params.{asked[0]}: augmentation needs images, {came}; leave it out"


def _batch_problems(choices: Choices, rows: int) -> Iterator[str]:
    largest = max((size for size in choices["batch_size"] if isinstance(size, int)), default=0)
    if largest > rows:
        yield (
            f"training.batch_size: a batch must fit into the training split, which has {rows} rows "
            f"(came {shown(largest)}); use smaller batches or more data"
        )


def _schedule_problems(loaded: LoadedStudy, choices: Choices, rows: int) -> Iterator[str]:
    """What a schedule by steps breaks, now that the steps are known: the fewest, with the largest batches."""
    largest = max((size for size in choices["batch_size"] if isinstance(size, int)), default=1)
    if not loaded.space.is_custom:
        epochs = loaded.plan.hyperband.max_resource
        yield from schedule_problems(choices, epochs, math.ceil(rows / largest), loaded.space.parameters)


def _hypermodel_problems(loaded: LoadedStudy) -> Iterator[str]:
    law = "a Keras Tuner hypermodel sets its learning rate itself"
    if loaded.plan.plateau is not None:
        yield f"plateau: {law}; leave plateau out"
    if loaded.plan.training.schedule != "none":
        yield f"training.schedule: {law}; leave schedule out"


def _name_problems(loaded: LoadedStudy) -> Iterator[str]:
    """A model of the user's own may call its parameters as it likes, but for what training reads in any case."""
    read = {name: one for name, one in loaded.space.parameters.items() if name in OF_HYPERMODELS}
    own = read if loaded.space.is_custom else {}  # a family's were judged when the study was read
    for problem in dict.fromkeys(line for name, one in own.items() for line in law_breaks(name, one)):
        yield f"space: parameters.{problem}; training reads it: give the model's own another name"


def _normalisation_problems(loaded: LoadedStudy) -> Iterator[str]:
    if loaded.space.model == "transfer" and (loaded.plan.data.normalise or loaded.plan.data.mean):
        yield "data.normalise: a pretrained backbone has its own; leave data.normalise and data.mean out"


def _choices(loaded: LoadedStudy) -> dict[str, tuple[Scalar, ...]]:
    """What the plan and the space say of each param: all values, both ends of a range."""
    trained = {name: (value,) for name, value in loaded.plan.training.model_dump(exclude_none=True).items()}
    return trained | {name: extremes(parameter) for name, parameter in loaded.space.parameters.items()}
