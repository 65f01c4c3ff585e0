"""Reading the journal back: what was answered in a time, and what radiologists said of it."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg2

_ANSWERS: Final = (
    'SELECT principal, request_id, "position", image_id, image_digest, model_version, model_digest, '
    "preprocessing_version, probabilities, thresholds, findings, typicality, latency_ms, cached, answered_at "
    "FROM answers WHERE answered_at >= %(since)s AND answered_at < %(until)s "
    'ORDER BY answered_at DESC, principal, request_id, "position" LIMIT %(most)s'
)


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
class JournaledAnswer:
    """One row of the journal, with the verdicts on it in the order in which they were given."""

    principal: str
    request_id: str
    position: int
    image_id: str | None
    image_digest: str
    model_version: str
    model_digest: str
    preprocessing_version: str
    probabilities: tuple[float, ...]
    thresholds: tuple[float, ...]
    findings: tuple[str, ...]
    typicality: float
    latency_ms: Mapping[str, float]
    cached: bool
    answered_at: datetime
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class Window:
    """The answers given from ``since`` until before ``until``; the newest, at most ``most`` of them."""

    since: datetime
    until: datetime
    most: int = 100_000


def read_answers(dsn: str, window: Window) -> list[JournaledAnswer]:
    """Read the answers of a time, newest first.

    Raises:
        JournalUnreadable: PostgreSQL is away, refuses, or has not the tables.
    """
    bounds = {"since": window.since, "until": window.until, "most": window.most}
    try:
        with closing(psycopg2.connect(dsn, connect_timeout=10)) as connection, connection.cursor() as cursor:
            cursor.execute(_ANSWERS, bounds)
            return [_answer(row) for row in cursor]
    except psycopg2.Error as error:  # its own words may quote a row, or the connection string
        raise JournalUnreadable(f"the journal cannot be read: {type(error).__name__}") from None


def verdicts_that_count(answer: JournaledAnswer, *, even_if_seen: bool = False) -> tuple[Verdict, ...]:
    """Choose the verdicts that accuracy may be measured by: each reader's latest word on each finding."""
    latest: dict[tuple[str, str], Verdict] = {}
    have_seen: set[str] = set()
    for verdict in answer.verdicts:
        if verdict.had_seen_answer:
            have_seen.add(verdict.reader)
        if even_if_seen or verdict.reader not in have_seen:
            latest[verdict.reader, verdict.finding] = verdict
    return tuple(latest.values())


def _answer(row: tuple[Any, ...]) -> JournaledAnswer:
    (*names, probabilities, thresholds, findings, typicality, latency_ms, cached, answered_at) = row
    lists = tuple(probabilities), tuple(thresholds), tuple(findings)
    values = (*names, *lists, typicality, latency_ms, cached, answered_at, ())
    return JournaledAnswer(*values)
