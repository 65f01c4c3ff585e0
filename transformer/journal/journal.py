"""The journal: an answer is given only when its row is committed in PostgreSQL or durable in the spool.

All requests that wait are written together, in one statement that the event loop waits for. While PostgreSQL
is away or slow their rows go to the spool instead; a keeper thread migrates the schema, notices when
PostgreSQL is back, and replays the spool.
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

from pleura.errors import Conflict, PleuraError, Unavailable
from pleura.journal_row import JournalRow, row_from_line, row_to_line
from transformer.journal.async_connection import AsyncConnection
from transformer.journal.database import Database, wait_with_limits
from transformer.journal.migrations import migrate
from transformer.journal.spool import Spool, SpoolSegment
from transformer.journal.sql import insert_requests, insert_spooled, send_rows
from transformer.metrics import ROWS, SPOOL_BYTES, SPOOL_ROWS

Kept = Literal["written", "spooled"]
_KEEPER_INTERVAL_S: Final = 1.0
_REPLAY_S: Final = 10.0
_REQUESTS_AT_ONCE: Final = 256
_ROWS_AT_ONCE: Final = 500
log = structlog.get_logger()


@dataclass(eq=False)
class _Waiting:
    """A request whose rows wait to be written."""

    entries: Sequence[JournalRow]
    kept: "asyncio.Future[Kept]"
    context: Context = field(default_factory=copy_context)

    def settle(self, outcome: Kept | BaseException) -> None:
        """Tell the one who waits, unless gone."""
        if not isinstance(outcome, BaseException):
            ROWS[outcome].inc(len(self.entries))
        if self.kept.done():
            return
        if isinstance(outcome, BaseException):
            self.kept.set_exception(outcome)
        else:
            self.kept.set_result(outcome)


class Journal:
    """Rows go in by ``append``, on an event loop; ``start`` and ``close`` bound the life of the keeper."""

    def __init__(self, database: Database, spool: Spool, timeout_s: float) -> None:
        self._database, self._spool, self._timeout_s = database, spool, timeout_s
        self._connection = AsyncConnection(database)
        self._waiting: deque[_Waiting] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._is_writable, self._is_migrated, self._is_closed = False, False, False
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="journal-keeper", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether the keeper is there."""
        return self._keeper.is_alive()

    @property
    def is_writable(self) -> bool:
        """Whether rows go straight to PostgreSQL."""
        return self._is_writable

    @property
    def has_backlog(self) -> bool:
        """Whether answers that were given wait in the spool."""
        return not self._spool.is_empty()

    def start(self) -> None:
        """Try PostgreSQL once, then start the keeper; an absent PostgreSQL does not hold up the start."""
        wait_with_limits()
        self._try_database()
        self._keeper.start()

    def close(self) -> None:
        """Stop the keeper, and leave the spool to the next process; who waited still gets no answer."""
        self._is_closed = True
        self._ended.set()
        self._keeper.join(timeout=_REPLAY_S)
        self._spool.seal()
        self._connection.close()
        self._database.close()

    async def append(self, entries: Sequence[JournalRow]) -> Kept:
        """Keep the rows of one request.

        Returns:
            Where they are durable now.

        Raises:
            Conflict: The request's id stands for another radiograph; nothing was written.
            SpoolFull: They can be kept nowhere.
        """
        if self._is_closed:
            raise Unavailable("the service is stopping")
        waiting = _Waiting(entries, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._write_on()
        return await waiting.kept

    def _write_on(self) -> None:
        """Begin to write what waits, unless something is being written: then it waits for that."""
        if self._waiting and self._writing is None:
            # what is logged carries the ids of the first request
            self._writing = asyncio.create_task(self._write(), context=self._waiting[0].context)

    async def _write(self) -> None:
        number = min(len(self._waiting), _REQUESTS_AT_ONCE)
        requests = [self._waiting.popleft() for _ in range(number)]
        try:
            if not (self._is_writable and await self._wrote(requests)):
                await self._to_spool(requests)
        except Exception as error:  # whatever one batch brings, each caller is told, and the next is written
            log.error("journal_failed", reason=type(error).__name__)
            for request in requests:
                if not request.kept.done():
                    request.settle(Unavailable("the answer cannot be kept"))
        self._writing = None
        self._write_on()

    async def _wrote(self, requests: Sequence[_Waiting]) -> bool:
        try:
            conflicts = await self._inserted(requests)
        except (psycopg2.Error, TimeoutError) as error:
            self._is_writable = False
            log.warning("journal_away", reason=type(error).__name__)
            return False
        for request, conflict in zip(requests, conflicts, strict=True):
            request.settle(conflict or "written")
        return True

    async def _inserted(self, requests: Sequence[_Waiting]) -> Sequence[Conflict | None]:
        entries = [entry for request in requests for entry in request.entries]
        try:
            await self._connection.run(lambda cursor: send_rows(cursor, entries), self._timeout_s)
        except psycopg2.errors.UniqueViolation:  # somebody asks again, or anew under an old id
            return await asyncio.to_thread(self._insert_each, requests)
        return [None] * len(requests)

    def _insert_each(self, requests: Sequence[_Waiting]) -> Sequence[Conflict | None]:
        with self._database.transaction(self._timeout_s) as cursor:
            return insert_requests(cursor, [request.entries for request in requests])

    async def _to_spool(self, requests: Sequence[_Waiting]) -> None:
        outcome: Kept | PleuraError = "spooled"
        lines = [row_to_line(entry) for request in requests for entry in request.entries]
        try:
            await asyncio.to_thread(self._spool.append, lines)
        except PleuraError as error:
            log.error("spool_failed", reason=str(error))
            outcome = error
        for request in requests:
            request.settle(outcome)

    def _keep(self) -> None:
        while not self._ended.wait(_KEEPER_INTERVAL_S):
            try:
                self._try_database()
                if self._is_writable:
                    self._replay()
                rows, size = self._spool.backlog()
                SPOOL_ROWS.set(rows)
                SPOOL_BYTES.set(size)
            except Exception as error:  # the keeper must not die: it tries again in a second
                # PostgreSQL's own words may quote a row: only the kind of failure is told
                log.error("journal_keeper_failed", reason=type(error).__name__)

    def _try_database(self) -> None:
        try:
            if not self._is_migrated:
                migrate(self._database)
                self._is_migrated = True
            with self._database.transaction(self._timeout_s) as cursor:
                cursor.execute("SELECT 1 FROM answers LIMIT 1")
                _require_writable(cursor)
        except psycopg2.Error as error:
            self._is_migrated = self._is_migrated and not isinstance(error, psycopg2.errors.UndefinedTable)
            tell = log.warning if self._is_writable else log.info
            tell("journal_away" if self._is_writable else "journal_still_away", reason=type(error).__name__)
            self._is_writable = False
            return
        if not self._is_writable:
            self._is_writable = True
            log.info("journal_reached")

    def _replay(self) -> None:
        if self._spool.is_empty():
            return
        self._spool.seal()
        for segment in self._spool.segments():
            with segment:
                if not self._replay_segment(segment):
                    return

    def _replay_segment(self, segment: SpoolSegment) -> bool:
        lines, damaged = segment.read()
        try:
            entries = [row_from_line(line) for line in lines]
            for start in range(0, len(entries), _ROWS_AT_ONCE):
                with self._database.transaction(_REPLAY_S) as cursor:
                    insert_spooled(cursor, entries[start : start + _ROWS_AT_ONCE])
        except psycopg2.OperationalError as error:
            self._is_writable = False
            log.warning("replay_interrupted", reason=type(error).__name__)
            return False
        except (psycopg2.DataError, psycopg2.IntegrityError, ValueError, TypeError, KeyError) as error:
            damaged += 1
            log.error("spooled_rows_refused", reason=type(error).__name__)
        if damaged:
            log.error(
                "spool_segment_set_aside", rows=len(lines), damaged=damaged, at=segment.set_aside().name
            )
        else:
            segment.delete()
            log.info("spool_replayed", rows=len(lines))
        return True


def _require_writable(cursor: Any) -> None:
    """Refuse a standby: it lets rows be read, and each batch would find out anew that it takes none."""
    cursor.execute("SHOW transaction_read_only")
    if cursor.fetchone()[0] == "on":
        raise psycopg2.errors.ReadOnlySqlTransaction("the server takes no rows")
