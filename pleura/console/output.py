"""Write to the terminal: results to standard output, errors to standard error."""

import contextlib
import os
import sys
import tempfile
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


@contextlib.contextmanager
def hold_standard_error() -> Iterator[None]:
    """Hold back what libraries write to standard error. An unexpected failure prints it."""
    sys.stderr.flush()
    # file descriptors, because TensorFlow writes from C++, past sys.stderr
    with tempfile.TemporaryFile() as held, os.fdopen(os.dup(2), "wb") as terminal:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except CommandFailed:
            raise
        except Exception:
            sys.stderr.flush()
            held.seek(0)
            terminal.write(held.read())
            raise
        finally:
            sys.stderr.flush()
            terminal.flush()
            os.dup2(terminal.fileno(), 2)


def print_line(text: str) -> None:
    """Write a line and flush it, so that a pipe receives it at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def print_error(text: str) -> None:
    """Write an error to standard error."""
    sys.stderr.write(f"pleura: {text}\n")
    sys.stderr.flush()
