"""What can go wrong in a report: one exception class for this room."""


class ReportError(Exception):
    """A report, an export or the dashboard cannot be made as asked.

    Attributes:
        exit_code: 2 for what the user asked, 3 for the store or the machine (full, locked, damaged).
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
