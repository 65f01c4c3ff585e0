"""Writes journal rows: one statement for many requests, and a rule for a request id that comes twice."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
import psycopg2
from psycopg2.extras import execute_values

from pleura.errors import Conflict
from pleura.journal_row import AnyRow
from transformer.journal.row import StoredOutcome, require_same_outcome


class RowRefused(Exception):
    """PostgreSQL refuses the values of a row. The text names the kind of the failure."""


RowOutcome = Conflict | RowRefused | None
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
    "accession_number_pseudonym",
    "study_instance_uid_pseudonym",
    "sop_instance_uid_pseudonym",
    "warnings",
    "refusal_reasons",
)
_ARRAYS: Final = {
    "probabilities": "%s::real[]",
    "thresholds": "%s::real[]",
    **dict.fromkeys(("findings", "warnings", "refusal_reasons"), "%s::text[]"),
}
_TEMPLATE: Final = "(" + ", ".join(_ARRAYS.get(name, "%s") for name in COLUMNS) + ")"
_NAMES: Final = ", ".join(f'"{name}"' for name in COLUMNS)
_INSERT: Final = (  # of constants only
    f"INSERT INTO {{table}} ({_NAMES}) VALUES %s ON CONFLICT DO NOTHING RETURNING position"  # noqa: S608
)
_INSERT_ALL: Final = f"INSERT INTO answers ({_NAMES}) VALUES ".encode()  # noqa: S608  # of constants only
_DIGESTS: Final = (
    'SELECT answers.principal, answers.request_id, answers."position", answers.image_digest, '
    "answers.model_digest, cardinality(answers.refusal_reasons) > 0 FROM answers "
    'JOIN (VALUES %s) AS asked (principal, request_id, "position") USING (principal, request_id, "position")'
)


def _values(row: AnyRow) -> tuple[Any, ...]:
    values = {name: getattr(row, name) for name in COLUMNS}
    for name in ("probabilities", "thresholds"):
        if values[name] is not None:
            values[name] = f"{{{','.join(map(repr, values[name]))}}}"  # psycopg2 would adapt number by number
    for name in ("findings", "warnings", "refusal_reasons"):
        values[name] = None if values[name] is None else list(values[name])
    values["latency_ms"] = orjson.dumps(row.latency_ms).decode()
    return tuple(values.values())


def send_rows(cursor: Any, rows: Sequence[AnyRow]) -> None:
    """Send the statement that inserts all rows, or none where the table has the key of any of them."""
    values = b", ".join(cursor.mogrify(_TEMPLATE, _values(row)) for row in rows)
    cursor.execute(_INSERT_ALL + values)


def _insert_new(cursor: Any, rows: Sequence[AnyRow], table: str = "answers") -> int:
    """Insert the rows whose keys are new, and give their number."""
    values = [_values(row) for row in rows]
    statement = _INSERT.format(table=table)
    return len(execute_values(cursor, statement, values, _TEMPLATE, page_size=len(values), fetch=True))


def _require_same_outcomes(cursor: Any, rows: Sequence[AnyRow]) -> None:
    keys = [row.key for row in rows]
    stored = execute_values(cursor, _DIGESTS, keys, page_size=len(keys), fetch=True)
    outcomes = {tuple(columns[:3]): StoredOutcome(*columns[3:]) for columns in stored}
    for row in rows:
        require_same_outcome(row, outcomes[row.key])


def is_refusal(error: Exception) -> bool:
    """Whether PostgreSQL, or its client, refuses the values of a row. Other rows may be written."""
    if isinstance(error, psycopg2.ProgrammingError):
        # without a code it comes from the client: the value has a type that PostgreSQL does not know
        return error.pgcode is None or isinstance(error, psycopg2.errors.DatatypeMismatch)
    return isinstance(error, (psycopg2.DataError, psycopg2.IntegrityError, ValueError, TypeError))


def insert_requests(cursor: Any, requests: Sequence[Sequence[AnyRow]]) -> list[RowOutcome]:
    """Insert the rows of several requests, each request completely or not at all.

    This must be the first statement of its transaction. Rows that the table already has are not a conflict.

    Returns:
        For each request None, or the conflict or the refusal that kept all of its rows out.
    """
    # a savepoint for each request would cost a round trip, and a key that exists already is rare
    try:
        if _insert_all_new(cursor, requests):
            return [None] * len(requests)
    except Exception as error:
        if not is_refusal(error):
            raise
        cursor.connection.rollback()
        return _insert_halves(cursor, requests)
    cursor.connection.rollback()
    return [_insert_request(cursor, request) for request in requests]


def _insert_all_new(cursor: Any, requests: Sequence[Sequence[AnyRow]]) -> bool:
    rows = [row for request in requests for row in request]
    return _insert_new(cursor, rows) == len(rows)


def _insert_halves(cursor: Any, requests: Sequence[Sequence[AnyRow]]) -> list[RowOutcome]:
    """Insert requests of which one is refused: one of 256 is found by 16 statements."""
    if len(requests) == 1:
        return [_insert_request(cursor, requests[0])]
    middle = len(requests) // 2
    return [*_insert_part(cursor, requests[:middle]), *_insert_part(cursor, requests[middle:])]


def _insert_part(cursor: Any, requests: Sequence[Sequence[AnyRow]]) -> list[RowOutcome]:
    cursor.execute("SAVEPOINT part")
    try:
        if _insert_all_new(cursor, requests):
            return [None] * len(requests)
    except Exception as error:
        if not is_refusal(error):
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT part")
        return _insert_halves(cursor, requests)
    cursor.execute("ROLLBACK TO SAVEPOINT part")
    return [_insert_request(cursor, request) for request in requests]


def _insert_request(cursor: Any, request: Sequence[AnyRow]) -> RowOutcome:
    cursor.execute("SAVEPOINT one_request")
    outcome: RowOutcome = None
    try:
        if _insert_new(cursor, request) < len(request):
            _require_same_outcomes(cursor, request)
    except Conflict as conflict:
        outcome = conflict
    except Exception as error:
        if not is_refusal(error):
            raise
        outcome = RowRefused(type(error).__name__)
    if outcome:
        cursor.execute("ROLLBACK TO SAVEPOINT one_request")
    return outcome


def insert_spooled(cursor: Any, rows: Iterable[AnyRow]) -> list[bool]:
    """Insert rows whose answers were sent earlier. Rows in conflict go to the table ``disputed_answers``.

    Returns:
        For each row whether PostgreSQL refuses it.
    """
    requests = [[row] for row in rows]
    outcomes = insert_requests(cursor, requests) if requests else []
    disputed = [
        request[0]
        for request, outcome in zip(requests, outcomes, strict=True)
        if isinstance(outcome, Conflict)
    ]
    if disputed:
        _insert_new(cursor, disputed, "disputed_answers")
    return [isinstance(outcome, RowRefused) for outcome in outcomes]
