"""The Spanish documents say what the English ones say."""

import hashlib
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, code_blocks, headings

_TRANSLATED = ("README.md", "docs/integrate.md", "docs/operate.md")


def _spanish(document: str) -> Path:
    return (ROOT / document).with_suffix(".es.md")


def _digest_line(document: str) -> str:
    digest = hashlib.sha256((ROOT / document).read_bytes()).hexdigest()
    return f"<!-- Translated from {document}, sha256 {digest} -->"


@pytest.mark.parametrize("document", _TRANSLATED)
def test_a_translation_has_the_same_headings(document: str) -> None:
    """The levels of the headings are the same, in the same order."""
    english, spanish = (headings(path.read_text()) for path in (ROOT / document, _spanish(document)))
    assert [heading.level for heading in spanish] == [heading.level for heading in english]


@pytest.mark.parametrize("document", _TRANSLATED)
def test_a_translation_has_the_same_code_blocks(document: str) -> None:
    """Code is not translated: both documents have the same blocks, byte for byte."""
    english, spanish = (list(code_blocks(path.read_text())) for path in (ROOT / document, _spanish(document)))
    assert spanish == english


@pytest.mark.parametrize("document", _TRANSLATED)
def test_a_translation_names_the_source_that_it_translates(document: str) -> None:
    """The last line has the digest of the English document; who changes that one must look at both."""
    last_line = _spanish(document).read_text().splitlines()[-1]
    assert last_line == _digest_line(document), (
        f"{document} has changed. Bring {_spanish(document).name} up to date by hand, "
        f"and then replace its last line by:\n{_digest_line(document)}"
    )
