"""Reads stored answers from PostgreSQL, with connections and threads of its own.

An answer that still waits in the spool is not found. While any answer waits, the service says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC
from functools import partial
from typing import Any, Final

import psycopg2
import structlog

from pleura.deadline import Deadline
from pleura.errors import Unavailable
from pleura.journal_row import AnyRow, JournalRow, RefusedRow
from transformer.answers.query import AnswerName, AnswerQuery, Cursor, Requester
from transformer.bounded_threads import BoundedThreads
from transformer.feedback.verdicts import AnswerNotFound
from transformer.journal.database import Database
from transformer.journal.journal import Journal
from transformer.journal.sql import COLUMNS
from transformer.pseudonyms import PseudonymKeys

_THREADS: Final = 2
_MAX_WAITING: Final = 64
_ARRAYS: Final = ("probabilities", "thresholds", "findings", "warnings", "refusal_reasons")
_NAMES: Final = ", ".join(f'"{name}"' for name in COLUMNS)
# S608: of constants only
_SHOW: Final = (
    f"SELECT {_NAMES} FROM answers WHERE principal = %(principal)s AND request_id = %(request_id)s "  # noqa: S608
    'ORDER BY "position"'
)
_ORDER: Final = '(answered_at, principal, request_id, "position")'
_FIND: Final = f"SELECT {_NAMES} FROM answers WHERE {{conditions}} ORDER BY {{order}} LIMIT %(limit)s"  # noqa: S608
log = structlog.get_logger()


@dataclass(frozen=True)
class AnswerPage:
    """A page of answers, newest first.

    ``next`` is where the next page begins, None on the last one. ``is_complete`` is False while answers wait
    in the spool, since one of them may belong on the page.
    """

    rows: Sequence[AnyRow]
    next: Cursor | None
    is_complete: bool


class StoredAnswers:
    """Finds the answers of the journal."""

    def __init__(
        self, database: Database, journal: Journal, timeout_s: float, pseudonym_keys: PseudonymKeys
    ) -> None:
        self._database, self._journal, self._timeout_s = database, journal, timeout_s
        self._keys = pseudonym_keys
        self._threads = BoundedThreads("answers", _THREADS, _MAX_WAITING)

    def close(self) -> None:
        """Finish the running look-ups, and close the connections."""
        self._threads.close()
        self._database.close()

    async def show(self, name: AnswerName, requester: Requester, deadline: Deadline) -> Sequence[AnyRow]:
        """Give the answers of one request, one for each radiograph, in their order.

        Raises:
            AnswerNotFound: There is none that the requester may read.
            Unavailable: PostgreSQL is down, or the answer may wait in the spool.
        """
        principal = requester.choose_principal(name.answered_to)
        if principal is None:
            # an answer that exists must not look different from one that does not
            raise self._make_not_found()
        values = {"principal": principal, "request_id": name.request_id}
        rows = await self._read(_SHOW, values, deadline)
        if not rows:
            raise self._make_not_found()
        return rows

    async def find(self, query: AnswerQuery, requester: Requester, deadline: Deadline) -> AnswerPage:
        """Find answers by the identifiers of their radiographs.

        Raises:
            IdentifiersNotKept: The service has no key of pseudonyms.
            Unavailable: PostgreSQL is down.
        """
        self._keys.require_key(query.identifiers)
        is_complete = not self._journal.has_backlog
        principal = requester.choose_principal(query.answered_to)
        if principal is None:
            return AnswerPage((), None, is_complete)
        if requester.reads_all:
            principal = query.answered_to
        statement, values = self._build_search(query, principal)
        rows = await self._read(statement, values, deadline)
        page = rows[: query.limit]
        return AnswerPage(page, _make_cursor(page[-1]) if len(rows) > query.limit else None, is_complete)

    def _build_search(self, query: AnswerQuery, principal: str | None) -> tuple[str, Mapping[str, Any]]:
        """Build the statement of a search; a principal of None stands for all of them."""
        conditions: list[str] = []
        values: dict[str, Any] = {"limit": query.limit + 1}  # one more shows whether there is another page
        for name, identifier in query.identifiers.as_mapping().items():
            conditions.append(f"{name}_pseudonym = ANY(%({name})s)")
            values[name] = self._keys.list_pseudonyms(name, identifier)
        if principal is not None:
            conditions.append("principal = %(principal)s")
            values["principal"] = principal
        if cursor := query.cursor:
            conditions.append(f"{_ORDER} < (%(time)s, %(after)s, %(request_id)s, %(position)s)")
            values |= {
                "time": cursor.answered_at,
                "after": cursor.principal,
                "request_id": cursor.request_id,
                "position": cursor.position,
            }
        order = ", ".join(f"{column} DESC" for column in _ORDER.strip("()").split(", "))
        return _FIND.format(conditions=" AND ".join(conditions), order=order), values

    async def _read(self, statement: str, values: Mapping[str, Any], deadline: Deadline) -> Sequence[AnyRow]:
        return await self._threads.run(partial(self._execute, statement, values, deadline), deadline)

    def _execute(self, statement: str, values: Mapping[str, Any], deadline: Deadline) -> Sequence[AnyRow]:
        try:
            with self._database.transaction(min(self._timeout_s, deadline.remaining_s)) as cursor:
                cursor.execute(statement, values)
                return [_read_row(columns) for columns in cursor.fetchall()]
        except psycopg2.Error as error:  # the error's text may quote a value
            log.warning("answers_unavailable", reason=type(error).__name__)
            raise Unavailable("the journal cannot be read now") from error

    def _make_not_found(self) -> AnswerNotFound | Unavailable:
        if self._journal.has_backlog:
            return Unavailable("answers wait to be written to the journal, this one perhaps among them")
        return AnswerNotFound("the journal holds no such answer")


def _read_row(columns: Sequence[Any]) -> AnyRow:
    values = dict(zip(COLUMNS, columns, strict=True))
    for name in _ARRAYS:
        values[name] = None if values[name] is None else tuple(values[name])
    values["answered_at"] = values["answered_at"].astimezone(UTC)
    kind = RefusedRow if values["refusal_reasons"] else JournalRow
    return kind(**{each.name: values[each.name] for each in fields(kind)})


def _make_cursor(row: AnyRow) -> Cursor:
    return Cursor(row.answered_at, *row.key)
