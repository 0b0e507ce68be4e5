"""A space: named parameters, the conditions and repeats between them, and what params mean within it."""

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import InitErrorDetails

from spaces import relations
from spaces.errors import InputError, LawError, did_you_mean, listed, shown
from spaces.parameters import SCALAR_NAMES, Fixed, Parameter, Params, Scalar, same

HYPERMODEL = "keras_tuner:"
"""What the model of a Keras Tuner hypermodel begins with; "package.module:build_model" follows."""

OF_HYPERMODELS = ("batch_size", "jit_compile", "precision")
"""What training reads for a Keras Tuner hypermodel, which compiles its model itself."""

_FUNCTION = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"
_MODEL = re.compile(rf"[A-Za-z]\w*|(?:{HYPERMODEL})?{_FUNCTION}")


def is_custom(model: str) -> bool:
    """Whether a model is the user's own, "package.module:function" or a Keras Tuner hypermodel, and no family."""
    return ":" in model


def is_hypermodel(model: str) -> bool:
    """Whether a model is a Keras Tuner hypermodel, which is given params by its own names."""
    return model.startswith(HYPERMODEL)


def refuse_no_hypermodel(model: str) -> None:
    """Refuse what `is_hypermodel` and names no function of a module.

    Raises:
        InputError: It does not.
    """
    if not re.fullmatch(HYPERMODEL + _FUNCTION, model):
        raise InputError("space", [f'a hypermodel is "{HYPERMODEL}package.module:build_model" (came {shown(model)})'])


class Space(BaseModel):
    """What may vary in a model.

    Params hold a parameter under its own name or, where it is drawn `per` another one, each repeat
    under a name of its own: filters_0, filters_1, ... Both are called *full* names here.

    Attributes:
        description: One sentence about it.
        model: A family of search/models, "package.module:function" for a model of the user's own, or
            "keras_tuner:package.module:build_model" for a Keras Tuner hypermodel.
        parameters: Parameters by name, parents before the children that depend on them. A hypermodel may leave
            them out: then it is asked for them before the study begins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    description: str = ""
    model: str
    parameters: Annotated[dict[str, Parameter], Field(validate_default=True)] = {}

    @field_validator("model")
    @classmethod
    def _name_a_model(cls, model: str) -> str:
        if not _MODEL.fullmatch(model):
            raise ValueError(f'must be a family of models or "package.module:function" (came {shown(model)})')
        return model

    @field_validator("parameters", mode="wrap")
    @classmethod
    def _keep_laws(
        cls, written: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> dict[str, Parameter]:
        """Check every parameter, then those that are sound together, so that all problems come at once."""
        of_hypermodel = is_hypermodel(info.data.get("model", ""))
        if written == {} and not of_hypermodel:
            raise ValueError("must hold a parameter or more")
        parameters, problems = _sound(written, check)
        names = [name for name in written if isinstance(name, str)]  # from Python there may be others
        if laws := relations.broken_laws(parameters, names, any_name=of_hypermodel):
            context = {"error": LawError(laws)}
            problems.append(InitErrorDetails(type="value_error", loc=(), input=written, ctx=context))
        if problems:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return relations.parents_first(parameters)

    @property
    def is_custom(self) -> bool:
        """Whether the model is the user's own."""
        return is_custom(self.model)

    @property
    def is_hypermodel(self) -> bool:
        """Whether the model is a Keras Tuner hypermodel."""
        return is_hypermodel(self.model)

    @property
    def full_names(self) -> list[str]:
        """Every name that params can have."""
        return list(self._places)

    @property
    def decisive(self) -> list[str]:
        """The full names whose values decide which others exist."""
        parents = {parent for parameter in self.parameters.values() for parent in relations.parents(parameter)}
        return [full for full, (name, _) in self._places.items() if name in parents]

    def fill(self, choose: Callable[[str, Parameter], Scalar | None]) -> Params:
        """Params with a value for every parameter that exists beside the values before it.

        Args:
            choose: Gives the value for a full name and its parameter; None leaves it out. It is not
                asked for fixed parameters, which are always there.
        """
        params: Params = {}
        for name, parameter in self.parameters.items():
            for full in self.members(name, params):
                value = parameter.value if isinstance(parameter, Fixed) else choose(full, parameter)
                if value is not None:
                    params[full] = value
        return params

    def members(self, name: str, params: Params) -> list[str]:
        """The full names under which a parameter exists, given the values of its parents.

        Args:
            name: A name in `parameters`.
            params: Values of this space, the fixed ones among them.
        """
        repeat = relations.per(self.parameters[name])
        count = 1 if repeat is None else int(params.get(repeat, 0))
        fulls = self._repeats[name][:count]
        if not self.parameters[name].when:
            return fulls
        return [full for full in fulls if not any(self._unmet(full, params))]

    def parameter(self, full: str) -> Parameter:
        """The parameter behind a full name.

        Raises:
            KeyError: The space has no such name.
        """
        return self.parameters[self._places[full][0]]

    def active(self, params: Params) -> Params:
        """The params that count, in this space's order and with its own values (1.0 where 1 was written).

        Left out is what no parameter is called or what its parents exclude; fixed values are put in.
        """
        return self.fill(lambda full, parameter: parameter.settle(params[full]) if full in params else None)

    def default(self) -> Params:
        """A configuration in the middle: of each range, of each order, and the first of the choices."""
        return self.fill(lambda _, parameter: parameter.middle())

    def canonical(self) -> dict[str, Any]:
        """The space as plain values, for fingerprints; description and order do not count."""
        tables = sorted(self.parameters.items())
        plain = {name: parameter.model_dump(mode="json", exclude_none=True) for name, parameter in tables}
        for table in plain.values():
            if table.get("reverse") is False:
                del table["reverse"]  # spaces from before there was the key are the same as ever
        return {"model": self.model, "parameters": plain}

    def structural(self, params: Params) -> Params:
        """Those of the params that change the compiled program."""
        return {full: value for full, value in params.items() if not self.is_scalar(full)}

    def scalar(self, params: Params) -> dict[str, float]:
        """Those of the params that are numbers fed into a compiled program."""
        return {full: float(value) for full, value in params.items() if self.is_scalar(full)}

    def is_scalar(self, full: str) -> bool:
        """Whether a full name stands for a number that is fed into a compiled program.

        It does when it is called dropout, l1, ... or ends so, as in head_dropout. What the space does
        not know is structural, and so is everything in a user's own model, which may do anything with it.
        """
        if self.is_custom or full not in self._places:
            return False
        name, _ = self._places[full]
        values = self.parameters[name].grid() or (0.0,)
        is_number = not any(isinstance(value, bool | str) for value in values)
        return is_number and any(f"_{name}".endswith(f"_{scalar}") for scalar in SCALAR_NAMES)

    def problems_with(self, params: Params) -> list[str]:
        """What is wrong with params that a user wrote, be they a part of a configuration or all of it.

        Returns:
            One line for each unknown name, each value outside its parameter, and each name that its
            parents exclude, or do not clearly include since they are not given.
        """
        wrong = {full: self.parameter(full).problem(params[full]) for full in params if full in self._places}
        sound = {full: params[full] for full, law in wrong.items() if law is None}
        there = {**self.active(sound), **sound}
        lines = []
        for full in params:
            if full not in wrong:
                lines.append(f"unknown parameter {shown(full)}{did_you_mean(full, self._places)}")
            elif law := wrong[full] or self._uncertain(full, there):
                lines.append(f"{full}: {law}")
        return lines

    @cached_property
    def _places(self) -> dict[str, tuple[str, int]]:
        """The parameter and the number of the repeat behind each full name."""
        return {full: (name, index) for name, fulls in self._repeats.items() for index, full in enumerate(fulls)}

    @cached_property
    def _repeats(self) -> dict[str, list[str]]:
        """The full names of each parameter, as many as there can be."""
        return {name: relations.repeats(name, self.parameters) for name in self.parameters}

    def _unmet(self, full: str, params: Params) -> Iterator[tuple[str, tuple[Scalar, ...]]]:
        """The parents, by their full names, that do not have one of the values that a parameter asks for."""
        name, index = self._places[full]
        for parent, values in self.parameters[name].when.items():
            asked = self.parameters[parent]
            beside = f"{parent}_{index}" if relations.per(asked) else parent
            if not (beside in params and any(same(params[beside], asked.settle(value)) for value in values)):
                yield beside, values

    def _uncertain(self, full: str, params: Params) -> str | None:
        """Why a name does not exist beside params, or may not exist once the missing ones are drawn."""
        if unmet := next(self._unmet(full, params), None):
            parent, values = unmet
            return f"exists only when {parent} = {listed(values)} ({_state(parent, params)})"
        name, index = self._places[full]
        repeat = relations.per(self.parameters[name])
        if repeat is None or index < int(params.get(repeat, self._fewest(repeat))):
            return None
        return f"exists only when {repeat} is {index + 1} or more ({_state(repeat, params)})"

    def _fewest(self, repeat: str) -> int:
        """The number of repeats that there are in any case."""
        parent = self.parameters[repeat]
        fewest, _ = relations.counts(parent) or (0, 0)
        return 0 if parent.when else fewest


def _sound(written: Any, check: ValidatorFunctionWrapHandler) -> tuple[dict[str, Parameter], list[InitErrorDetails]]:
    """The parameters that are sound in themselves, and what is wrong with the others."""
    try:
        return check(written), []
    except ValidationError as error:
        if not isinstance(written, dict):
            raise
        problems = [
            InitErrorDetails(type=one["type"], loc=one["loc"], input=one["input"], ctx=one.get("ctx", {}))
            for one in error.errors()
        ]
    unsound = {one["loc"][0] for one in problems}
    return check({name: table for name, table in written.items() if name not in unsound}), problems


def _state(name: str, params: Params) -> str:
    return f"{name} = {shown(params[name])}" if name in params else f"{name} has no value"
