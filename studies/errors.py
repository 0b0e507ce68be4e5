"""The one exception of this room."""


class StudyError(Exception):
    """Something a user can put right: a study that is not there, a store that cannot be used.

    Attributes:
        exit_code: 2 for bad input, 3 for the store or the environment.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
