"""The form that every error has over REST."""

from typing import Any

from docs.generator.errors_page import error_classes
from pleura.errors import ERROR_DETAILS

CODES = frozenset(cls.code for cls in error_classes())
"""The codes that ``docs/reference/errors.md`` explains."""


def check_error(document: Any, **expected: str) -> None:
    """Check that a document is an error with text, a known code and request id, and has the given members."""
    assert list(document)[:3] == ["error", "code", "request_id"], document
    assert all(document[name] and isinstance(document[name], str) for name in list(document)[:3]), document
    assert document["code"] in CODES, document
    assert ERROR_DETAILS.issuperset(list(document)[3:]), document
    assert document | expected == document
