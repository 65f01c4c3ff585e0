"""The journal: an answer is sent only when its row is committed in PostgreSQL or durable in the spool.

All waiting requests are written together, in one statement on the event loop. While PostgreSQL is down or
slow, the rows go to the spool. A maintenance thread migrates the schema, notices when PostgreSQL is back, and
replays the spool.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import psycopg2
import structlog

from pleura.errors import PleuraError, Unavailable
from pleura.journal_row import AnyRow, row_to_line
from transformer.journal.async_connection import AsyncConnection
from transformer.journal.database import Database, limit_waiting
from transformer.journal.migrations import migrate
from transformer.journal.replay import REPLAY_S, SpoolReplay
from transformer.journal.spool import Spool
from transformer.journal.sql import RowOutcome, RowRefused, insert_requests, is_refusal, send_rows
from transformer.metrics import ROWS, SET_ASIDE_ROWS, SPOOL_BYTES, SPOOL_ROWS

JournalResult = Literal["written", "spooled"]
"""Where a row is durable: in PostgreSQL, or in the spool."""
_MAINTENANCE_INTERVAL_S: Final = 1.0
_REQUESTS_AT_ONCE: Final = 256
log = structlog.get_logger()


@dataclass(eq=False)
class _WaitingRequest:
    """A request whose rows wait to be written."""

    rows: Sequence[AnyRow]
    result: "asyncio.Future[JournalResult]"
    context: Context = field(default_factory=copy_context)

    def resolve(self, result: JournalResult | BaseException) -> None:
        """Give the result to the caller, unless the caller was cancelled."""
        if not isinstance(result, BaseException):
            ROWS[result].inc(len(self.rows))
        if self.result.done():
            return
        if isinstance(result, BaseException):
            self.result.set_exception(result)
        else:
            self.result.set_result(result)


class Journal:
    """Takes rows by ``append`` on the event loop, and maintains PostgreSQL and the spool in a thread."""

    def __init__(self, database: Database, spool: Spool, timeout_s: float) -> None:
        self._database, self._spool, self._timeout_s = database, spool, timeout_s
        self._spool_replay = SpoolReplay(database, spool)
        self._connection = AsyncConnection(database)
        self._waiting: deque[_WaitingRequest] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._is_writable, self._is_migrated, self._is_closed = False, False, False
        self._closing = threading.Event()
        self._maintenance = threading.Thread(target=self._maintain, name="journal-maintenance", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether the maintenance thread is running."""
        return self._maintenance.is_alive()

    @property
    def is_writable(self) -> bool:
        """Whether new rows go to PostgreSQL, and not to the spool."""
        return self._is_writable

    @property
    def has_backlog(self) -> bool:
        """Whether rows of answers that were sent wait in the spool."""
        return not self._spool.is_empty()

    def start(self) -> None:
        """Try PostgreSQL once, then start the maintenance thread. A start without PostgreSQL works too."""
        limit_waiting()
        self._try_database()
        self._maintenance.start()

    def close(self) -> None:
        """Stop the maintenance thread. The next process replays the spool."""
        self._is_closed = True
        self._closing.set()
        self._maintenance.join(timeout=REPLAY_S)
        self._spool.seal()
        self._connection.close()
        self._database.close()

    async def append(self, rows: Sequence[AnyRow]) -> JournalResult:
        """Make the rows of one request durable.

        Raises:
            Conflict: The journal has another radiograph under the same request id. Nothing was written.
            SpoolFull: Neither PostgreSQL nor the spool can keep the rows.
        """
        if self._is_closed:
            raise Unavailable("the service is stopping")
        request = _WaitingRequest(rows, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._write_next_batch()
        return await request.result

    def _write_next_batch(self) -> None:
        """Start to write the waiting requests, unless a batch is being written already."""
        if self._waiting and self._writing is None:
            # log lines of the batch carry the ids of its first request
            self._writing = asyncio.create_task(self._write_batch(), context=self._waiting[0].context)

    async def _write_batch(self) -> None:
        number = min(len(self._waiting), _REQUESTS_AT_ONCE)
        requests = [self._waiting.popleft() for _ in range(number)]
        try:
            if not (self._is_writable and await self._insert_or_give_up(requests)):
                await self._spool_rows(requests)
        except Exception as error:  # the callers learn of it, and the next batch is written
            log.error("journal_write_failed", reason=type(error).__name__)
            for request in requests:
                if not request.result.done():
                    request.resolve(Unavailable("the answer cannot be kept"))
        self._writing = None
        self._write_next_batch()

    async def _insert_or_give_up(self, requests: Sequence[_WaitingRequest]) -> bool:
        try:
            outcomes = await self._insert(requests)
        # the server may still commit: the replay of the spool then finds the rows (docs/decisions/0010)
        except (psycopg2.Error, TimeoutError) as error:
            self._is_writable = False
            log.warning("journal_unavailable", reason=type(error).__name__)
            return False
        refused = []
        for request, outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, RowRefused):
                refused.append(request)
            else:
                request.resolve(outcome or "written")
        if refused:
            log.error("journal_rows_refused", rows=sum(len(request.rows) for request in refused))
            # the replay sets these rows aside, and tries them again after a repair
            await self._spool_rows(refused)
        return True

    async def _insert(self, requests: Sequence[_WaitingRequest]) -> Sequence[RowOutcome]:
        rows = [row for request in requests for row in request.rows]
        try:
            # one round trip, and no thread that waits for the interpreter's lock (docs/decisions/0010)
            await self._connection.run(lambda cursor: send_rows(cursor, rows), self._timeout_s)
        except Exception as error:
            # a request id that the journal has already, or a row that PostgreSQL refuses
            if not is_refusal(error):
                raise
            return await asyncio.to_thread(self._insert_each, requests)
        return [None] * len(requests)

    def _insert_each(self, requests: Sequence[_WaitingRequest]) -> Sequence[RowOutcome]:
        with self._database.transaction(self._timeout_s) as cursor:
            return insert_requests(cursor, [request.rows for request in requests])

    async def _spool_rows(self, requests: Sequence[_WaitingRequest]) -> None:
        result: JournalResult | PleuraError = "spooled"
        lines = [row_to_line(row) for request in requests for row in request.rows]
        try:
            # fsync blocks, and the event loop would serve no other request
            await asyncio.to_thread(self._spool.append, lines)
        except PleuraError as error:
            log.error("spool_write_failed", reason=str(error))
            result = error
        for request in requests:
            request.resolve(result)

    def _maintain(self) -> None:
        while not self._closing.wait(_MAINTENANCE_INTERVAL_S):
            try:
                self._try_database()
                if self._is_writable:
                    self._is_writable = self._spool_replay.run()
                rows, size = self._spool.backlog()
                SPOOL_ROWS.set(rows)
                SPOOL_BYTES.set(size)
                SET_ASIDE_ROWS.set(self._spool.count_set_aside())
            except Exception as error:  # the thread must not end: it tries again in a second
                # PostgreSQL's message may quote a row, so only the kind of failure is logged
                log.error("journal_maintenance_failed", reason=type(error).__name__)

    def _try_database(self) -> None:
        try:
            if not self._is_migrated:
                migrate(self._database)
                self._is_migrated = True
            with self._database.transaction(self._timeout_s) as cursor:
                cursor.execute("SELECT 1 FROM answers LIMIT 1")
                _require_writable(cursor)
        except psycopg2.Error as error:
            # a database whose tables are gone needs the migration once more
            self._is_migrated = self._is_migrated and not isinstance(error, psycopg2.errors.UndefinedTable)
            if self._is_writable:
                log.warning("journal_unavailable", reason=type(error).__name__)
            else:
                log.info("journal_still_unavailable", reason=type(error).__name__)
            self._is_writable = False
            return
        if not self._is_writable:
            self._is_writable = True
            log.info("journal_available")


def _require_writable(cursor: Any) -> None:
    """Refuse a standby server, which can be read, but on which every insert would fail."""
    cursor.execute("SHOW transaction_read_only")
    if cursor.fetchone()[0] == "on":
        raise psycopg2.errors.ReadOnlySqlTransaction("the server is read-only")
