"""The journal in a real PostgreSQL, and in the spool while PostgreSQL is down."""

import asyncio
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import psycopg2
import pytest

from pleura.errors import Conflict
from pleura.journal_row import AnyRow, row_from_line, row_to_line
from pleura.local.dependencies import Server, start_postgres
from tests.support.databases import create_database, run_sql, start_french_server
from tests.support.transformer_values import make_journal_row, make_refused_row
from transformer.journal import migrations
from transformer.journal.database import Database, limit_waiting
from transformer.journal.journal import Journal
from transformer.journal.spool import Spool, SpoolFull

NOWHERE = "postgresql://nobody@127.0.0.1:9/pleura"


@pytest.fixture
def table(postgres: Server) -> str:
    """Create an empty database, and give its DSN."""
    return create_database(postgres)


@contextmanager
def _journal(dsn: str, folder: Path, spool_bytes: int = 10**6) -> Iterator[Journal]:
    journal = Journal(Database(dsn), Spool(folder, spool_bytes), timeout_s=1.0)
    journal.start()
    try:
        yield journal
    finally:
        journal.close()


async def _until(holds: Callable[[], bool], seconds: float = 15) -> None:
    for _ in range(int(seconds / 0.1)):
        if holds():
            return
        await asyncio.sleep(0.1)
    raise TimeoutError


def _damage_first_line(folder: Path) -> None:
    (path,) = folder.glob("*.spool")
    path.write_bytes(path.read_bytes().replace(b"ward-3", b"ward-9", 1))


def _repair_typicality(folder: Path) -> None:
    (path,) = folder.glob("*.damaged")
    row = path.read_bytes().partition(b" ")[2]
    path.write_bytes(b"-------- " + re.sub(rb'"typicality":[^,]+', b'"typicality":0.5', row))


def _set_segment_aside(folder: Path) -> None:
    (path,) = folder.glob("*.spool")
    path.rename(path.with_suffix(".damaged"))


def _names_in(folder: Path) -> list[str]:
    return [path.suffix for path in folder.iterdir()]


def test_a_row_is_read_from_its_line_as_it_was_written() -> None:
    """A row in the spool keeps all its values."""
    for row in (make_journal_row(warnings=("untypical",)), make_refused_row()):
        assert row_from_line(row_to_line(row)) == row


def test_a_line_of_the_version_before_is_read() -> None:
    """It has no warnings."""
    document = orjson.loads(row_to_line(make_journal_row()))
    assert "warnings" not in document
    assert row_from_line(orjson.dumps(document)) == make_journal_row()


async def test_a_refusal_is_a_row_without_findings(table: str, tmp_path: Path) -> None:
    """It has its reasons; an answer has none, and its warnings."""
    rows: list[AnyRow] = [make_journal_row(warnings=("untypical",)), make_refused_row(position=1)]
    with _journal(table, tmp_path) as journal:
        assert await journal.append(rows) == "written"
        assert await journal.append([make_refused_row(position=1)]) == "written"
    columns = "refusal_reasons, warnings, findings, probabilities IS NULL, typicality"
    assert run_sql(table, f"SELECT {columns} FROM answers ORDER BY position") == [
        ([], ["untypical"], ["Effusion"], False, 0.5),
        (["not_chest", "pediatric"], ["lossy_compression"], None, True, None),
    ]


@pytest.mark.parametrize("statement", ["refusal_reasons = '{}'", "probabilities = '{0.5}'"])
async def test_a_row_is_an_answer_or_a_refusal(table: str, tmp_path: Path, statement: str) -> None:
    """PostgreSQL keeps no row that is both or neither."""
    with _journal(table, tmp_path) as journal:
        await journal.append([make_refused_row()])
    with pytest.raises(psycopg2.errors.CheckViolation):
        run_sql(table, f"UPDATE answers SET {statement} RETURNING 1")


async def test_a_refusal_and_an_answer_under_one_request_id_are_a_conflict(
    table: str, tmp_path: Path
) -> None:
    """A request id never stands for both, and a refusal by another model is the same refusal."""
    answered, refused = make_journal_row(), make_refused_row(request_id="refused")
    with _journal(table, tmp_path) as journal:
        await journal.append([answered])
        await journal.append([refused])
        with pytest.raises(Conflict, match="answered before, and would be refused now"):
            await journal.append([make_refused_row()])
        with pytest.raises(Conflict, match="refused before, and would be answered now"):
            await journal.append([make_journal_row(request_id="refused")])
        by_model = replace(refused, model_version="1.0.0", model_digest="a" * 64, typicality=0.0)
        assert await journal.append([by_model]) == "written"
    assert run_sql(table, "SELECT count(*) FROM answers") == [(2,)]


async def test_a_spooled_refusal_reaches_postgresql(table: str, tmp_path: Path) -> None:
    """A refusal is as durable as an answer, and one in conflict goes to the disputed rows."""
    spool = Spool(tmp_path, 10**6)
    rows: list[AnyRow] = [make_refused_row(), make_refused_row(request_id="other")]
    rows.append(make_journal_row(request_id="other"))
    spool.append([row_to_line(row) for row in rows])
    spool.seal()
    with _journal(table, tmp_path):
        await _until(spool.is_empty)
    reasons = "SELECT request_id, cardinality(refusal_reasons) FROM"
    assert run_sql(table, f"{reasons} answers ORDER BY 1") == [("other", 2), ("request-1", 2)]
    assert run_sql(table, f"{reasons} disputed_answers") == [("other", 0)]


async def test_a_row_has_the_values_of_the_answer(table: str, tmp_path: Path) -> None:
    """Each column has the value of the field with its name."""
    with _journal(table, tmp_path) as journal:
        assert (
            await journal.append([make_journal_row(), make_journal_row(position=1, image_id=None)])
            == "written"
        )
    columns = "image_id, probabilities[1], findings, latency_ms->>'predict', cached, answered_at"
    rows = run_sql(table, f"SELECT {columns} FROM answers ORDER BY position")
    assert rows[0] == (
        "some/radiograph.dcm",
        0.25,
        ["Effusion"],
        "40.0",
        False,
        make_journal_row().answered_at,
    )
    assert rows[1][0] is None


async def test_the_same_request_is_one_row(table: str, tmp_path: Path) -> None:
    """Repeating a request changes nothing, alone or among other requests, one by one or at once."""
    with _journal(table, tmp_path) as journal:
        await journal.append([make_journal_row()])
        repeats = [journal.append([make_journal_row()]) for _ in range(5)]
        others = [journal.append([make_journal_row(request_id=f"other-{i}")]) for i in range(5)]
        assert set(await asyncio.gather(*repeats, *others)) == {"written"}
    assert run_sql(table, "SELECT count(*) FROM answers") == [(6,)]


async def test_waiting_requests_are_written_together(table: str, tmp_path: Path) -> None:
    """Requests that arrive while rows are being written share one transaction."""
    with _journal(table, tmp_path) as journal:
        await asyncio.gather(
            *(journal.append([make_journal_row(request_id=f"request-{i}")]) for i in range(100))
        )
    assert run_sql(table, "SELECT count(*) FROM answers") == [(100,)]
    ((transactions,),) = run_sql(table, "SELECT count(DISTINCT xmin::text) FROM answers")
    assert transactions <= 2


_REFUSED = {
    "NUL": {"image_digest": "x\0y"},
    "out of range": {"typicality": 1e300},
    "another type": {"cached": 5},
    "no type of PostgreSQL": {"model_version": {"a": 1}},
    "missing": {"model_version": None},
}


@pytest.mark.parametrize("changes", _REFUSED.values(), ids=_REFUSED.keys())
async def test_a_refused_row_keeps_no_other_out(table: str, tmp_path: Path, changes: dict[str, Any]) -> None:
    """Other requests of its batch are written, the journal stays available, and the row is set aside."""
    with _journal(table, tmp_path) as journal:
        await journal.append([make_journal_row(request_id="first")])
        requests = [make_journal_row(request_id=f"other-{number}") for number in range(20)]
        requests.insert(7, make_journal_row(request_id="bad", **changes))
        results = await asyncio.gather(*(journal.append([row]) for row in requests))
        assert [number for number, result in enumerate(results) if result == "spooled"] == [7]
        assert journal.is_writable
        await _until(lambda: Spool(tmp_path, 0).count_set_aside() == 1)
        assert journal.is_writable
        assert await journal.append([make_journal_row(request_id="next")]) == "written"
    assert run_sql(table, "SELECT count(*) FROM answers") == [(22,)]


@pytest.mark.parametrize("changes", _REFUSED.values(), ids=_REFUSED.keys())
async def test_a_refused_row_of_the_spool_is_set_aside_alone(
    table: str, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """All other rows of its segment are written, and so is a segment after it."""
    with _journal(NOWHERE, tmp_path) as journal:
        for number in range(20):
            await journal.append([make_journal_row(request_id=f"before-{number}")])
        await journal.append([make_journal_row(request_id="bad", **changes), make_journal_row(position=1)])
        await journal.append([make_journal_row(request_id="after")])
    with _journal(NOWHERE, tmp_path) as journal:
        await journal.append([make_journal_row(request_id="next segment")])
    with _journal(table, tmp_path):
        await _until(lambda: Spool(tmp_path, 0).is_empty())
    assert run_sql(table, "SELECT count(*) FROM answers") == [(23,)]
    assert Spool(tmp_path, 0).count_set_aside() == 1


async def test_rows_are_written_after_a_repair(table: str, tmp_path: Path) -> None:
    """After PostgreSQL was repaired at the next start, after the row was repaired within seconds."""
    with _journal(table, tmp_path) as journal:
        run_sql(table, "ALTER TABLE answers ADD CONSTRAINT odd CHECK (image_id <> 'odd')")
        assert await journal.append([make_journal_row(image_id="odd")]) == "spooled"
        assert await journal.append([make_journal_row(position=1, typicality=1e300)]) == "spooled"
        await _until(lambda: Spool(tmp_path, 0).count_set_aside() == 2)
        run_sql(table, "ALTER TABLE answers DROP CONSTRAINT odd")
    with _journal(table, tmp_path):
        await _until(lambda: Spool(tmp_path, 0).count_set_aside() == 1)
        _repair_typicality(tmp_path)
        await _until(lambda: Spool(tmp_path, 0).count_set_aside() == 0)
    assert run_sql(table, "SELECT position, typicality FROM answers ORDER BY 1") == [(0, 0.5), (1, 0.5)]


async def test_what_version_0_1_set_aside_is_tried_again(table: str, tmp_path: Path) -> None:
    """It set whole segments aside: their good rows are written at the first start."""
    with _journal(NOWHERE, tmp_path) as journal:
        await journal.append([make_journal_row(position=number) for number in range(5)])
    _damage_first_line(tmp_path)
    _set_segment_aside(tmp_path)
    with _journal(table, tmp_path):
        await _until(lambda: Spool(tmp_path, 0).count_set_aside() == 1)
    assert run_sql(table, "SELECT position FROM answers ORDER BY 1") == [(1,), (2,), (3,), (4,)]


async def test_a_schema_that_lacks_a_table_sets_no_row_aside(table: str, tmp_path: Path) -> None:
    """The rows are right, and are written once the schema is."""
    with _journal(NOWHERE, tmp_path) as journal:
        await journal.append([make_journal_row()])
    with _journal(table, tmp_path):
        await _until(lambda: Spool(tmp_path, 0).is_empty())
        run_sql(table, "ALTER TABLE answers RENAME typicality TO hidden")
    with _journal(NOWHERE, tmp_path) as journal:
        await journal.append([make_journal_row(request_id="later")])
    with _journal(table, tmp_path):
        await asyncio.sleep(2.5)
        assert not Spool(tmp_path, 0).is_empty()
        assert Spool(tmp_path, 0).count_set_aside() == 0
        run_sql(table, "ALTER TABLE answers RENAME hidden TO typicality")
        await _until(lambda: Spool(tmp_path, 0).is_empty())
    assert run_sql(table, "SELECT count(*) FROM answers") == [(2,)]


async def test_a_cancelled_request_does_not_block_the_others(table: str, tmp_path: Path) -> None:
    """A cancelled request may have a row or not. All other requests are written."""
    with _journal(table, tmp_path) as journal:
        gone = asyncio.create_task(journal.append([make_journal_row(request_id="gone")]))
        others = [
            asyncio.create_task(journal.append([make_journal_row(request_id=f"other-{i}")])) for i in range(5)
        ]
        await asyncio.sleep(0)
        gone.cancel()
        assert set(await asyncio.gather(*others)) == {"written"}
        assert await journal.append([make_journal_row(request_id="next")]) == "written"


async def test_another_radiograph_under_the_same_id_is_a_conflict(table: str, tmp_path: Path) -> None:
    """A conflict writes no row of its request, changes no older row, and affects no other request."""
    other = make_journal_row(image_digest="e" * 64)
    with _journal(table, tmp_path) as journal:
        await journal.append([make_journal_row()])
        outcomes = await asyncio.gather(
            journal.append([make_journal_row(position=1), other]),
            journal.append([make_journal_row(request_id="other")]),
            return_exceptions=True,
        )
        assert isinstance(outcomes[0], Conflict)
        assert outcomes[1] == "written"
        assert (
            await journal.append([make_journal_row(principal="ward-4", image_digest="e" * 64)]) == "written"
        )
    rows = run_sql(table, "SELECT principal, request_id, position, image_digest FROM answers ORDER BY 1, 2")
    assert [row[:3] for row in rows] == [
        ("ward-3", "other", 0),
        ("ward-3", "request-1", 0),
        ("ward-4", "request-1", 0),
    ]
    assert rows[1][3] == "d" * 64


async def test_another_models_answer_under_the_same_id_is_a_conflict(table: str, tmp_path: Path) -> None:
    """After a promotion a repeated id gives no answer that the journal does not have."""
    with _journal(table, tmp_path) as journal:
        await journal.append([make_journal_row()])
        with pytest.raises(Conflict, match="another model"):
            await journal.append([make_journal_row(model_version="2.0.0", model_digest="b" * 64)])
    assert run_sql(table, "SELECT model_version FROM answers") == [("1.0.0",)]


async def test_three_requests_at_once_under_one_id_are_one_row_and_two_conflicts(
    table: str, tmp_path: Path
) -> None:
    """An id stands for one radiograph within one transaction too."""
    with _journal(table, tmp_path) as journal:
        outcomes = await asyncio.gather(
            *(journal.append([make_journal_row(image_digest=digest * 64)]) for digest in "abc"),
            return_exceptions=True,
        )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Conflict", "str"]
    assert run_sql(table, "SELECT count(*) FROM answers") == [(1,)]


async def test_two_transformers_migrate_one_after_the_other(table: str, tmp_path: Path) -> None:
    """Two transformers that start at the same time create one schema."""
    journals = [Journal(Database(table), Spool(tmp_path, 10**6), 5.0) for _ in range(2)]
    await asyncio.gather(*(asyncio.to_thread(journal.start) for journal in journals))
    assert all(journal.is_writable for journal in journals)
    for journal in journals:
        journal.close()
    assert run_sql(table, "SELECT version_num FROM alembic_version") == [(migrations.HEAD,)]


async def test_without_postgres_rows_go_to_the_spool(table: str, tmp_path: Path) -> None:
    """While PostgreSQL is down rows are spooled. The next process writes them to PostgreSQL, once."""
    with _journal(NOWHERE, tmp_path) as journal:
        assert await journal.append([make_journal_row(), make_journal_row(position=1)]) == "spooled"
        assert await journal.append([make_journal_row()]) == "spooled"
    with _journal(table, tmp_path):
        await _until(lambda: Spool(tmp_path, 0).is_empty())
    assert run_sql(table, "SELECT count(*) FROM answers") == [(2,)]


async def test_a_server_that_refuses_in_latin1_counts_as_down(tmp_path: Path) -> None:
    """The service starts, and rows go to the spool, with a server of any language."""
    with start_french_server() as strange, _journal(strange, tmp_path) as journal:
        assert await journal.append([make_journal_row()]) == "spooled"


async def test_a_spooled_conflict_goes_to_the_disputed_answers(table: str, tmp_path: Path) -> None:
    """An answer that was sent is in the database, even if its request id is in conflict."""
    with _journal(NOWHERE, tmp_path) as journal:
        await journal.append([make_journal_row()])
        await journal.append([make_journal_row(image_digest="e" * 64)])
    with _journal(table, tmp_path):
        await _until(lambda: Spool(tmp_path, 0).is_empty())
    assert run_sql(table, "SELECT image_digest FROM answers") == [("d" * 64,)]
    assert run_sql(table, "SELECT image_digest FROM disputed_answers") == [("e" * 64,)]


async def test_a_row_that_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    """Without PostgreSQL and with a full spool, no row is acknowledged."""
    with _journal(NOWHERE, tmp_path, spool_bytes=10) as journal, pytest.raises(SpoolFull):
        await journal.append([make_journal_row()])


async def test_a_damaged_row_is_set_aside(table: str, tmp_path: Path) -> None:
    """Its intact rows are written to PostgreSQL, and the damaged one stays for an operator to examine."""
    with _journal(NOWHERE, tmp_path) as journal:
        await journal.append([make_journal_row(), make_journal_row(position=1)])
    _damage_first_line(tmp_path)
    with _journal(table, tmp_path):
        await _until(lambda: Spool(tmp_path, 0).is_empty())
    assert run_sql(table, "SELECT position FROM answers") == [(1,)]
    assert _names_in(tmp_path) == [".damaged"]


async def test_a_postgres_that_hangs_costs_a_limited_time(tmp_path: Path) -> None:
    """A silent server costs a limited time, at the start and later."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dsn = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/pleura"
        async with asyncio.timeout(20):
            with _journal(dsn, tmp_path) as journal:
                assert await journal.append([make_journal_row()]) == "spooled"


async def test_a_postgres_that_stops_and_comes_back_loses_nothing(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """PostgreSQL has all rows from before, during and after an outage, each once."""
    port = free_port()
    server = start_postgres(tmp_path / "postgres", port)
    with _journal(server.url, tmp_path / "spool") as journal:
        kept = [await journal.append([make_journal_row(request_id="before")])]
        server.stop()
        kept += [await journal.append([make_journal_row(request_id=f"during-{i}")]) for i in range(20)]
        server = start_postgres(tmp_path / "postgres", port)
        try:
            await _until(lambda: journal.is_writable and Spool(tmp_path / "spool", 0).is_empty())
            kept += [await journal.append([make_journal_row(request_id="after")])]
            assert kept == ["written", *["spooled"] * 20, "written"]
            assert run_sql(server.url, "SELECT count(*) FROM answers") == [(22,)]
        finally:
            server.stop()


async def test_a_read_only_server_gets_no_rows_until_it_is_writable(table: str, tmp_path: Path) -> None:
    """A standby server is not tried with every batch. Later it gets the spooled rows."""
    database = table.rpartition("/")[2]
    with _journal(table, tmp_path):
        pass
    writing = f"{table}?options=-c%20default_transaction_read_only%3Doff"
    run_sql(table, f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    try:
        with _journal(table, tmp_path) as journal:
            assert await journal.append([make_journal_row()]) == "spooled"
            for _ in range(25):
                assert not journal.is_writable
                await asyncio.sleep(0.1)
            run_sql(writing, f"ALTER DATABASE {database} RESET default_transaction_read_only")
            await _until(lambda: Spool(tmp_path, 0).is_empty())
    finally:
        run_sql(writing, f"ALTER DATABASE {database} RESET default_transaction_read_only")
    assert run_sql(table, "SELECT count(*) FROM answers") == [(1,)]


def test_connecting_counts_against_the_limit() -> None:
    """A silent server costs no more than the limit of the transaction."""
    limit_waiting()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = Database(f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/pleura")
        began_s = time.monotonic()
        with pytest.raises(psycopg2.OperationalError), database.transaction(0.3):
            pass
        assert time.monotonic() - began_s < 1.5
