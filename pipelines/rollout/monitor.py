"""Looks at what both revisions do: the journal in PostgreSQL, and the counters of their predictors."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg2

from pipelines.rollout.counters import CountersSource, ObservationUnavailable, RevisionCounts
from pipelines.rollout.observation import JournaledAnswers, Observation, RevisionObservation
from pipelines.statistics.msprt import EventCount, SequentialSample
from pleura.findings import FINDINGS

_ATYPICAL_BELOW: Final = 0.01
_ASK_S: Final = 5.0
_JOURNALED: Final = """
    SELECT model_digest, count(*), count(*) FILTER (WHERE typicality < %(atypical)s),
        count(ms), coalesce(avg(ln(ms)), 0), coalesce(var_samp(ln(ms)), 0)
    FROM (
        SELECT model_digest, typicality, greatest((latency_ms ->> 'predict')::float8, 0.001) AS ms
        FROM answers WHERE answered_at >= %(since)s AND NOT cached
    ) AS fresh GROUP BY model_digest
"""
_CALLS: Final = """
    SELECT model_digest, finding, count(*) FROM answers, unnest(findings) AS finding
    WHERE answered_at >= %(since)s AND NOT cached GROUP BY model_digest, finding
"""
_PAIRS: Final = """
    SELECT canary.findings, stable.findings
    FROM (
        SELECT DISTINCT ON (image_digest) image_digest, findings FROM answers
        WHERE answered_at >= %(since)s AND model_digest = %(canary)s ORDER BY image_digest, answered_at
    ) AS canary
    JOIN LATERAL (
        SELECT findings FROM answers
        WHERE image_digest = canary.image_digest AND model_digest = %(stable)s
        ORDER BY answered_at DESC LIMIT 1
    ) AS stable ON true
"""


@dataclass(frozen=True)
class RolloutMonitor:
    """Looks at two models, told apart by digest.

    Args:
        dsn: The journal.
        counters: The predictors' counters.
        canary: Digest of the challenger.
        stable: Digest of the champion.
    """

    dsn: str
    counters: CountersSource
    canary: str
    stable: str

    def count(self) -> RevisionCounts:
        """The counters now.

        Raises:
            Unseen: They cannot be read.
        """
        return self.counters.read()

    def observe(self, since: datetime, before: RevisionCounts) -> Observation:
        """What happened since then, and since the counters stood there.

        Raises:
            Unseen: The journal or a counter cannot be read.
        """
        now = self.count()
        journaled, disagreements = self._journaled(since)
        none = JournaledAnswers()
        return Observation(
            RevisionObservation(journaled.get(self.canary, none), now.canary.since(before.canary)),
            RevisionObservation(journaled.get(self.stable, none), now.stable.since(before.stable)),
            sum(
                each.answers for digest, each in journaled.items() if digest not in (self.canary, self.stable)
            ),
            disagreements,
        )

    def _journaled(self, since: datetime) -> tuple[dict[str, JournaledAnswers], EventCount]:
        asked = {"since": since, "atypical": _ATYPICAL_BELOW, "canary": self.canary, "stable": self.stable}
        try:
            connected = psycopg2.connect(self.dsn, connect_timeout=int(_ASK_S))
            with (
                contextlib.closing(connected) as connection,
                close_after(connection, _ASK_S),
                connection.cursor() as cursor,
            ):
                return _read_journaled(cursor, asked), _read_disagreements(cursor, asked)
        # PostgreSQL's own words may quote a row; and where they are no UTF-8, psycopg2 fails on them
        except (psycopg2.Error, UnicodeDecodeError) as error:
            raise ObservationUnavailable(f"the journal cannot be read ({type(error).__name__})") from None


@contextlib.contextmanager
def close_after(connection: Any, seconds: float) -> Iterator[None]:
    """Break a connection off when the time is over: libpq waits for ever for a server that hangs."""

    def cut() -> None:
        try:
            with socket.socket(fileno=os.dup(connection.fileno())) as peer:
                peer.shutdown(socket.SHUT_RDWR)
        except (OSError, psycopg2.InterfaceError):  # closed just now
            return

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _read_journaled(cursor: Any, asked: Mapping[str, object]) -> dict[str, JournaledAnswers]:
    cursor.execute(_CALLS, asked)
    calls: dict[tuple[str, str], int] = {(digest, name): count for digest, name, count in cursor.fetchall()}
    cursor.execute(_JOURNALED, asked)
    return {
        digest: JournaledAnswers(
            answers,
            tuple(calls.get((digest, name), 0) for name in FINDINGS),
            atypical,
            SequentialSample(timed, float(mean), float(variance)),
        )
        for digest, answers, atypical, timed, mean, variance in cursor.fetchall()
    }


def _read_disagreements(cursor: Any, asked: Mapping[str, object]) -> EventCount:
    cursor.execute(_PAIRS, asked)
    pairs = cursor.fetchall()
    return EventCount(sum(len(set(one) ^ set(other)) for one, other in pairs), len(pairs) * len(FINDINGS))
