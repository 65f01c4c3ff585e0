"""Observations from a real journal in PostgreSQL, and from counters."""

import time
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import httpx
import psycopg2
import pytest

from pipelines.connection_limit import abort_after
from pipelines.rollout.counters import (
    ObservationUnavailable,
    RevisionCounts,
    count_unusable_predictions,
    fetch_metrics,
    read_predictor_counts,
)
from pipelines.rollout.monitor import RolloutMonitor
from pipelines.rollout.observation import RequestCounts
from pipelines.statistics.msprt import EventCount
from pleura.findings import FINDINGS
from pleura.journal_row import JournalRow
from pleura.local.dependencies import Server
from tests.support.databases import create_database, start_french_server
from tests.support.transformer_values import make_refused_row
from transformer.journal.database import Database
from transformer.journal.migrations import migrate
from transformer.journal.sql import insert_requests

_OLD, _NEW, _OTHER = "a" * 64, "b" * 64, "c" * 64
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class _ConstantCounters:
    """Counters that never change."""

    def read(self) -> RevisionCounts:
        return RevisionCounts(RequestCounts(10), RequestCounts(20))


def _row(number: int, digest: str, findings: tuple[str, ...] = (), milliseconds: float = 20.0) -> JournalRow:
    return JournalRow(
        principal="monitor",
        request_id=f"{digest[:1]}-{number}",
        position=0,
        image_id=None,
        image_digest=f"{number:064x}",
        model_name="chest-xray",
        model_version="1",
        model_digest=digest,
        preprocessing_version="1",
        probabilities=(0.5,) * len(FINDINGS),
        thresholds=(0.5,) * len(FINDINGS),
        findings=findings,
        typicality=0.5,
        latency_ms={"predict": milliseconds},
        cached=False,
        answered_at=_BEGIN + timedelta(seconds=number),
    )


@pytest.fixture(scope="module")
def dsn(postgres: Server) -> str:
    """A journal with 40 answers of the champion; the challenger has answered the last 10 radiographs too."""
    address = create_database(postgres)
    database = Database(address)
    migrate(database)
    rows = [_row(number, _OLD, FINDINGS[:2]) for number in range(40)]
    rows += [_row(number, _NEW, FINDINGS[:1] + FINDINGS[5:6], 40.0) for number in range(30, 40)]
    rows += [replace(_row(41, _NEW), cached=True), replace(_row(42, _NEW), typicality=0.001)]
    rows += [_row(5, _OTHER)]
    refused = {"model_digest": _NEW, "model_version": "1", "answered_at": _BEGIN + timedelta(seconds=30)}
    refusals = [make_refused_row(request_id=f"model-{number}", **refused) for number in range(3)]
    refusals += [make_refused_row(request_id=f"file-{number}") for number in range(5)]
    with database.transaction(10.0) as cursor:
        insert_requests(cursor, [*([row] for row in rows), *([row] for row in refusals)])
    database.close()
    return address


def test_both_revisions_are_read_from_the_journal(dsn: str) -> None:
    """Answers after ``since``, not from the cache, count for their model: calls, latency, disagreement."""
    observation = RolloutMonitor(dsn, _ConstantCounters(), _NEW, _OLD).observe(
        _BEGIN + timedelta(seconds=20), RevisionCounts(RequestCounts(), RequestCounts())
    )
    stable, canary = observation.stable.journaled, observation.canary.journaled
    assert (stable.answers, canary.answers, observation.strangers) == (20, 11, 0)
    assert stable.calls[:2] == (20, 20)
    assert (canary.calls[0], canary.calls[1], canary.calls[5]) == (10, 0, 10)
    assert (stable.atypical, canary.atypical) == (0, 1)
    assert stable.log_latency.mean == pytest.approx(2.9957, abs=1e-3)  # ln 20
    assert canary.log_latency.answers == 11
    assert (stable.refused, canary.refused) == (0, 3)
    # Both models answered ten radiographs, and differ on two findings of each.
    assert observation.disagreements == EventCount(20, 10 * len(FINDINGS))
    assert (observation.canary.counted.requests, observation.stable.counted.requests) == (10, 20)


def test_another_model_is_a_stranger(dsn: str) -> None:
    """An answer of a third digest counts as a stranger."""
    observation = RolloutMonitor(dsn, _ConstantCounters(), _NEW, _OLD).observe(
        _BEGIN, RevisionCounts(RequestCounts(), RequestCounts())
    )
    assert observation.strangers == 1


def test_a_journal_that_is_down_or_hangs_is_unavailable(dsn: str) -> None:
    """The wait ends, and the error does not quote PostgreSQL."""
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    with pytest.raises(ObservationUnavailable, match=r"the journal cannot be read \(OperationalError\)"):
        RolloutMonitor(nowhere, _ConstantCounters(), _NEW, _OLD).observe(
            _BEGIN, RevisionCounts(RequestCounts(), RequestCounts())
        )
    began = time.monotonic()
    with (
        closing(psycopg2.connect(dsn)) as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.OperationalError),
        abort_after(connection, 0.3),
    ):
        cursor.execute("SELECT pg_sleep(60)")
    assert time.monotonic() - began < 20.0


def test_a_journal_that_refuses_in_latin1_is_unavailable() -> None:
    """The language of the server does not break the monitor."""
    with (
        start_french_server() as french_dsn,
        pytest.raises(ObservationUnavailable, match="the journal cannot be read"),
    ):
        RolloutMonitor(french_dsn, _ConstantCounters(), _NEW, _OLD).observe(
            _BEGIN, RevisionCounts(RequestCounts(), RequestCounts())
        )


def test_a_predictor_that_does_not_answer_is_unavailable() -> None:
    """Unread counters do not count as zero."""
    with (
        httpx.Client(trust_env=False, timeout=1.0) as client,
        pytest.raises(ObservationUnavailable, match="cannot be read"),
    ):
        fetch_metrics(client, "http://127.0.0.1:1/metrics")


_METRICS = """# HELP pleura_requests_total Requests.
# TYPE pleura_requests_total counter
pleura_requests_total{route="grpc_ModelInfer",outcome="ok"} 90.0
pleura_requests_total{route="grpc_ModelInfer",outcome="invalid_answer"} 3.0
pleura_requests_total{route="grpc_ModelInfer",outcome="internal"} 2.0
pleura_requests_total{route="grpc_ModelInfer",outcome="overloaded"} 4.0
pleura_requests_total{route="grpc_ModelInfer",outcome="client_gone"} 1.0
pleura_requests_total{route="healthz",outcome="unavailable"} 500.0
# HELP pleura_invalid_answers_total Invalid.
# TYPE pleura_invalid_answers_total counter
"""


def test_counters_are_added_up_by_outcome() -> None:
    """Inferences count, probes do not. Invalid answers are errors too, and are counted by version."""
    assert read_predictor_counts(_METRICS + "pleura_invalid_answers_total 3.0\n") == RequestCounts(
        100, 5, 5, 3
    )
    sample = 'pleura_unusable_predictions_total{{model_version="{}"}} {}\n'
    both = _METRICS + sample.format("1.0", 1.0) + sample.format("2.0", 7.0)
    assert count_unusable_predictions(both, "2.0") == 7
    assert count_unusable_predictions(both, "3.0") == 0
