"""What may vary in a model: parameters, spaces, and the files they come from."""

from spaces.errors import InputError, LawError, close_match, did_you_mean, key_path, listed, shown
from spaces.files import CATALOG, catalog_names, find, load_space, read_toml, shown_path, validate
from spaces.parameters import SCALAR_NAMES, Categorical, Fixed, Float, Int, Ordinal, Parameter, Params, Scalar
from spaces.sampling import Trial, from_index, is_indexed, suggest, to_index
from spaces.space import Space

__all__ = [
    "CATALOG",
    "SCALAR_NAMES",
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
    "close_match",
    "did_you_mean",
    "find",
    "from_index",
    "is_indexed",
    "key_path",
    "listed",
    "load_space",
    "read_toml",
    "shown",
    "shown_path",
    "suggest",
    "to_index",
    "validate",
]
