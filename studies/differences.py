"""Where two fingerprints of a study differ."""

import json
from collections.abc import Mapping
from typing import Any

from spaces import shown


def differences(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> list[str]:
    """Where two fingerprints differ: `hyperband.max_resource: 27 in the store, 81 in the file`.

    Args:
        old: What the store has.
        new: What the file says.
        path: Of the two in a larger one, with a dot at its end.
    """
    lines = []
    for key in {**new, **old}:
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{path}{key}.")
        elif json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True):  # true is not 1 here
            lines.append(f"{path}{key}: {_shown(before)} in the store, {_shown(after)} in the file")
    return lines


def _shown(value: Any) -> str:
    return "nothing" if value is None else shown(value)
