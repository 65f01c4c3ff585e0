"""What the command ``pleura`` says: lines on standard output, complaints on standard error."""

import sys


def print_line(text: str) -> None:
    """Write a line, at once also into a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def print_error(text: str) -> int:
    """Write a complaint, and give the exit code of a failure."""
    sys.stderr.write(f"pleura: {text}\n")
    sys.stderr.flush()
    return 1
