"""Read the answers of the journal with the verdicts of radiologists.

The transformer writes the rows. This module reads them in one snapshot, so that answers and verdicts fit
together. Rows of refusals are left out: they are no answers.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

import psycopg2

from pipelines.connection_limit import abort_after
from pleura.journal_row import JournalRow

_CONNECT_TIMEOUT_S: Final = 10
_STATEMENT_TIMEOUT_MS: Final = 300_000
_ROWS_AT_ONCE: Final = 2000
_IN_WINDOW: Final = (
    "FROM answers WHERE answered_at >= %(since)s AND answered_at < %(until)s AND refusal_reasons = '{}' "
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
    """PostgreSQL does not answer, refuses, or lacks the tables. The text quotes no row."""


@dataclass(frozen=True)
class Verdict:
    """A radiologist's verdict on one finding of an answer; ``present`` is None if they cannot tell."""

    finding: str
    present: bool | None
    reader: str
    had_seen_answer: bool
    given_at: datetime


@dataclass(frozen=True)
class JournaledAnswer(JournalRow):
    """A row of the journal with its verdicts, in the order in which they were given."""

    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class Window:
    """The answers from ``since`` until before ``until``: the newest ``most`` of them."""

    since: datetime
    until: datetime
    most: int = 100_000

    def __post_init__(self) -> None:
        """Refuse a time without a zone, because PostgreSQL would read it in its own zone.

        Raises:
            ValueError: A time has no zone, or ``most`` is negative.
        """
        if self.since.tzinfo is None or self.until.tzinfo is None:
            raise ValueError("the times of a window need a time zone")
        if self.most < 0:
            raise ValueError("the number of answers of a window is not negative")


_FIELDS: Final = tuple(field.name for field in fields(JournaledAnswer) if field.name != "verdicts")
_ANSWERS: Final = "SELECT " + ", ".join(f'"{name}"' for name in _FIELDS) + f" {_IN_WINDOW}"


def read_answers(dsn: str, window: Window, limit_s: float = 600.0) -> list[JournaledAnswer]:
    """Read the answers of a window with their verdicts.

    Args:
        dsn: PostgreSQL connection string of the journal. Read access is enough.
        window: The answers to read.
        limit_s: The most seconds that the reading may take, once connected.

    Returns:
        The newest answer first. The order of answers of the same time does not change between calls.

    Raises:
        JournalUnreadable: PostgreSQL does not answer, refuses, or lacks the tables.
    """
    try:
        with closing(_connect(dsn)) as connection, abort_after(connection, limit_s):
            verdicts: dict[_Key, list[Verdict]] = {}
            for row in _fetch_rows(connection, _VERDICTS, window):
                verdicts.setdefault(tuple(row[:3]), []).append(Verdict(*row[3:]))
            return [
                _build_answer(row, tuple(verdicts.get(tuple(row[:3]), ())))
                for row in _fetch_rows(connection, _ANSWERS, window)
            ]
    # PostgreSQL's texts may quote a row or the DSN, and psycopg2 fails on texts that are not UTF-8
    except (psycopg2.Error, UnicodeDecodeError) as error:
        kind = " ".join(filter(None, (type(error).__name__, getattr(error, "pgcode", None))))
        raise JournalUnreadable(f"the journal cannot be read: {kind}") from None


def select_verdicts(answer: JournaledAnswer, *, even_if_seen: bool = False) -> tuple[Verdict, ...]:
    """Select the verdicts that accuracy may be measured by: the latest of each reader on each finding.

    A reader who has seen the answer is not blind to it any more. From the first verdict that says so, no
    verdict of this reader counts, whatever a later verdict claims. Earlier verdicts still count.

    Args:
        answer: An answer with its verdicts in order.
        even_if_seen: Select verdicts after seeing the answer too. Figures from such verdicts must say so.
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
        # PostgreSQL has no limit of its own: a reader behind a lock would wait for ever.
        options=f"-c statement_timeout={_STATEMENT_TIMEOUT_MS} -c timezone=UTC",
        keepalives_idle=10,
        tcp_user_timeout=30_000,
    )
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    return connection


def _fetch_rows(connection: Any, statement: str, window: Window) -> Iterator[tuple[Any, ...]]:
    """Fetch the rows a few at a time, so that libpq does not hold all of them in memory too."""
    bounds = {"since": window.since, "until": window.until, "most": window.most}
    with connection.cursor("rows") as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        cursor.execute(statement, bounds)
        yield from cursor


def _build_answer(row: tuple[Any, ...], verdicts: tuple[Verdict, ...]) -> JournaledAnswer:
    values: dict[str, Any] = dict(zip(_FIELDS, row, strict=True))
    for name in ("probabilities", "thresholds", "findings", "warnings"):
        values[name] = tuple(values[name])
    return JournaledAnswer(**values, verdicts=verdicts)
