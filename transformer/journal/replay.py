"""Replays the spool: writes its rows to PostgreSQL when PostgreSQL is back.

A row that PostgreSQL refuses, or that cannot be read, is set aside alone. All other rows of its segment are
written. What was set aside is tried again at the next start, after a change of its file, and each hour.
"""

from collections.abc import Sequence
from typing import Final

import psycopg2
import structlog

from pleura.journal_row import AnyRow, row_from_line
from transformer.journal.database import Database
from transformer.journal.spool import Spool
from transformer.journal.spool_segment import SpoolLine, SpoolSegment
from transformer.journal.sql import insert_spooled

REPLAY_S: Final = 10.0
_ROWS_AT_ONCE: Final = 500
log = structlog.get_logger()


class SpoolReplay:
    """Moves rows from the spool to PostgreSQL. One thread calls it."""

    def __init__(self, database: Database, spool: Spool) -> None:
        self._database, self._spool = database, spool

    def run(self) -> bool:
        """Replay all segments. Give False when PostgreSQL went away; the other segments then stay."""
        if not self._spool.is_empty():
            self._spool.seal()
        for segments in (self._spool.segments(), self._spool.segments_to_retry()):
            for segment in segments:
                with segment:
                    if not self._replay(segment):
                        return False
        return True

    def _replay(self, segment: SpoolSegment) -> bool:
        lines = segment.read()
        rows, refused = _read_rows(lines)
        try:
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                refused += self._write(rows[start : start + _ROWS_AT_ONCE])
        except psycopg2.OperationalError as error:
            log.warning("spool_replay_interrupted", reason=type(error).__name__)
            return False
        segment.finish(refused)
        if refused:
            log.error("spooled_rows_set_aside", rows=len(refused), at=segment.name_set_aside)
        if len(lines) > len(refused):
            log.info("spool_replayed", rows=len(lines) - len(refused))
        return True

    def _write(self, rows: Sequence[tuple[SpoolLine, AnyRow]]) -> list[SpoolLine]:
        """Write rows, and give the lines of those that PostgreSQL refuses."""
        with self._database.transaction(REPLAY_S) as cursor:
            are_refused = insert_spooled(cursor, [row for _, row in rows])
        return [line for (line, _), is_refused in zip(rows, are_refused, strict=True) if is_refused]


def _read_rows(lines: Sequence[SpoolLine]) -> tuple[list[tuple[SpoolLine, AnyRow]], list[SpoolLine]]:
    """Read the row of each line, and give the lines that have none."""
    rows: list[tuple[SpoolLine, AnyRow]] = []
    unreadable = []
    for line in lines:
        row = _read_row(line)
        if row:
            rows.append((line, row))
        else:
            unreadable.append(line)
    return rows, unreadable


def _read_row(line: SpoolLine) -> AnyRow | None:
    if line.content is None:
        return None
    try:
        return row_from_line(line.content)
    # a row that was damaged before it had a checksum, or one of a later version with other columns
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
