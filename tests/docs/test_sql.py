"""The SQL that operate.md tells an operator to paste does what the text says."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import psycopg2
import pytest

from pleura.local.dependencies import Server
from tests.docs.markdown import ROOT, code_blocks
from tests.support.databases import create_database
from transformer.journal.database import Database
from transformer.journal.migrations import migrate

_ANSWER: Final = (
    "INSERT INTO {table} VALUES ('ris', %s, 0, %s, %s, 'chest-xray', '1.0.0', 'digest', '1', "
    "'{{0.5}}', '{{0.5}}', '{{Mass}}', 0.5, '{{}}', false, now() - %s * interval '1 year')"
)
_VERDICT: Final = (
    'INSERT INTO verdicts (reader, feedback_id, principal, request_id, "position", findings, present, '
    "had_seen_answer) VALUES ('dr-a', %s, 'ris', %s, 0, '{Mass}', '{true}', false)"
)


@pytest.fixture
def cursor(postgres: Server) -> Iterator[Any]:
    """A journal of its own: the patient's answers, those of others, and verdicts on both."""
    url = create_database(postgres)
    migrate(Database(url))
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        yield connection.cursor()


def _sql(heading: str) -> str:
    section = (ROOT / "docs" / "operate.md").read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    (block,) = [block for block in code_blocks(section) if block.language == "sql"]
    return block.content


def _add_answer(cursor: Any, request_id: str, image_id: str | None, digest: str, years: int = 0) -> None:
    cursor.execute(_ANSWER.format(table="answers"), (request_id, image_id, digest, years))


def _answers(cursor: Any) -> set[str]:
    cursor.execute("SELECT request_id FROM answers")
    return {row[0] for row in cursor.fetchall()}


def test_an_erasure_deletes_the_patients_rows_and_no_others(cursor: Any) -> None:
    """Answers by key and by digest are gone with their verdicts, which are append-only again."""
    _add_answer(cursor, "named", "ward-3/4711.dcm", "aa")
    _add_answer(cursor, "sent", None, "aa")
    _add_answer(cursor, "other", "ward-3/1.dcm", "bb")
    cursor.execute(_ANSWER.format(table="disputed_answers"), ("late", "ward-3/4712.dcm", "cc", 0))
    for request_id in ("sent", "other"):
        cursor.execute(_VERDICT, (request_id, request_id))
    cursor.execute(_sql("Erase a patient's data"))
    assert _answers(cursor) == {"other"}
    cursor.execute("SELECT (SELECT count(*) FROM disputed_answers), (SELECT min(request_id) FROM verdicts)")
    assert cursor.fetchone() == (0, "other")
    with pytest.raises(psycopg2.errors.RestrictViolation):
        cursor.execute("DELETE FROM verdicts")


def test_retention_deletes_old_answers_without_verdicts(cursor: Any) -> None:
    """What is young, or was judged by a radiologist, stays."""
    _add_answer(cursor, "old", "1.dcm", "aa", years=6)
    _add_answer(cursor, "judged", "2.dcm", "bb", years=6)
    _add_answer(cursor, "young", "3.dcm", "cc", years=4)
    cursor.execute(_VERDICT, ("judged", "judged"))
    cursor.execute(_sql("Retain and delete old answers"))
    assert _answers(cursor) == {"judged", "young"}
