"""Read the query of a request. Its values may be identifiers of a patient's study, and reach no log."""

from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import parse_qsl

from pleura.errors import InvalidRequest

_MAX_BYTES: Final = 2048


def read_query(query: bytes, names: Collection[str]) -> Mapping[str, str]:
    """Read the values of a query by their names.

    Args:
        query: The bytes behind the question mark; empty without a query.
        names: The names that the query may have.

    Raises:
        InvalidRequest: The query is too long or malformed, has another name, or has a name twice.
    """
    if len(query) > _MAX_BYTES:
        raise InvalidRequest(f"the query exceeds {_MAX_BYTES} bytes")
    if not query:
        return {}
    if b";" in query:  # to some programs it separates pairs
        raise InvalidRequest("a semicolon in the query must be written %3B")
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError as error:
        raise InvalidRequest("the query must be name=value&name=value, with percent-encoded UTF-8") from error
    values = dict(pairs)
    if not values.keys() <= set(names):
        raise InvalidRequest(f"the query may have: {', '.join(sorted(names))}")
    if len(values) < len(pairs):
        raise InvalidRequest("the query has a name twice")
    return values
