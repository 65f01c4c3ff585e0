"""The source code as data, and the words that explain the names in it."""

import ast
import importlib
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
REFERENCE: Final = ROOT / "docs" / "reference"
PACKAGES: Final = ("auth_proxy", "transformer", "predictor", "pipelines", "pleura")


class UnexplainedName(Exception):
    """The code and ``meanings.toml`` do not have the same names."""


def parse_modules() -> Iterator[tuple[str, ast.Module]]:
    """Give each module of the packages: its dotted name and its syntax tree."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__"), ast.parse(path.read_text())


def load_classes(is_wanted: Callable[[ast.ClassDef], bool]) -> Iterator[tuple[str, type]]:
    """Import each class whose source ``is_wanted``; give it with the name of its module."""
    for module, tree in parse_modules():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and is_wanted(node):
                yield module, getattr(importlib.import_module(module), node.name)


def first_sentence(cls: type) -> str:
    """Give the first paragraph of a docstring in one line of Markdown."""
    return " ".join((cls.__doc__ or "").partition("\n\n")[0].split()).replace("``", "`")


def read_meanings(kind: str, names: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
    """Read the entries of one kind.

    Raises:
        UnexplainedName: The entries are not exactly those of ``names``.
    """
    entries: Mapping[str, Mapping[str, Any]]
    entries = tomllib.loads((REFERENCE / "meanings.toml").read_text())[kind]
    known = set(names)
    if missing := sorted(known - entries.keys()):
        raise UnexplainedName(f"docs/reference/meanings.toml has no entry [{kind}] for {missing}")
    if surplus := sorted(entries.keys() - known):
        raise UnexplainedName(f"docs/reference/meanings.toml explains what is not in the code: {surplus}")
    return entries


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
