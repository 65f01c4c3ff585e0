"""What libraries write to standard error is held back until a command fails unexpectedly."""

import os

import pytest

from pleura.console.output import CommandFailed, hold_standard_error


def write_and_fail(error: Exception) -> None:
    with hold_standard_error():
        os.write(2, b"noise")
        raise error


def test_a_quiet_command_stays_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    """Neither a success nor an expected failure prints what libraries wrote."""
    with hold_standard_error():
        os.write(2, b"noise")
    with pytest.raises(CommandFailed):
        write_and_fail(CommandFailed("expected"))
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_an_unexpected_failure_prints_what_was_held(capfd: pytest.CaptureFixture[str]) -> None:
    """The output of the libraries may explain the failure."""
    with pytest.raises(ValueError, match="unexpected"):
        write_and_fail(ValueError("unexpected"))
    assert capfd.readouterr().err == "noise"
