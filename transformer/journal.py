"""The journal: an answer is given only when its row is committed in PostgreSQL or durable in the spool.

One writer thread takes all requests that wait and commits their rows in one transaction. While PostgreSQL is
away or slow they go to the spool instead; a keeper thread migrates the schema, notices when PostgreSQL is
back, and replays the spool.
"""

import asyncio
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, Final, Literal

import psycopg2
import structlog

from pleura.errors import PleuraError, Unavailable
from transformer.database import Database, wait_with_limits
from transformer.entries import Entry, entry_from, line_of
from transformer.journal_rows import insert_requests, insert_spooled
from transformer.metrics import ROWS, SPOOL_BYTES, SPOOL_ROWS
from transformer.migrations import migrate
from transformer.spool import Segment, Spool

Kept = Literal["written", "spooled"]
_KEEPER_INTERVAL_S: Final = 1.0
_REPLAY_S: Final = 10.0
_REQUESTS_AT_ONCE: Final = 256
_ROWS_AT_ONCE: Final = 500
log = structlog.get_logger()


class _Waiting:
    """A request whose rows wait for the writer."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self.kept: Future[Kept] = Future()
        self.context = copy_context()

    def settle(self, outcome: Kept | BaseException) -> None:
        """Tell the one who waits, unless gone."""
        if not isinstance(outcome, BaseException):
            ROWS[outcome].inc(len(self.entries))
        if not self.kept.set_running_or_notify_cancel():
            return
        if isinstance(outcome, BaseException):
            self.kept.set_exception(outcome)
        else:
            self.kept.set_result(outcome)


class Journal:
    """Rows go in by ``append``; ``start`` and ``close`` bound the life of its two threads."""

    def __init__(self, database: Database, spool: Spool, timeout_s: float) -> None:
        self._database, self._spool, self._timeout_s = database, spool, timeout_s
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._is_writable, self._is_migrated, self._is_closed = False, False, False
        self._ended = threading.Event()
        self._writer = threading.Thread(target=self._write_all, name="journal-writer", daemon=True)
        self._keeper = threading.Thread(target=self._keep, name="journal-keeper", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether both threads are there."""
        return self._writer.is_alive() and self._keeper.is_alive()

    @property
    def is_writable(self) -> bool:
        """Whether rows go straight to PostgreSQL."""
        return self._is_writable

    @property
    def has_backlog(self) -> bool:
        """Whether answers that were given wait in the spool."""
        return not self._spool.is_empty()

    def start(self) -> None:
        """Try PostgreSQL once, then start the threads; an absent PostgreSQL does not hold up the start."""
        wait_with_limits()
        self._try_database()
        self._writer.start()
        self._keeper.start()

    def close(self) -> None:
        """Write what waits, stop the threads, and leave the spool to the next process."""
        self._is_closed = True
        self._ended.set()
        self._queue.put(None)
        self._writer.join(timeout=2 * self._timeout_s + 5)
        self._keeper.join(timeout=_REPLAY_S)
        self._spool.seal()
        self._database.close()

    async def append(self, entries: Sequence[Entry]) -> Kept:
        """Keep the rows of one request.

        Returns:
            Where they are durable now.

        Raises:
            Conflict: The request's id stands for another radiograph; nothing was written.
            SpoolFull: They can be kept nowhere.
        """
        if self._is_closed:
            raise Unavailable("the service is stopping")
        waiting = _Waiting(entries)
        self._queue.put(waiting)
        return await asyncio.wrap_future(waiting.kept)

    def _write_all(self) -> None:
        while (first := self._queue.get()) is not None:
            requests = [first]
            try:
                while len(requests) < _REQUESTS_AT_ONCE and (more := self._queue.get_nowait()):
                    requests.append(more)
                is_last = len(requests) < _REQUESTS_AT_ONCE  # None was taken: close() was called
            except queue.Empty:
                is_last = False
            first.context.run(self._write, requests)  # what it logs carries the ids of the first request
            if is_last:
                return

    def _write(self, requests: Sequence[_Waiting]) -> None:
        try:
            if not (self._is_writable and self._wrote(requests)):
                self._to_spool(requests)
        except Exception as error:  # the writer outlives whatever one batch brings: each caller is told
            log.error("journal_failed", reason=type(error).__name__)
            for request in requests:
                if not request.kept.done():
                    request.settle(Unavailable("the answer cannot be kept"))

    def _wrote(self, requests: Sequence[_Waiting]) -> bool:
        try:
            with self._database.transaction(self._timeout_s) as cursor:
                conflicts = insert_requests(cursor, [request.entries for request in requests])
        except psycopg2.Error as error:
            self._is_writable = False
            log.warning("journal_away", reason=type(error).__name__)
            return False
        for request, conflict in zip(requests, conflicts, strict=True):
            request.settle(conflict or "written")
        return True

    def _to_spool(self, requests: Sequence[_Waiting]) -> None:
        outcome: Kept | PleuraError = "spooled"
        try:
            self._spool.append([line_of(entry) for request in requests for entry in request.entries])
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

    def _replay_segment(self, segment: Segment) -> bool:
        lines, damaged = segment.read()
        try:
            entries = [entry_from(line) for line in lines]
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
