"""What may vary in a model: parameters, spaces, and the files they come from."""

from spaces.errors import InputError, LawError, did_you_mean, listed, shown
from spaces.files import CATALOG, catalog_names, find, load_space, read_toml, shown_path
from spaces.parameters import Categorical, Fixed, Float, Int, Ordinal, Parameter, Params, Scalar
from spaces.sampling import Trial, from_index, is_indexed, suggest, to_index
from spaces.space import Space
from spaces.validation import validate

__all__ = [
    "CATALOG",
    "Categorical",
    "Fixed",
    "Float",
    "InputError",
    "Int",
    "LawError",
    "Ordinal",
    "Parameter",
    "Params",
    "Scalar",
    "Space",
    "Trial",
    "catalog_names",
    "did_you_mean",
    "find",
    "from_index",
    "is_indexed",
    "listed",
    "load_space",
    "read_toml",
    "shown",
    "shown_path",
    "suggest",
    "to_index",
    "validate",
]
