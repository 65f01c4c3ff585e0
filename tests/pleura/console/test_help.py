"""``--help`` of every command is quick, and loads none of the heavy packages."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]
_HEAVY = {"tensorflow", "keras", "cv2", "mlflow", "kfp", "minio", "psycopg2", "kserve", "rich"}
_MOST_S = 1.0
"""Processor seconds; about 0.2 are usual."""
_TRIES = 3
"""A loaded machine slows one try down; a slow import slows all of them down."""
_DRIVER = """
import contextlib, io, json, sys, time
from pleura.console.app import main
start_s, answers = time.process_time(), []
for command in json.loads(sys.argv[1]):
    text, before_s = io.StringIO(), time.process_time()
    with contextlib.redirect_stdout(text):
        code = main([*command, "--help"])
    answers.append((text.getvalue(), code, start_s + time.process_time() - before_s))
json.dump((answers, sorted(sys.modules)), sys.stdout)
"""
_GROUPS = {
    "answers": ("show", "find", "overlay"),
    "model": ("list", "show", "compare", "promote", "rollback", "import", "build", "upload"),
    "data": ("build-folder", "build-journal", "merge", "validate", "show"),
    "pipeline": ("run", "compile", "submit", "schedule"),
    "drift": ("check", "reference", "audits"),
}
_SINGLE = (
    *("up", "down", "status", "token", "classify", "feedback"),
    *("train", "fit-input-check", "ablate", "evaluate", "rollout"),
)


_COMMANDS = [
    (),
    *((name,) for name in (*_SINGLE, *_GROUPS)),
    *((group, name) for group, names in _GROUPS.items() for name in names),
]


@dataclass(frozen=True)
class HelpText:
    """The output of ``--help``, its exit code, and its processor time since the interpreter's start."""

    text: str
    code: int
    seconds: float


def ask_for_help() -> tuple[dict[tuple[str, ...], HelpText], set[str]]:
    """Ask every command for help in one new interpreter, and list the modules that it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, json.dumps(_COMMANDS)],
        capture_output=True,
        text=True,
        check=True,
        cwd=_ROOT,
    )
    answers, modules = json.loads(done.stdout)
    return {command: HelpText(*answer) for command, answer in zip(_COMMANDS, answers, strict=True)}, set(
        modules
    )


@pytest.fixture(scope="module")
def help_texts() -> dict[tuple[str, ...], HelpText]:
    """The help of every command."""
    return ask_for_help()[0]


@pytest.mark.parametrize("command", _COMMANDS, ids=" ".join)
def test_help_shows_the_usage(command: tuple[str, ...], help_texts: dict[tuple[str, ...], HelpText]) -> None:
    """The help of a command begins with its usage."""
    assert help_texts[command].code == 0
    assert help_texts[command].text.startswith(" ".join(["Usage: pleura", *command]))


def test_help_loads_no_heavy_package() -> None:
    """After the help of all commands, no heavy package is loaded."""
    assert ask_for_help()[1] & _HEAVY == set()


def test_help_is_quick() -> None:
    """The fastest of three tries takes the processor less than a second, for each command."""
    fastest_s = dict.fromkeys(_COMMANDS, float("inf"))
    for _ in range(_TRIES):
        for command, answer in ask_for_help()[0].items():
            fastest_s[command] = min(fastest_s[command], answer.seconds)
        if max(fastest_s.values()) < _MOST_S:
            break
    assert [command for command, seconds in fastest_s.items() if seconds >= _MOST_S] == []


def test_every_command_is_measured(help_texts: dict[tuple[str, ...], HelpText]) -> None:
    """The help of each group lists the commands that this module measures, and no others."""
    for group, names in {"": (*_SINGLE, *_GROUPS), **_GROUPS}.items():
        text = help_texts[tuple(group.split())].text
        lines = text.partition("\nCommands:\n")[2].splitlines()
        assert {line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "} == set(names)
