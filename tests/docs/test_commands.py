"""The commands that the documents show exist, with the options that the documents give them."""

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest
import typer

from pleura.console.app import app
from tests.docs.markdown import code_blocks, find_documents

_COMMAND: Final = re.compile(r"(?:^|\()(?:\.venv/bin/)?pleura (.*?)(?:\)|$)")


def _shown_commands() -> Iterator[str]:
    for document in find_documents():
        for block in code_blocks(document.read_text()):
            for line in block.content.replace("\\\n", " ").splitlines():
                if block.language == "sh" and (match := _COMMAND.search(line.strip())):
                    yield match[1]


def _unknown_words(words: Sequence[str]) -> list[str]:
    """Give the sub-commands and options among the words that ``pleura`` does not have."""
    command: Any = typer.main.get_command(app)
    options = {name for parameter in command.params for name in parameter.opts}
    while groups := getattr(command, "commands", None):
        names = [word for word in words if word in groups]
        if not names:
            return list(words)
        command = groups[names[0]]
        options |= {name for parameter in command.params for name in parameter.opts}
    return [word for word in words if word.startswith("--") and word not in options]


@pytest.mark.parametrize("shown", sorted(set(_shown_commands())))
def test_a_shown_command_exists(shown: str) -> None:
    """Its sub-commands and its options are those of the command ``pleura``."""
    assert _unknown_words(shlex.split(shown, comments=True)) == []
