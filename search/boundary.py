"""Where every error of a command ends: one line a problem, and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer
from typer.main import get_command

INTERNAL_ERROR, BAD_INPUT = 1, 2


def run_verb(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Run the command line.

    Args:
        app: The verbs.
        arguments: Without the program's name.
    Returns:
        0 done; 1 no usable trial, or an internal error; 2 bad input; 3 the store or the environment;
        130 SIGINT; 143 SIGTERM.
    """
    debug = "--debug" in arguments
    words = [word for word in arguments if word != "--debug"]
    try:
        result = get_command(app).main(args=words, prog_name="toprung", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except typer.TyperException as error:
        message = error.format_message()  # empty where typer has shown the help instead
        return _complain(message, BAD_INPUT) if message else BAD_INPUT
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except Exception as error:
        if debug:
            raise
        return _ended(error)


def _ended(error: Exception) -> int:
    """The exit code of an error, once it has been told."""
    from reports.errors import ReportError
    from search.errors import Interrupted, SearchError
    from spaces.errors import InputError, in_a_line
    from studies.errors import StudyError

    match error:
        case Interrupted():
            print("interrupted; the same command goes on from here", file=sys.stderr)
            return error.exit_code
        case SearchError() | ReportError() | StudyError() | InputError():
            return _complain(str(error), error.exit_code)
        case BrokenPipeError():
            sys.stderr.close()  # whoever read the output has gone; Python would complain about it at exit
            return 0
    return _complain(f"internal: {in_a_line(error)}; --debug shows where", INTERNAL_ERROR)


def _complain(message: str, exit_code: int) -> int:
    """Tell an error; names in it come from files, so nothing in it may steer the terminal."""
    from reports.words import printable

    lines = [printable(line.expandtabs(4)) for line in f"error: {message}".split("\n")]
    print("\n".join(lines), file=sys.stderr)
    return exit_code
