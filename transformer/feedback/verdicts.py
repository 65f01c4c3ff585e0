"""The store of verdicts: beside the journal, appended only, acknowledged only when PostgreSQL has committed.

There is no spool: whoever is told that a verdict is not stored sends it again, under the same request id.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import psycopg2
import structlog

from pleura.deadline import Deadline
from pleura.errors import Conflict, DeadlineExceeded, NotFound, Overloaded, PleuraError, Unavailable
from transformer.feedback.request import AnswerKey, FeedbackRequest
from transformer.journal.database import Database
from transformer.journal.journal import Journal

_THREADS: Final = 2
_MOST_WAITING: Final = 128
_INSERT: Final = (
    "INSERT INTO verdicts "
    '(reader, feedback_id, principal, request_id, "position", findings, present, had_seen_answer) '
    'SELECT %s, %s, principal, request_id, "position", %s::text[], %s::boolean[], %s FROM answers '
    'WHERE principal = %s AND request_id = %s AND "position" = %s '
    "ON CONFLICT DO NOTHING RETURNING given_at"
)
_STORED: Final = (
    'SELECT principal, request_id, "position", findings, present, had_seen_answer, given_at '
    "FROM verdicts WHERE reader = %s AND feedback_id = %s"
)
log = structlog.get_logger()


class AnswerNotFound(NotFound):
    """The journal holds no such answer."""

    code = "answer_not_found"


@dataclass(frozen=True)
class StoredVerdicts:
    """A feedback that is committed, and when."""

    feedback: FeedbackRequest
    given_at: datetime


class Verdicts:
    """Stores feedback on connections and threads of its own, so that no answer waits for it."""

    def __init__(self, database: Database, journal: Journal, timeout_s: float) -> None:
        self._database, self._journal, self._timeout_s = database, journal, timeout_s
        self._threads = ThreadPoolExecutor(_THREADS, "verdicts")
        self._waiting = 0

    def close(self) -> None:
        """Let what is being stored end; of what waited still, nobody was told that it is."""
        self._threads.shutdown(cancel_futures=True)
        self._database.close()

    async def store(self, feedback: FeedbackRequest, deadline: Deadline) -> StoredVerdicts:
        """Store a feedback once, however often it comes.

        Raises:
            AnswerNotFound: The journal holds no such answer.
            Conflict: This reader sent something else under the same id.
            Unavailable: PostgreSQL is away, or answers still wait to be written: the same has to come again.
            DeadlineExceeded: It may be stored, or not: the same again says so.
        """
        if not self._journal.is_writable:
            raise Unavailable("verdicts cannot be stored now")
        if self._waiting >= _MOST_WAITING:
            raise Overloaded("too many verdicts are being stored")
        self._waiting += 1
        store = partial(copy_context().run, self._store, feedback, deadline)  # its lines carry our ids
        storing = asyncio.get_running_loop().run_in_executor(self._threads, store)
        storing.add_done_callback(self._end)
        try:
            async with asyncio.timeout(deadline.remaining_s):
                # the thread goes on whatever becomes of us: what waits for it must not be cancelled
                outcome = await asyncio.shield(storing)
        except TimeoutError as error:
            raise DeadlineExceeded("the time for this request has run out") from error
        if isinstance(outcome, PleuraError):
            raise outcome
        return outcome

    def _end(self, storing: asyncio.Future[Any]) -> None:
        self._waiting -= 1
        if not storing.cancelled():
            storing.exception()  # taken note of, should nobody wait any more

    def _store(self, feedback: FeedbackRequest, deadline: Deadline) -> StoredVerdicts | PleuraError:
        if not self._journal.is_writable:  # found out while we waited for a thread
            return Unavailable("verdicts cannot be stored now")
        try:
            with self._database.transaction(min(self._timeout_s, deadline.remaining_s)) as cursor:
                outcome = _insert(cursor, feedback)
        except psycopg2.Error as error:  # its words may quote the row
            log.warning("verdicts_away", reason=type(error).__name__)
            return Unavailable("verdicts cannot be stored now")
        if isinstance(outcome, AnswerNotFound) and self._journal.has_backlog:
            return Unavailable("answers wait to be written to the journal, this one perhaps among them")
        return outcome


def _insert(cursor: Any, feedback: FeedbackRequest) -> StoredVerdicts | PleuraError:
    answer = feedback.answer
    names, present = ([*column] for column in zip(*feedback.verdicts, strict=True))
    identity = (feedback.reader, feedback.feedback_id)
    key = (answer.principal, answer.request_id, answer.position)
    cursor.execute(_INSERT, (*identity, names, present, feedback.had_seen_answer, *key))
    if row := cursor.fetchone():
        return StoredVerdicts(feedback, row[0].astimezone(UTC))
    cursor.execute(_STORED, identity)
    if not (row := cursor.fetchone()):
        return AnswerNotFound("the journal holds no such answer")
    verdicts = tuple(zip(row[3], row[4], strict=True))
    if FeedbackRequest(*identity, AnswerKey(*row[:3]), verdicts, row[5]) != feedback:
        return Conflict("the request id was already used for other verdicts")
    return StoredVerdicts(feedback, row[6].astimezone(UTC))
