"""Stored answers are read from a real PostgreSQL."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pleura.deadline import Deadline
from pleura.errors import Unavailable
from pleura.identifiers import IDENTIFIER_NAMES, Identifiers
from pleura.journal_row import AnyRow, JournalRow, row_to_line
from pleura.local.dependencies import Server
from tests.support.databases import create_database, run_sql
from tests.support.transformer_values import make_journal_row, make_refused_row
from transformer.answers.document import make_page_document
from transformer.answers.query import AnswerName, AnswerQuery, Cursor, Requester
from transformer.answers.stored_answers import AnswerPage, StoredAnswers
from transformer.feedback.verdicts import AnswerNotFound
from transformer.journal.database import Database
from transformer.journal.journal import Journal
from transformer.journal.spool import Spool
from transformer.pseudonyms import IdentifiersNotKept, PseudonymKeys

NOWHERE = "postgresql://nobody@127.0.0.1:1/pleura"
KEY, OLD_KEY = b"k" * 32, b"o" * 32
KEYS = PseudonymKeys([KEY, OLD_KEY])
STUDY = Identifiers("A-4711", "1.2.3")
RIS, PACS, AUDITOR = Requester("ris", False), Requester("pacs", False), Requester("auditor", True)


@pytest.fixture
def dsn(postgres: Server) -> str:
    """Create an empty database, and give its DSN."""
    return create_database(postgres)


@contextmanager
def _open(dsn: str, folder: Path, keys: PseudonymKeys = KEYS) -> Iterator[tuple[Journal, StoredAnswers]]:
    journal = Journal(Database(dsn), Spool(folder, 10**6), timeout_s=1.0)
    journal.start()
    stored = StoredAnswers(Database(dsn), journal, 1.0, keys)
    try:
        yield journal, stored
    finally:
        stored.close()
        journal.close()


def _make_row(
    number: int, identifiers: Identifiers = STUDY, key: bytes = KEY, **changes: object
) -> JournalRow:
    """Make a row, each a second older than the one of the next number."""
    row = make_journal_row(**{"principal": "ris", "request_id": f"request-{number}"} | changes)
    row = replace(row, answered_at=row.answered_at + timedelta(seconds=number))
    return replace(row, **_columns(identifiers, key))


def _columns(identifiers: Identifiers = STUDY, key: bytes = KEY) -> dict[str, Any]:
    """Give the columns of pseudonyms."""
    made = PseudonymKeys([key]).make_pseudonyms(identifiers)
    return {f"{name}_pseudonym": getattr(made, name) for name in IDENTIFIER_NAMES}


def _query(identifiers: Identifiers = STUDY, answered_to: str | None = None, limit: int = 20) -> AnswerQuery:
    return AnswerQuery(identifiers, answered_to, limit, None)


def _ids(rows: Sequence[AnyRow]) -> list[str]:
    return [row.request_id for row in rows]


def _soon() -> Deadline:
    return Deadline.after(10)


async def test_a_request_is_shown_as_it_was_written(dsn: str, tmp_path: Path) -> None:
    """All its radiographs come in their order, with every column."""
    with _open(dsn, tmp_path) as (journal, stored):
        rows = [_make_row(1, position=position) for position in range(3)]
        await journal.append(rows)
        await journal.append([_make_row(2)])
        shown = await stored.show(AnswerName("request-1", None), RIS, _soon())
    assert shown == rows


async def test_a_refusal_is_shown_and_found_too(dsn: str, tmp_path: Path) -> None:
    """It has its reasons, and no findings. A refusal by the header alone names no model."""
    with _open(dsn, tmp_path) as (journal, stored):
        refused = [
            make_refused_row(principal="ris", request_id="request-1", position=0, **_columns()),
            make_refused_row(
                principal="ris",
                request_id="request-1",
                position=1,
                model_version=None,
                model_digest=None,
                typicality=None,
            ),
        ]
        await journal.append(refused)
        assert await stored.show(AnswerName("request-1", None), RIS, _soon()) == refused
        page = await stored.find(_query(), RIS, _soon())
    assert page.rows == refused[:1]
    (document,) = make_page_document(page)["answers"]
    assert (document["findings"], document["refusal_reasons"]) == ([], list(refused[0].refusal_reasons))
    assert document["refusal_reasons"]


async def test_the_answers_of_another_principal_are_not_there(dsn: str, tmp_path: Path) -> None:
    """The error is the same as for an id that nobody used, unless the requester may read all."""
    with _open(dsn, tmp_path) as (journal, stored):
        await journal.append([_make_row(1)])
        errors = []
        for name in (
            AnswerName("request-1", None),
            AnswerName("request-1", "ris"),
            AnswerName("nosuch", None),
        ):
            with pytest.raises(AnswerNotFound) as caught:
                await stored.show(name, PACS, _soon())
            errors.append(str(caught.value))
        assert len(set(errors)) == 1
        assert _ids((await stored.find(_query(), PACS, _soon())).rows) == []
        assert _ids((await stored.find(_query(answered_to="ris"), PACS, _soon())).rows) == []
        with pytest.raises(AnswerNotFound):
            await stored.show(AnswerName("request-1", None), AUDITOR, _soon())
        assert await stored.show(AnswerName("request-1", "ris"), AUDITOR, _soon())
        assert _ids((await stored.find(_query(), AUDITOR, _soon())).rows) == ["request-1"]
        assert _ids((await stored.find(_query(answered_to="pacs"), AUDITOR, _soon())).rows) == []


async def test_answers_are_found_by_each_identifier_newest_first(dsn: str, tmp_path: Path) -> None:
    """All identifiers that are given must match."""
    other = Identifiers("B-1", "1.2.3", "9.9")
    with _open(dsn, tmp_path) as (journal, stored):
        for number in (1, 3):
            await journal.append([_make_row(number)])
        await journal.append([_make_row(2, other)])
        await journal.append([make_journal_row(principal="ris", request_id="without")])
        found = {
            identifiers: _ids((await stored.find(_query(identifiers), RIS, _soon())).rows)
            for identifiers in (
                Identifiers("A-4711"),
                Identifiers(None, "1.2.3"),
                Identifiers(None, None, "9.9"),
                Identifiers("A-4711", None, "9.9"),
                Identifiers("1.2.3"),
            )
        }
    assert list(found.values()) == [
        ["request-3", "request-1"],
        ["request-3", "request-2", "request-1"],
        ["request-2"],
        [],
        [],
    ]


async def test_pages_give_each_answer_once(dsn: str, tmp_path: Path) -> None:
    """Answers of the same moment and of one request are kept apart, and new answers disturb no page."""
    rows = [_make_row(number // 5, request_id=f"r{number // 3}", position=number % 3) for number in range(23)]
    with _open(dsn, tmp_path) as (journal, stored):
        for row in rows:
            await journal.append([row])
        pages: list[AnswerPage] = []
        query = _query(limit=4)
        while not pages or pages[-1].next:
            pages.append(await stored.find(query, RIS, _soon()))
            cursor = pages[-1].next
            query = replace(query, cursor=cursor and Cursor.from_text(cursor.to_text()))
            await journal.append([_make_row(99, request_id=f"newer-{len(pages)}")])
    keys = [row.key for page in pages for row in page.rows]
    assert [len(page.rows) for page in pages] == [4, 4, 4, 4, 4, 3]
    assert sorted(keys) == sorted(row.key for row in rows)
    assert [row.answered_at for page in pages for row in page.rows] == sorted(
        (row.answered_at for row in rows), reverse=True
    )


async def test_a_new_key_still_finds_the_answers_of_the_old_one(dsn: str, tmp_path: Path) -> None:
    """Without the old key they are not found, and the request id still finds them."""
    with _open(dsn, tmp_path) as (journal, stored):
        await journal.append([_make_row(1, key=OLD_KEY)])
        await journal.append([_make_row(2)])
        assert _ids((await stored.find(_query(), RIS, _soon())).rows) == ["request-2", "request-1"]
    with _open(dsn, tmp_path, PseudonymKeys([KEY])) as (_, stored):
        assert _ids((await stored.find(_query(), RIS, _soon())).rows) == ["request-2"]
        assert await stored.show(AnswerName("request-1", None), RIS, _soon())
    with _open(dsn, tmp_path, PseudonymKeys([])) as (_, stored):
        with pytest.raises(IdentifiersNotKept):
            await stored.find(_query(), RIS, _soon())
        assert await stored.show(AnswerName("request-1", None), RIS, _soon())


async def test_the_journal_has_no_identifier(dsn: str, tmp_path: Path) -> None:
    """Neither a column nor a line of the spool shows what was given."""
    row = _make_row(1, Identifiers("ZQV-4711", "1.2.86420", "1.3.97531"))
    with _open(dsn, tmp_path) as (journal, _):
        await journal.append([row])
    written = str(run_sql(dsn, "SELECT answers::text FROM answers")) + row_to_line(row).decode()
    assert row.accession_number_pseudonym is not None
    assert row.accession_number_pseudonym in written
    assert not any(identifier in written for identifier in ("ZQV-4711", "86420", "97531"))


async def test_while_answers_wait_in_the_spool_a_missing_one_may_come(dsn: str, tmp_path: Path) -> None:
    """A missing answer is 503 instead of 404, and a page says that it may not be complete."""
    with _open(dsn, tmp_path) as (journal, stored):
        await journal.append([_make_row(1)])
        waiting = Spool(tmp_path, 10**6)
        waiting.append([row_to_line(_make_row(2))])
        for requester in (RIS, PACS):
            with pytest.raises(Unavailable, match="wait to be written"):
                await stored.show(AnswerName("request-2", None), requester, _soon())
        page = await stored.find(_query(), RIS, _soon())
        assert (_ids(page.rows), page.is_complete) == (["request-1"], False)
        waiting.seal()


async def test_without_postgresql_nothing_can_be_read(tmp_path: Path) -> None:
    """The caller is told to try again."""
    with _open(NOWHERE, tmp_path) as (_, stored):
        for call in (stored.show(AnswerName("r", None), RIS, _soon()), stored.find(_query(), RIS, _soon())):
            with pytest.raises(Unavailable, match="cannot be read now") as caught:
                await call
            assert caught.value.retry_after_s


async def test_a_search_uses_the_index(dsn: str, tmp_path: Path) -> None:
    """A journal of years is not read row by row."""
    with _open(dsn, tmp_path) as (journal, _):
        await journal.append([_make_row(1)])
    run_sql(
        dsn,
        "INSERT INTO answers SELECT principal, 'x' || n, 0, image_id, image_digest, model_name, "
        "model_version, model_digest, preprocessing_version, probabilities, thresholds, findings, "
        "typicality, latency_ms, cached, answered_at FROM answers, generate_series(1, 20000) n",
    )
    run_sql(dsn, "ANALYZE answers")
    for name in ("accession_number", "study_instance_uid", "sop_instance_uid"):
        plan = str(run_sql(dsn, f"EXPLAIN SELECT * FROM answers WHERE {name}_pseudonym = ANY('{{a,b}}')"))
        assert f"answers_{name}" in plan
