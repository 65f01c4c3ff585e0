"""Reads the project's Markdown documents: headings, code blocks and links."""

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_FENCE: Final = re.compile(
    r"^(?P<fence>`{3,})(?P<info>[^`\n]*)\n(?P<content>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL
)
_HEADING: Final = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)
_LINK: Final = re.compile(r"\]\(([^()\s]+)\)")
_TEST_MARK: Final = "<!-- test -->\n"


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block; ``is_tested`` where the comment ``<!-- test -->`` stands in the line before it."""

    language: str
    content: str
    is_tested: bool


@dataclass(frozen=True)
class Heading:
    """A heading; its anchor is made as GitHub makes it."""

    level: int
    text: str

    @property
    def anchor(self) -> str:
        """The part behind ``#`` of a link to the heading."""
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", self.text).lower()
        return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def find_documents() -> Sequence[Path]:
    """Give every Markdown document of the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [path for name in listed if (path := ROOT / name).exists()]


def code_blocks(text: str) -> Iterator[CodeBlock]:
    """Give the fenced blocks of a document, in order."""
    for match in _FENCE.finditer(text):
        is_tested = text[: match.start()].endswith(_TEST_MARK)
        yield CodeBlock(match["info"].strip(), match["content"], is_tested)


def headings(text: str) -> Sequence[Heading]:
    """Give the headings of a document, in order."""
    return [Heading(len(marks), words) for marks, words in _HEADING.findall(_FENCE.sub("", text))]


def links(text: str) -> Sequence[str]:
    """Give the targets of all links and pictures of a document."""
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text)))
