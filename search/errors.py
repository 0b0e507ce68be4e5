"""The one exception of this room for what a person can put right."""

from __future__ import annotations

BAD_INPUT, ENVIRONMENT = 2, 3
"""Exit codes: of what is the study's fault, and of what is not."""


class SearchError(Exception):
    """An expected problem, in the words that a person needs to solve it.

    Attributes:
        exit_code: 1 for no usable trial, 2 for bad input, 3 for the environment.
    """

    def __init__(self, message: str, exit_code: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Unusable(SearchError):
    """A problem that every trial of a study would meet: it ends the search instead of failing a trial."""


class Interrupted(Exception):
    """The user asked a run to end; it can be taken up again.

    Attributes:
        exit_code: 130 for SIGINT, 143 for SIGTERM.
    """

    def __init__(self, exit_code: int = 130) -> None:
        super().__init__("interrupted")
        self.exit_code = exit_code
