"""Write to the terminal: results to standard output, errors to standard error."""

import contextlib
import sys
from collections.abc import Iterator


class CommandFailed(Exception):
    """The command cannot do what the user wants; the message is one line that says why."""


@contextlib.contextmanager
def one_line_errors(*expected: type[Exception]) -> Iterator[None]:
    """Turn the expected exceptions into ``CommandFailed``, which prints no traceback."""
    try:
        yield
    except expected as error:
        raise CommandFailed(str(error)) from error


def print_line(text: str) -> None:
    """Write a line and flush it, so that a pipe receives it at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def print_error(text: str) -> None:
    """Write an error to standard error."""
    sys.stderr.write(f"pleura: {text}\n")
    sys.stderr.flush()
