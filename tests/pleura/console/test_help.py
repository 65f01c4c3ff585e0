"""``--help`` of every command is quick, and loads none of the heavy packages."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]
_HEAVY = {"tensorflow", "keras", "cv2", "mlflow", "kfp", "minio", "psycopg2", "kserve", "rich"}
_MOST_S = 1.0
"""Processor seconds; about 0.2 are usual."""
_TRIES = 3
"""A loaded machine slows one try down; a slow import slows all of them down."""
_DRIVER = """
import json, sys, time
from pleura.console.app import main
code = main(sys.argv[1:])
print("\\n" + json.dumps([code, time.process_time(), sorted(sys.modules)]))
"""
_GROUPS = {
    "model": ("list", "show", "compare", "promote", "rollback", "import", "build"),
    "data": ("build-folder", "build-journal", "merge", "validate", "show"),
    "pipeline": ("run", "compile", "submit", "schedule"),
    "drift": ("check", "reference", "audits"),
}
_SINGLE = ("up", "down", "status", "token", "classify", "feedback", "train", "ablate", "evaluate", "rollout")


def read_help(*command: str) -> tuple[str, int, float, set[str]]:
    """Run a command's --help in an interpreter of its own: text, exit code, processor seconds, modules."""
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=_ROOT,
    )
    *text, last = done.stdout.splitlines()
    code, seconds, modules = json.loads(last)
    return "\n".join(text), code, seconds, set(modules)


@pytest.mark.parametrize(
    "command",
    [
        (),
        *((name,) for name in (*_SINGLE, *_GROUPS)),
        *((g, name) for g, names in _GROUPS.items() for name in names),
    ],
    ids=" ".join,
)
def test_help_is_quick(command: tuple[str, ...]) -> None:
    """No heavy package is loaded, and the fastest of three tries takes the processor less than a second."""
    text, code, seconds, modules = read_help(*command)
    assert code == 0
    assert text.startswith(" ".join(["Usage: pleura", *command]))
    assert modules & _HEAVY == set()
    for _ in range(_TRIES - 1):
        if seconds < _MOST_S:
            break
        seconds = read_help(*command)[2]
    assert seconds < _MOST_S


def test_every_command_is_measured() -> None:
    """The help of each group lists the commands that this module measures, and no others."""
    for group, names in {"": (*_SINGLE, *_GROUPS), **_GROUPS}.items():
        text = read_help(*group.split())[0]
        lines = text.partition("\nCommands:\n")[2].splitlines()
        assert {line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "} == set(names)
