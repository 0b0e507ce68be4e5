"""The version of what toprung writes into a store beside Optuna's own tables.

It goes up when an older toprung would misread a study; each study tells its own.
"""

from typing import Any

from studies.errors import StudyError

KEY = "format"
CURRENT = 1
"""Of studies that are made now; one that does not tell is of version 1."""


def refuse_newer(found: Any, place: str, study: str) -> None:
    """Raise for a study that a later toprung wrote, which this one would misread or spoil.

    Args:
        found: Its attribute `KEY`; None where it has none.
        place: Of the store, for the message.
        study: Its name.

    Raises:
        StudyError: With exit code 3.
    """
    if found is not None and found not in range(1, CURRENT + 1):
        law = f"this toprung reads version {CURRENT}: pip install -U toprung"
        raise StudyError(f'{place}: the study "{study}" has version {found} of the store\'s format; {law}', exit_code=3)
