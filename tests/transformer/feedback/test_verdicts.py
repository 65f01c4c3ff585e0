"""Verdicts are stored in a real PostgreSQL."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import psycopg2
import pytest
from psycopg2 import errors

from pleura.deadline import Deadline
from pleura.errors import Conflict, DeadlineExceeded, Overloaded, Unavailable
from pleura.journal_row import row_to_line
from pleura.local.dependencies import Server
from proof.lab.running_stack import freeze_processes
from tests.support.databases import create_database, run_sql
from tests.support.transformer_values import make_journal_row, make_refused_row
from transformer.feedback.request import AnswerKey, FeedbackRequest
from transformer.feedback.verdicts import AnswerNotFound, StoredVerdicts, Verdicts
from transformer.journal import migrations
from transformer.journal.database import Database
from transformer.journal.journal import Journal
from transformer.journal.spool import Spool

FEEDBACK = FeedbackRequest(
    "dr-a", "f1", AnswerKey("ward-3", "request-1", 0), (("Mass", True), ("Edema", None)), False
)


@pytest.fixture
def dsn(postgres: Server) -> str:
    """Create an empty database, and give its DSN."""
    return create_database(postgres)


@contextmanager
def _store(dsn: str, folder: Path, timeout_s: float = 1.0) -> Iterator[tuple[Journal, Verdicts]]:
    journal = Journal(Database(dsn), Spool(folder, 10**6), timeout_s=1.0)
    journal.start()
    verdicts = Verdicts(Database(dsn), journal, timeout_s)
    try:
        yield journal, verdicts
    finally:
        verdicts.close()
        journal.close()


async def _store_feedback(
    verdicts: Verdicts, feedback: FeedbackRequest, seconds: float = 10
) -> StoredVerdicts:
    return await verdicts.store(feedback, Deadline.after(seconds))


async def _store_in_time(verdicts: Verdicts) -> None:
    for _ in range(100):
        try:
            await _store_feedback(verdicts, FEEDBACK)
        except Unavailable:
            await asyncio.sleep(0.1)
        else:
            return
    raise TimeoutError


@contextmanager
def _freeze_postgres(dsn: str) -> Iterator[None]:
    with closing(psycopg2.connect(dsn)) as connection:
        server = psutil.Process(connection.info.backend_pid).ppid()
    with freeze_processes(server):
        yield


async def test_feedback_is_stored(dsn: str, tmp_path: Path) -> None:
    """The row has the reader, the answer, the verdicts, and whether the reader had seen the answer."""
    with _store(dsn, tmp_path) as (journal, verdicts):
        await journal.append([make_journal_row()])
        stored = await _store_feedback(verdicts, FEEDBACK)
    columns = 'reader, principal, request_id, "position", findings, present, had_seen_answer'
    (row,) = run_sql(dsn, f"SELECT {columns}, given_at, now() - given_at < '1 min' FROM verdicts")
    expected = ("dr-a", "ward-3", "request-1", 0, ["Mass", "Edema"], [True, None], False)
    assert row == (*expected, stored.given_at, True)


async def test_repeated_feedback_is_stored_once(dsn: str, tmp_path: Path) -> None:
    """Repeated feedback gets the first answer. Other feedback under the same id is a conflict."""
    with _store(dsn, tmp_path) as (journal, verdicts):
        await journal.append([make_journal_row(), make_journal_row(position=1)])
        first = await _store_feedback(verdicts, FEEDBACK)
        assert await _store_feedback(verdicts, FEEDBACK) == first
        for other in (
            replace(FEEDBACK, verdicts=(("Mass", True),)),
            replace(FEEDBACK, verdicts=(("Mass", True), ("Edema", False))),
            replace(FEEDBACK, had_seen_answer=True),
            replace(FEEDBACK, answer=replace(FEEDBACK.answer, position=1)),
            replace(FEEDBACK, answer=replace(FEEDBACK.answer, request_id="nosuch")),
        ):
            with pytest.raises(Conflict):
                await _store_feedback(verdicts, other)
        await _store_feedback(verdicts, replace(FEEDBACK, reader="dr-b"))
        await _store_feedback(verdicts, replace(FEEDBACK, feedback_id="f2", had_seen_answer=True))
    rows = run_sql(dsn, "SELECT reader, feedback_id, had_seen_answer FROM verdicts ORDER BY serial")
    assert rows == [("dr-a", "f1", False), ("dr-b", "f1", False), ("dr-a", "f2", True)]


async def test_a_hundred_at_once_are_stored_once_each(dsn: str, tmp_path: Path) -> None:
    """A hundred ids, each sent three times at once, are a hundred rows, with equal answers for each id."""
    with _store(dsn, tmp_path, timeout_s=10) as (journal, verdicts):
        await journal.append([make_journal_row()])
        for first in range(0, 100, 40):
            feedbacks = [
                replace(FEEDBACK, feedback_id=f"f{i}") for i in range(first, min(100, first + 40))
            ] * 3
            stored = await asyncio.gather(*(_store_feedback(verdicts, feedback) for feedback in feedbacks))
            assert len({(row.feedback.feedback_id, row.given_at) for row in stored}) == len(feedbacks) // 3
    assert run_sql(dsn, "SELECT count(*), count(DISTINCT feedback_id) FROM verdicts") == [(100, 100)]


async def test_too_many_verdicts_at_once_are_refused(dsn: str, tmp_path: Path) -> None:
    """Feedback beyond the limit is refused at once, and waiting feedback is stored."""
    with _store(dsn, tmp_path, timeout_s=10) as (journal, verdicts):
        await journal.append([make_journal_row()])
        calls = [_store_feedback(verdicts, replace(FEEDBACK, feedback_id=f"f{i}")) for i in range(140)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
    assert len(refused) == 12
    assert run_sql(dsn, "SELECT count(*) FROM verdicts") == [(128,)]


async def test_feedback_needs_an_answer_in_the_journal(dsn: str, tmp_path: Path) -> None:
    """Feedback with another principal, id or position is not stored, nor any on a refused radiograph."""
    with _store(dsn, tmp_path) as (journal, verdicts):
        await journal.append([make_journal_row()])
        await journal.append([make_refused_row(request_id="refused")])
        for other in (
            AnswerKey("ward-4", "request-1", 0),
            AnswerKey("ward-3", "request-2", 0),
            AnswerKey("ward-3", "request-1", 1),
            AnswerKey("ward-3", "refused", 0),
        ):
            with pytest.raises(AnswerNotFound):
                await _store_feedback(verdicts, replace(FEEDBACK, answer=other))
    assert run_sql(dsn, "SELECT * FROM verdicts") == []


async def test_feedback_about_a_spooled_answer_can_be_sent_again(dsn: str, tmp_path: Path) -> None:
    """While rows wait in the spool, a missing answer is 503 and not 404."""
    with _store(dsn, tmp_path) as (_, verdicts):
        waiting = Spool(tmp_path, 10**6)
        waiting.append([row_to_line(make_journal_row())])
        with pytest.raises(Unavailable, match="wait to be written"):
            await _store_feedback(verdicts, FEEDBACK)
        waiting.seal()
        await _store_in_time(verdicts)


_VALUES = (
    "INSERT INTO verdicts (reader, feedback_id, principal, request_id, position, findings, present, "
    "had_seen_answer) VALUES "
)
REFUSED = {
    "UPDATE verdicts SET present = '{f,f}'": errors.RestrictViolation,
    "UPDATE verdicts SET given_at = now()": errors.RestrictViolation,
    "DELETE FROM verdicts": errors.RestrictViolation,
    "TRUNCATE verdicts": errors.RestrictViolation,
    "TRUNCATE answers CASCADE": errors.RestrictViolation,
    "DELETE FROM answers": errors.ForeignKeyViolation,
    _VALUES + "('dr-a', 'f1', 'ward-3', 'request-1', 0, '{Mass}', '{t}', false) "
    "ON CONFLICT (reader, feedback_id) DO UPDATE SET had_seen_answer = true": errors.RestrictViolation,
    _VALUES + "('a', 'b', 'nobody', 'c', 0, '{Mass}', '{t}', false)": errors.ForeignKeyViolation,
    _VALUES + "('a', 'b', 'ward-3', 'request-1', 0, '{Mass,Edema}', '{t}', false)": errors.CheckViolation,
    _VALUES + "('a', 'b', 'ward-3', 'request-1', 0, '{}', '{}', false)": errors.CheckViolation,
}
"""Statements that PostgreSQL must refuse, with their errors."""


async def test_verdicts_can_be_neither_changed_nor_deleted(dsn: str, tmp_path: Path) -> None:
    """PostgreSQL allows even the owner of the table only new rows about existing answers."""
    with _store(dsn, tmp_path) as (journal, verdicts):
        await journal.append([make_journal_row()])
        await _store_feedback(verdicts, FEEDBACK)
    before = run_sql(dsn, "SELECT * FROM verdicts")
    for statement, error in REFUSED.items():
        with pytest.raises(error):
            run_sql(dsn, statement)
        assert run_sql(dsn, "SELECT * FROM verdicts") == before


async def test_a_journal_of_the_first_version_takes_verdicts_after_its_migration(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers are kept, and verdicts about them can be stored."""
    with monkeypatch.context() as older:
        older.setattr(migrations, "HEAD", "0001")
        with _store(dsn, tmp_path) as (journal, verdicts):
            await journal.append([make_journal_row()])
            with pytest.raises(Unavailable):
                await _store_feedback(verdicts, FEEDBACK)
    with _store(dsn, tmp_path) as (_, verdicts):
        # rows have more columns than the first version, so this one waited in the spool
        await _store_in_time(verdicts)
    assert run_sql(dsn, "SELECT version_num FROM alembic_version") == [(migrations.HEAD,)]
    assert run_sql(dsn, "SELECT (SELECT count(*) FROM answers), (SELECT count(*) FROM verdicts)") == [(1, 1)]


async def test_only_stored_feedback_is_acknowledged(dsn: str, tmp_path: Path) -> None:
    """While PostgreSQL hangs no client waits too long. Afterwards the repeated feedback is stored."""
    with _store(dsn, tmp_path) as (journal, verdicts):
        await journal.append([make_journal_row()])
        with _freeze_postgres(dsn):
            began_s = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                await _store_feedback(verdicts, FEEDBACK, seconds=0.3)
            with pytest.raises(Unavailable):
                await _store_feedback(verdicts, FEEDBACK)
            assert time.monotonic() - began_s < 3
        await _store_in_time(verdicts)
    assert run_sql(dsn, "SELECT count(*) FROM verdicts") == [(1,)]
