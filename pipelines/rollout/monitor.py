"""Observe both revisions: the journal in PostgreSQL, and the counters of their predictors."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg2

from pipelines.connection_limit import abort_after
from pipelines.rollout.counters import CountersSource, ObservationUnavailable, RevisionCounts
from pipelines.rollout.observation import JournaledAnswers, Observation, RevisionObservation
from pipelines.statistics.msprt import EventCount, SequentialSample
from pleura.findings import FINDINGS

_ATYPICAL_BELOW: Final = 0.01
_REQUEST_TIMEOUT_S: Final = 5.0
# Cached answers are left out: they repeat what a model said earlier (docs/decisions/0028). Refusals are
# no answers: they count for themselves, where a model saw the radiograph.
_ANSWERS_SQL: Final = """
    SELECT model_digest, count(*) FILTER (WHERE is_answer),
        count(*) FILTER (WHERE is_answer AND typicality < %(atypical)s),
        count(ms) FILTER (WHERE is_answer), coalesce(avg(ln(ms)) FILTER (WHERE is_answer), 0),
        coalesce(var_samp(ln(ms)) FILTER (WHERE is_answer), 0), count(*) FILTER (WHERE NOT is_answer)
    FROM (
        SELECT model_digest, typicality, greatest((latency_ms ->> 'predict')::float8, 0.001) AS ms,
            refusal_reasons = '{}' AS is_answer
        FROM answers WHERE answered_at >= %(since)s AND NOT cached AND model_digest IS NOT NULL
    ) AS fresh GROUP BY model_digest
"""
_CALLS_SQL: Final = """
    SELECT model_digest, finding, count(*) FROM answers, unnest(findings) AS finding
    WHERE answered_at >= %(since)s AND NOT cached AND refusal_reasons = '{}'
    GROUP BY model_digest, finding
"""
_PAIRS_SQL: Final = """
    SELECT canary.findings, stable.findings
    FROM (
        SELECT DISTINCT ON (image_digest) image_digest, findings FROM answers
        WHERE answered_at >= %(since)s AND model_digest = %(canary)s AND refusal_reasons = '{}'
        ORDER BY image_digest, answered_at
    ) AS canary
    JOIN LATERAL (
        SELECT findings FROM answers
        WHERE image_digest = canary.image_digest AND model_digest = %(stable)s AND refusal_reasons = '{}'
        ORDER BY answered_at DESC LIMIT 1
    ) AS stable ON true
"""


@dataclass(frozen=True)
class RolloutMonitor:
    """Observes both models; the journal tells them apart by digest.

    Args:
        dsn: PostgreSQL connection string of the journal.
        counters: The counters of both predictors.
        canary: Digest of the challenger.
        stable: Digest of the champion.
    """

    dsn: str
    counters: CountersSource
    canary: str
    stable: str

    def count(self) -> RevisionCounts:
        """Read the counters now.

        Raises:
            ObservationUnavailable: A counter cannot be read.
        """
        return self.counters.read()

    def observe(self, since: datetime, before: RevisionCounts) -> Observation:
        """Observe what happened after ``since``, and after the counters had the values of ``before``.

        Raises:
            ObservationUnavailable: The journal or a counter cannot be read.
        """
        now = self.count()
        journaled, disagreements = self._read_journal(since)
        no_answers = JournaledAnswers()
        return Observation(
            RevisionObservation(journaled.get(self.canary, no_answers), now.canary.since(before.canary)),
            RevisionObservation(journaled.get(self.stable, no_answers), now.stable.since(before.stable)),
            sum(
                answers.answers
                for digest, answers in journaled.items()
                if digest not in (self.canary, self.stable)
            ),
            disagreements,
        )

    def _read_journal(self, since: datetime) -> tuple[dict[str, JournaledAnswers], EventCount]:
        parameters = {
            "since": since,
            "atypical": _ATYPICAL_BELOW,
            "canary": self.canary,
            "stable": self.stable,
        }
        try:
            connection = psycopg2.connect(self.dsn, connect_timeout=int(_REQUEST_TIMEOUT_S))
            with (
                contextlib.closing(connection),
                abort_after(connection, _REQUEST_TIMEOUT_S),
                connection.cursor() as cursor,
            ):
                return _read_answers(cursor, parameters), _read_disagreements(cursor, parameters)
        # An error text of PostgreSQL may quote a row. If it is not UTF-8, psycopg2 raises UnicodeDecodeError.
        except (psycopg2.Error, UnicodeDecodeError) as error:
            raise ObservationUnavailable(f"the journal cannot be read ({type(error).__name__})") from None


def _read_answers(cursor: Any, parameters: Mapping[str, object]) -> dict[str, JournaledAnswers]:
    cursor.execute(_CALLS_SQL, parameters)
    calls: dict[tuple[str, str], int] = {(digest, name): count for digest, name, count in cursor.fetchall()}
    cursor.execute(_ANSWERS_SQL, parameters)
    return {
        digest: JournaledAnswers(
            answers,
            tuple(calls.get((digest, name), 0) for name in FINDINGS),
            atypical,
            SequentialSample(timed, float(mean), float(variance)),
            refused,
        )
        for digest, answers, atypical, timed, mean, variance, refused in cursor.fetchall()
    }


def _read_disagreements(cursor: Any, parameters: Mapping[str, object]) -> EventCount:
    cursor.execute(_PAIRS_SQL, parameters)
    pairs = cursor.fetchall()
    return EventCount(
        sum(len(set(canary) ^ set(stable)) for canary, stable in pairs), len(pairs) * len(FINDINGS)
    )
