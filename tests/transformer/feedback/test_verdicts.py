"""The store of verdicts on a real PostgreSQL."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg2 import errors

from pleura.deadline import Deadline
from pleura.errors import Conflict, DeadlineExceeded, Overloaded, Unavailable
from pleura.journal_row import row_to_line
from pleura.local.dependencies import Server
from pleura.local.state_folder import ProcessId
from proof.lab.running_stack import descendants
from tests.support.databases import own_database, run_sql
from tests.support.transformer_values import journal_row
from transformer.feedback.request import AnswerKey, FeedbackRequest
from transformer.feedback.verdicts import AnswerNotFound, StoredVerdicts, Verdicts
from transformer.journal import migrations
from transformer.journal.database import Database
from transformer.journal.journal import Journal
from transformer.journal.spool import Spool

SAID = FeedbackRequest(
    "dr-a", "f1", AnswerKey("ward-3", "request-1", 0), (("Mass", True), ("Edema", None)), False
)


@pytest.fixture
def dsn(postgres: Server) -> str:
    """The DSN of an empty database."""
    return own_database(postgres)


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


async def _keep(verdicts: Verdicts, feedback: FeedbackRequest, seconds: float = 10) -> StoredVerdicts:
    return await verdicts.store(feedback, Deadline.after(seconds))


async def _eventually_kept(verdicts: Verdicts) -> None:
    for _ in range(100):
        try:
            await _keep(verdicts, SAID)
        except Unavailable:
            await asyncio.sleep(0.1)
        else:
            return
    raise TimeoutError


@contextmanager
def _frozen(dsn: str) -> Iterator[None]:
    pid = int(run_sql(dsn, "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)")[0][0])
    processes = descendants(pid)
    try:
        _signal(processes, signal.SIGSTOP)
        yield
    finally:
        _signal(processes, signal.SIGCONT)


def _signal(processes: Sequence[ProcessId], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):  # the backend that was asked for the id, perhaps
            os.kill(process.pid, number)


async def test_what_is_said_is_stored(dsn: str, tmp_path: Path) -> None:
    """The row holds who, on which answer, what, and whether they had seen it; PostgreSQL says when."""
    with _store(dsn, tmp_path) as (journal, verdicts):
        await journal.append([journal_row()])
        stored = await _keep(verdicts, SAID)
    columns = 'reader, principal, request_id, "position", findings, present, had_seen_answer'
    (row,) = run_sql(dsn, f"SELECT {columns}, given_at, now() - given_at < '1 min' FROM verdicts")
    expected = ("dr-a", "ward-3", "request-1", 0, ["Mass", "Edema"], [True, None], False)
    assert row == (*expected, stored.given_at, True)


async def test_the_same_again_is_stored_once(dsn: str, tmp_path: Path) -> None:
    """The same id again gives the first answer; with any other word, a conflict; of another reader, a row."""
    with _store(dsn, tmp_path) as (journal, verdicts):
        await journal.append([journal_row(), journal_row(position=1)])
        first = await _keep(verdicts, SAID)
        assert await _keep(verdicts, SAID) == first
        for other in (
            replace(SAID, verdicts=(("Mass", True),)),
            replace(SAID, verdicts=(("Mass", True), ("Edema", False))),
            replace(SAID, had_seen_answer=True),
            replace(SAID, answer=replace(SAID.answer, position=1)),
            replace(SAID, answer=replace(SAID.answer, request_id="nosuch")),
        ):
            with pytest.raises(Conflict):
                await _keep(verdicts, other)
        await _keep(verdicts, replace(SAID, reader="dr-b"))
        await _keep(verdicts, replace(SAID, feedback_id="f2", had_seen_answer=True))
    rows = run_sql(dsn, "SELECT reader, feedback_id, had_seen_answer FROM verdicts ORDER BY serial")
    assert rows == [("dr-a", "f1", False), ("dr-b", "f1", False), ("dr-a", "f2", True)]


async def test_a_hundred_at_once_are_stored_once_each(dsn: str, tmp_path: Path) -> None:
    """A hundred ids, each sent thrice at one time: a hundred rows, and each sender hears the same."""
    with _store(dsn, tmp_path, timeout_s=10) as (journal, verdicts):
        await journal.append([journal_row()])
        for most in range(0, 100, 40):
            said = [replace(SAID, feedback_id=f"f{i}") for i in range(most, min(100, most + 40))] * 3
            stored = await asyncio.gather(*(_keep(verdicts, each) for each in said))
            assert len({(each.feedback.feedback_id, each.given_at) for each in stored}) == len(said) // 3
    assert run_sql(dsn, "SELECT count(*), count(DISTINCT feedback_id) FROM verdicts") == [(100, 100)]


async def test_too_many_at_once_are_turned_away(dsn: str, tmp_path: Path) -> None:
    """Beyond a bound of those that wait, the rest is told so at once, and those that wait are stored."""
    with _store(dsn, tmp_path, timeout_s=10) as (journal, verdicts):
        await journal.append([journal_row()])
        said = [_keep(verdicts, replace(SAID, feedback_id=f"f{i}")) for i in range(140)]
        outcomes = await asyncio.gather(*said, return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, Overloaded)]
    assert len(refused) == 12
    assert run_sql(dsn, "SELECT count(*) FROM verdicts") == [(128,)]


async def test_verdicts_are_on_answers_that_there_are(dsn: str, tmp_path: Path) -> None:
    """Another principal's, id's or position's answer is none, and nothing is stored of it."""
    with _store(dsn, tmp_path) as (journal, verdicts):
        await journal.append([journal_row()])
        for other in (
            AnswerKey("ward-4", "request-1", 0),
            AnswerKey("ward-3", "request-2", 0),
            AnswerKey("ward-3", "request-1", 1),
        ):
            with pytest.raises(AnswerNotFound):
                await _keep(verdicts, replace(SAID, answer=other))
    assert run_sql(dsn, "SELECT * FROM verdicts") == []


async def test_an_answer_that_waits_in_the_spool_may_come(dsn: str, tmp_path: Path) -> None:
    """While answers wait to be written, one that is not there yet is no reason to give up."""
    with _store(dsn, tmp_path) as (_, verdicts):
        waiting = Spool(tmp_path, 10**6)
        waiting.append([row_to_line(journal_row())])
        with pytest.raises(Unavailable, match="wait to be written"):
            await _keep(verdicts, SAID)
        waiting.seal()
        await _eventually_kept(verdicts)


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
"""What PostgreSQL must refuse, and why."""


async def test_rows_come_and_neither_change_nor_go(dsn: str, tmp_path: Path) -> None:
    """PostgreSQL itself refuses the owner of the table what is not a new row on an answer."""
    with _store(dsn, tmp_path) as (journal, verdicts):
        await journal.append([journal_row()])
        await _keep(verdicts, SAID)
    before = run_sql(dsn, "SELECT * FROM verdicts")
    for statement, error in REFUSED.items():
        with pytest.raises(error):
            run_sql(dsn, statement)
        assert run_sql(dsn, "SELECT * FROM verdicts") == before


async def test_an_older_journal_takes_verdicts(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database of the first version keeps its answers, and takes verdicts on them once it is migrated."""
    with monkeypatch.context() as older:
        older.setattr(migrations, "HEAD", "0001")
        with _store(dsn, tmp_path) as (journal, verdicts):
            await journal.append([journal_row()])
            with pytest.raises(Unavailable):
                await _keep(verdicts, SAID)
    with _store(dsn, tmp_path) as (_, verdicts):
        await _keep(verdicts, SAID)
    assert run_sql(dsn, "SELECT version_num FROM alembic_version") == [("0002",)]
    assert run_sql(dsn, "SELECT (SELECT count(*) FROM answers), (SELECT count(*) FROM verdicts)") == [(1, 1)]


async def test_what_is_not_stored_is_not_acknowledged(dsn: str, tmp_path: Path) -> None:
    """While PostgreSQL hangs nobody waits longer than allowed; afterwards the same again is stored."""
    with _store(dsn, tmp_path) as (journal, verdicts):
        await journal.append([journal_row()])
        with _frozen(dsn):
            began_s = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                await _keep(verdicts, SAID, seconds=0.3)
            with pytest.raises(Unavailable):
                await _keep(verdicts, SAID)
            assert time.monotonic() - began_s < 3
        await _eventually_kept(verdicts)
    assert run_sql(dsn, "SELECT count(*) FROM verdicts") == [(1,)]
