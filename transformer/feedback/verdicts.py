"""Stores radiologists' verdicts in a table of PostgreSQL that only grows.

A verdict is acknowledged when PostgreSQL has committed it. There is no spool: a client whose verdict was not
stored sends it again, under the same request id.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import psycopg2
import structlog

from pleura.deadline import Deadline
from pleura.errors import Conflict, NotFound, PleuraError, Unavailable
from transformer.bounded_threads import BoundedThreads
from transformer.feedback.request import AnswerKey, FeedbackRequest
from transformer.journal.database import Database
from transformer.journal.journal import Journal

_THREADS: Final = 2
_MAX_WAITING: Final = 128
_INSERT: Final = (
    "INSERT INTO verdicts "
    '(reader, feedback_id, principal, request_id, "position", findings, present, had_seen_answer) '
    'SELECT %s, %s, principal, request_id, "position", %s::text[], %s::boolean[], %s FROM answers '
    "WHERE principal = %s AND request_id = %s AND \"position\" = %s AND refusal_reasons = '{}' "
    "ON CONFLICT DO NOTHING RETURNING given_at"
)
_SELECT: Final = (
    'SELECT principal, request_id, "position", findings, present, had_seen_answer, given_at '
    "FROM verdicts WHERE reader = %s AND feedback_id = %s"
)
log = structlog.get_logger()


class AnswerNotFound(NotFound):
    """The journal does not have the answer that the feedback names."""

    code = "answer_not_found"


@dataclass(frozen=True)
class StoredVerdicts:
    """Feedback that is committed, and the time when it was first stored."""

    feedback: FeedbackRequest
    given_at: datetime


class Verdicts:
    """Stores feedback with its own connections and threads, so that no answer waits for it."""

    def __init__(self, database: Database, journal: Journal, timeout_s: float) -> None:
        self._database, self._journal, self._timeout_s = database, journal, timeout_s
        self._threads = BoundedThreads("verdicts", _THREADS, _MAX_WAITING)

    def close(self) -> None:
        """Finish the running inserts. Feedback that still waits was never acknowledged, and is dropped."""
        self._threads.close()
        self._database.close()

    async def store(self, feedback: FeedbackRequest, deadline: Deadline) -> StoredVerdicts:
        """Store feedback once, even when the client repeats it.

        Raises:
            AnswerNotFound: The journal does not have the answer.
            Conflict: The reader sent other feedback under the same id.
            Unavailable: PostgreSQL is down, answers still wait in the spool, or too much feedback is being
                stored. The client must try again.
            DeadlineExceeded: The feedback may be stored or not. The client must try again.
        """
        if not self._journal.is_writable:
            raise Unavailable("verdicts cannot be stored now")
        outcome = await self._threads.run(partial(self._store, feedback, deadline), deadline)
        if isinstance(outcome, PleuraError):
            raise outcome
        return outcome

    def _store(self, feedback: FeedbackRequest, deadline: Deadline) -> StoredVerdicts | PleuraError:
        if not self._journal.is_writable:  # PostgreSQL went down while the feedback waited for a thread
            return Unavailable("verdicts cannot be stored now")
        try:
            with self._database.transaction(min(self._timeout_s, deadline.remaining_s)) as cursor:
                outcome = _insert(cursor, feedback)
        except psycopg2.Error as error:  # the error's text may quote the row
            log.warning("verdicts_unavailable", reason=type(error).__name__)
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
    cursor.execute(_SELECT, identity)
    if not (row := cursor.fetchone()):
        return AnswerNotFound("the journal holds no such answer")
    verdicts = tuple(zip(row[3], row[4], strict=True))
    if FeedbackRequest(*identity, AnswerKey(*row[:3]), verdicts, row[5]) != feedback:
        return Conflict("the request id was already used for other verdicts")
    return StoredVerdicts(feedback, row[6].astimezone(UTC))
