"""Reading answers and their verdicts back from a real PostgreSQL."""

import time
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from pipelines.journal_reader import JournalUnreadable, Verdict, Window, read_answers, select_verdicts
from pleura.journal_row import AnyRow, JournalRow
from pleura.local.dependencies import Server
from tests.support.databases import create_database, start_french_server
from tests.support.transformer_values import make_journal_row, make_refused_row
from transformer.journal.database import Database
from transformer.journal.migrations import migrate
from transformer.journal.sql import insert_requests

DAY = datetime(2026, 11, 20, tzinfo=UTC)
WINDOW = Window(DAY, DAY + timedelta(days=1))
NOWHERE = "postgresql://nobody:secret@127.0.0.1:9/pleura"
_SAID = (
    'INSERT INTO verdicts (reader, feedback_id, principal, request_id, "position", findings, present, '
    "had_seen_answer, given_at) VALUES (%s, %s, 'ward-3', %s, 0, %s, %s::boolean[], %s, %s)"
)


@pytest.fixture
def dsn(postgres: Server) -> str:
    """The DSN of an empty journal."""
    dsn = create_database(postgres)
    migrate(Database(dsn))
    return dsn


def _entry(request_id: str, minute: int) -> JournalRow:
    return replace(make_journal_row(request_id=request_id), answered_at=DAY + timedelta(minutes=minute))


def _answer(dsn: str, *entries: AnyRow) -> None:
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        insert_requests(cursor, [[each] for each in entries])


def _say(
    dsn: str, request_id: str, reader: str, minute: int, seen: bool, **said: bool | None
) -> Sequence[Verdict]:
    given_at = DAY + timedelta(minutes=minute)
    values = (reader, uuid.uuid4().hex, request_id, list(said), list(said.values()), seen, given_at)
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(_SAID, values)
    return [Verdict(finding, present, reader, seen, given_at) for finding, present in said.items()]


def test_an_answer_is_read_as_it_was_written(dsn: str) -> None:
    """Each field of an answer has the value that was written."""
    written = _entry("one", 1)
    _answer(dsn, written)
    (read,) = read_answers(dsn, WINDOW)
    assert read.verdicts == ()
    fields = set(type(read).__dataclass_fields__) - {"verdicts"}
    assert {name: getattr(read, name) for name in fields} == {name: getattr(written, name) for name in fields}


def test_a_refusal_is_no_answer(dsn: str) -> None:
    """Drift, replay and data sets see answers only, and their warnings."""
    warned = replace(_entry("one", 1), warnings=("untypical",))
    _answer(dsn, warned, make_refused_row(request_id="two", answered_at=DAY + timedelta(minutes=2)))
    (read,) = read_answers(dsn, WINDOW)
    assert (read.request_id, read.warnings) == ("one", ("untypical",))


def test_a_window_is_half_open_and_gives_the_newest(dsn: str) -> None:
    """An answer at the end of a window belongs to the next one. The newest answers come first."""
    _answer(dsn, *(_entry(f"r{minute}", minute) for minute in range(6)))
    minutes = Window(DAY + timedelta(minutes=1), DAY + timedelta(minutes=5))
    assert [each.request_id for each in read_answers(dsn, minutes)] == ["r4", "r3", "r2", "r1"]
    assert [each.request_id for each in read_answers(dsn, replace(minutes, most=2))] == ["r4", "r3"]


def test_each_answer_has_its_own_verdicts_in_order(dsn: str) -> None:
    """All verdicts of an answer are read, also replaced ones, and none of another answer."""
    _answer(dsn, _entry("one", 1), _entry("two", 2), _entry("three", 3))
    later = _say(dsn, "one", "dr-a", 9, True, Edema=None, Mass=True)
    earlier = _say(dsn, "one", "dr-b", 8, False, Mass=False)
    other = _say(dsn, "two", "dr-a", 7, False, Hernia=True)
    three, two, one = read_answers(dsn, WINDOW)
    assert (list(one.verdicts), list(two.verdicts), three.verdicts) == ([*earlier, *later], other, ())


def test_the_latest_blind_verdict_counts(dsn: str) -> None:
    """The last blind verdict of a reader on a finding counts. Verdicts after seeing the answer do not."""
    _answer(dsn, _entry("one", 1))
    _say(dsn, "one", "dr-a", 2, False, Edema=True)
    blind = _say(dsn, "one", "dr-a", 3, False, Edema=None)
    other = _say(dsn, "one", "dr-b", 4, False, Edema=True)
    _say(dsn, "one", "dr-a", 5, True, Mass=True)
    claimed = _say(dsn, "one", "dr-a", 6, False, Edema=False)
    (answer,) = read_answers(dsn, WINDOW)
    assert set(select_verdicts(answer)) == {*blind, *other}
    assert {*claimed, *other} < set(select_verdicts(answer, even_if_seen=True))


def test_an_unreadable_journal_is_one_error_without_secrets(dsn: str, postgres: Server) -> None:
    """A missing server, a missing table and a wrong DSN raise one error, which contains no password."""
    for wrong in (NOWHERE, postgres.url.rpartition("/")[0] + "/template1", "host='secret"):
        with pytest.raises(JournalUnreadable) as failed:
            read_answers(wrong, WINDOW)
        assert "secret" not in str(failed.value)
        assert failed.value.__suppress_context__


def test_a_journal_that_refuses_in_latin1_cannot_be_read() -> None:
    """The server's language makes no difference."""
    with start_french_server() as strange, pytest.raises(JournalUnreadable):
        read_answers(strange, WINDOW)


def test_a_journal_that_does_not_answer_is_given_up(dsn: str) -> None:
    """Reading behind a lock, or from a server that hangs, fails in time."""
    with closing(psycopg2.connect(dsn)) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE answers IN ACCESS EXCLUSIVE MODE")
        began_s = time.monotonic()
        with pytest.raises(JournalUnreadable):
            read_answers(dsn, WINDOW, limit_s=0.5)
        assert time.monotonic() - began_s < 10
    assert read_answers(dsn, WINDOW) == []


def test_many_answers_are_fetched_in_parts(dsn: str) -> None:
    """More answers than one fetch are read completely, each with its verdict."""
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        insert_requests(cursor, [[_entry(f"r{number}", 1) for number in range(4500)]])
        cursor.execute(
            "INSERT INTO verdicts SELECT 'dr-a', request_id, principal, request_id, position, '{Mass}', "
            "'{t}', false FROM answers"
        )
    read = read_answers(dsn, WINDOW)
    assert len({each.request_id for each in read}) == 4500
    assert {len(each.verdicts) for each in read} == {1}


def test_a_window_needs_a_zone() -> None:
    """A time without a zone would mean another window on each server."""
    with pytest.raises(ValueError, match="zone"):
        Window(datetime(2026, 1, 1), DAY)
