"""Reading the journal back: what was answered in a time, and what radiologists said of it.

The transformer writes the rows (``transformer.journal.journal``, ``transformer.feedback.verdicts``);
here they are only read, in one snapshot, so that an answer and its verdicts fit together.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

import psycopg2

from pleura.journal_row import JournalRow

_CONNECT_TIMEOUT_S: Final = 10
_STATEMENT_TIMEOUT_MS: Final = 300_000
_ROWS_AT_ONCE: Final = 2000
_IN_WINDOW: Final = (
    "FROM answers WHERE answered_at >= %(since)s AND answered_at < %(until)s "
    'ORDER BY answered_at DESC, principal, request_id, "position" LIMIT %(most)s'
)
_VERDICTS: Final = (  # of constants only
    'SELECT principal, request_id, "position", '  # noqa: S608
    "said.finding, said.present, reader, had_seen_answer, given_at "
    f'FROM verdicts JOIN (SELECT principal, request_id, "position" {_IN_WINDOW}) AS answered '
    'USING (principal, request_id, "position"), '
    "unnest(verdicts.findings, verdicts.present) WITH ORDINALITY AS said (finding, present, number) "
    "ORDER BY given_at, serial, said.number"
)
_Key = tuple[str, str, int]


class JournalUnreadable(Exception):
    """PostgreSQL is away, refuses, or has not the tables; the text tells the kind of failure, no row."""


@dataclass(frozen=True)
class Verdict:
    """One radiologist's word on one finding of one answer; ``present`` is None where they cannot tell."""

    finding: str
    present: bool | None
    reader: str
    had_seen_answer: bool
    given_at: datetime


@dataclass(frozen=True)
class JournaledAnswer(JournalRow):
    """One row of the journal, with the verdicts on it in the order in which they were given."""

    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class Window:
    """The answers given from ``since`` until before ``until``; the newest, at most ``most`` of them."""

    since: datetime
    until: datetime
    most: int = 100_000

    def __post_init__(self) -> None:
        """Refuse a time of no zone, which PostgreSQL would read in a zone of its own.

        Raises:
            ValueError: A time has no zone, or fewer than no answers are asked for.
        """
        if self.since.tzinfo is None or self.until.tzinfo is None:
            raise ValueError("a window is bounded by times with a zone")
        if self.most < 0:
            raise ValueError("a window holds no fewer than 0 answers")


_FIELDS: Final = tuple(each.name for each in fields(JournaledAnswer) if each.name != "verdicts")
_ANSWERS: Final = "SELECT " + ", ".join(f'"{name}"' for name in _FIELDS) + f" {_IN_WINDOW}"


def read_answers(dsn: str, window: Window, limit_s: float = 600.0) -> list[JournaledAnswer]:
    """Read the answers of a time with their verdicts.

    Args:
        dsn: PostgreSQL connection string of the journal; a user who may only read is enough.
        window: Which answers.
        limit_s: Seconds that it may take at most, once connected.

    Returns:
        The newest first; of those given at one time in an order that does not change.

    Raises:
        JournalUnreadable: PostgreSQL is away, refuses, or has not the tables.
    """
    try:
        with closing(_connect(dsn)) as connection, _ended_after(connection, limit_s):
            verdicts: dict[_Key, list[Verdict]] = {}
            for row in _rows(connection, _VERDICTS, window):
                verdicts.setdefault(tuple(row[:3]), []).append(Verdict(*row[3:]))
            return [
                _answer(row, tuple(verdicts.get(tuple(row[:3]), ())))
                for row in _rows(connection, _ANSWERS, window)
            ]
    # PostgreSQL's own words may quote a row, or the DSN; and where they are no UTF-8, psycopg2 fails on them
    except (psycopg2.Error, UnicodeDecodeError) as error:
        kind = " ".join(filter(None, (type(error).__name__, getattr(error, "pgcode", None))))
        raise JournalUnreadable(f"the journal cannot be read: {kind}") from None


def select_verdicts(answer: JournaledAnswer, *, even_if_seen: bool = False) -> tuple[Verdict, ...]:
    """Choose the verdicts that accuracy may be measured by: each reader's latest word on each finding.

    Who has seen the answer cannot judge it blindly any more: from the first verdict that says so on, none of
    that reader's counts, whatever a later one claims; what they said before still does.

    Args:
        answer: An answer with its verdicts in order.
        even_if_seen: Count those given after seeing the answer too; figures from them must say so.
    """
    latest: dict[tuple[str, str], Verdict] = {}
    have_seen: set[str] = set()
    for verdict in answer.verdicts:
        if verdict.had_seen_answer:
            have_seen.add(verdict.reader)
        if even_if_seen or verdict.reader not in have_seen:
            latest[verdict.reader, verdict.finding] = verdict
    return tuple(latest.values())


def _connect(dsn: str) -> Any:
    connection = psycopg2.connect(
        dsn,
        connect_timeout=_CONNECT_TIMEOUT_S,
        client_encoding="utf8",
        options=f"-c statement_timeout={_STATEMENT_TIMEOUT_MS} -c timezone=UTC",
        keepalives_idle=10,
        tcp_user_timeout=30_000,
    )
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    return connection


@contextmanager
def _ended_after(connection: Any, limit_s: float) -> Iterator[None]:
    """Break a connection off in time: libpq waits for ever on a server that hangs."""
    wire = socket.socket(fileno=os.dup(connection.fileno()))

    def break_off() -> None:
        with suppress(OSError):  # the server was first
            wire.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(limit_s, break_off)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        wire.close()


def _rows(connection: Any, statement: str, window: Window) -> Iterator[tuple[Any, ...]]:
    """The rows a few at a time: libpq would hold all of them beside those that are made of them."""
    bounds = {"since": window.since, "until": window.until, "most": window.most}
    with connection.cursor("rows") as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        cursor.execute(statement, bounds)
        yield from cursor


def _answer(row: tuple[Any, ...], verdicts: tuple[Verdict, ...]) -> JournaledAnswer:
    values: dict[str, Any] = dict(zip(_FIELDS, row, strict=True))
    for name in ("probabilities", "thresholds", "findings"):
        values[name] = tuple(values[name])
    return JournaledAnswer(**values, verdicts=verdicts)
