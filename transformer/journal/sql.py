"""Writing rows of the journal: one statement for many requests, and what to do where an id repeats."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
from psycopg2.extras import execute_values

from pleura.errors import Conflict
from pleura.journal_row import JournalRow
from transformer.journal.row import require_same_answer

COLUMNS: Final = (
    "principal",
    "request_id",
    "position",
    "image_id",
    "image_digest",
    "model_name",
    "model_version",
    "model_digest",
    "preprocessing_version",
    "probabilities",
    "thresholds",
    "findings",
    "typicality",
    "latency_ms",
    "cached",
    "answered_at",
)
_TEMPLATE: Final = (
    "("
    + ", ".join(
        {"probabilities": "%s::real[]", "thresholds": "%s::real[]", "findings": "%s::text[]"}.get(name, "%s")
        for name in COLUMNS
    )
    + ")"
)
_NAMES: Final = ", ".join(f'"{name}"' for name in COLUMNS)
_INSERT: Final = (  # of constants only
    f"INSERT INTO {{table}} ({_NAMES}) VALUES %s ON CONFLICT DO NOTHING RETURNING position"  # noqa: S608
)
_INSERT_ALL: Final = f"INSERT INTO answers ({_NAMES}) VALUES ".encode()  # noqa: S608  # of constants only
_DIGESTS: Final = (
    'SELECT answers.principal, answers.request_id, answers."position", answers.image_digest, '
    "answers.model_digest FROM answers "
    'JOIN (VALUES %s) AS asked (principal, request_id, "position") USING (principal, request_id, "position")'
)


def _values(entry: JournalRow) -> tuple[Any, ...]:
    values = {name: getattr(entry, name) for name in COLUMNS}
    for name in ("probabilities", "thresholds"):
        values[name] = f"{{{','.join(map(repr, values[name]))}}}"  # psycopg2 adapts number by number
    values["findings"] = list(values["findings"])
    values["latency_ms"] = orjson.dumps(entry.latency_ms).decode()
    return tuple(values.values())


def send_rows(cursor: Any, entries: Sequence[JournalRow]) -> None:
    """Send the statement that inserts all of the rows, or none where one of their keys is there already."""
    rows = b", ".join(cursor.mogrify(_TEMPLATE, _values(entry)) for entry in entries)
    cursor.execute(_INSERT_ALL + rows)


def _inserted(cursor: Any, entries: Sequence[JournalRow], table: str = "answers") -> int:
    rows = [_values(entry) for entry in entries]
    statement = _INSERT.format(table=table)
    return len(execute_values(cursor, statement, rows, _TEMPLATE, page_size=len(rows), fetch=True))


def _require_same(cursor: Any, entries: Sequence[JournalRow]) -> None:
    keys = [entry.key for entry in entries]
    known = execute_values(cursor, _DIGESTS, keys, page_size=len(keys), fetch=True)
    digests = {tuple(row[:3]): tuple(row[3:]) for row in known}
    for entry in entries:
        require_same_answer(entry, *digests[entry.key])


def insert_requests(cursor: Any, requests: Sequence[Sequence[JournalRow]]) -> list[Conflict | None]:
    """Insert the rows of several requests, each request wholly or not at all, first in their transaction.

    Returns:
        For each request None, or the conflict for which none of its rows was inserted; the same rows
        again are none.
    """
    entries = [entry for request in requests for entry in request]
    if _inserted(cursor, entries) == len(entries):
        return [None] * len(requests)
    cursor.connection.rollback()
    return [_insert_request(cursor, request) for request in requests]


def _insert_request(cursor: Any, request: Sequence[JournalRow]) -> Conflict | None:
    cursor.execute("SAVEPOINT one_request")
    try:
        if _inserted(cursor, request) < len(request):
            _require_same(cursor, request)
    except Conflict as conflict:
        cursor.execute("ROLLBACK TO SAVEPOINT one_request")
        return conflict
    return None


def insert_spooled(cursor: Any, entries: Iterable[JournalRow]) -> None:
    """Insert rows whose answers were given long ago; those in conflict go where they can be looked into."""
    requests = [[entry] for entry in entries]
    conflicts = insert_requests(cursor, requests) if requests else []
    disputed = [request[0] for request, conflict in zip(requests, conflicts, strict=True) if conflict]
    if disputed:
        _inserted(cursor, disputed, "disputed_answers")
