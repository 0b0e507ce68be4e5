"""Where two fingerprints of a study differ."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from spaces import shown


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Where two fingerprints differ: `hyperband.max_resource: 27 in the store, 81 in the file`."""
    return list(_differences(old, new))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key in {**new, **old}:
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _differences(before, after, f"{path}{key}.")
        elif json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True):  # true is not 1 here
            yield f"{path}{key}: {_shown(before)} in the store, {_shown(after)} in the file"


def _shown(value: Any) -> str:
    return "nothing" if value is None else shown(value)
