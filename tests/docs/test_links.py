"""Every link between documents leads somewhere."""

import re
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, find_documents, headings, links

_FOREIGN = ("http://", "https://", "mailto:")


def _broken(document: Path, link: str) -> bool:
    target, _, anchor = link.partition("#")
    path = (document.parent / target).resolve() if target else document
    if not path.exists() or not path.is_relative_to(ROOT):
        return True
    return bool(anchor) and anchor not in {heading.anchor for heading in headings(path.read_text())}


@pytest.mark.parametrize("document", find_documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_resolves(document: Path) -> None:
    """A link names a file of the repository, and an anchor names a heading of that file."""
    own = [link for link in links(document.read_text()) if not link.startswith(_FOREIGN)]
    assert [link for link in own if _broken(document, link)] == []


def test_the_architecture_names_files_that_exist() -> None:
    """Each path to a file in the map of the code leads to a file."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = re.findall(r"`([\w/.]+/[\w.]+\.\w+)`", text)
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []
