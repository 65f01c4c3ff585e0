"""Data that the version before wrote (commit 2996fea) is read, and means the same."""

import asyncio
import gzip
import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psycopg2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from pipelines.data.manifest import Manifest
from pipelines.drift.audit_request import AuditRequest
from pipelines.drift.reference import DriftReference
from pipelines.drift.report import DriftReport
from pipelines.evaluation.report import EvaluationReport
from pipelines.gate.signature import verify_decision
from pipelines.journal_reader import Window, read_answers
from pipelines.registry.mlflow_client import connect_mlflow
from pipelines.registry.registry import Registry
from pipelines.rollout.state import RolloutState
from pipelines.run.parameters import RunParameters
from pipelines.run.records import StepResult
from pleura.bundle import verify as verify_bundle
from pleura.errors import Conflict
from pleura.journal_row import row_from_line, row_to_line
from pleura.local.dependencies import Server
from pleura.local.revision_files import read_wanted_revisions
from pleura.local.state_folder import StateFolder
from predictor.engines.input_flags import flag_inputs
from predictor.engines.litert import LiteRtEngine
from predictor.engines.openvino import OpenVinoEngine
from tests.support.databases import create_database, run_sql
from tests.support.pipelines.models import new_store
from tests.support.transformer_values import make_cached_answer, make_journal_row
from transformer.cache.answer_cache import cache_key
from transformer.cache.entry import read_entry
from transformer.journal.database import Database
from transformer.journal.journal import Journal
from transformer.journal.spool import Spool

DATA = Path(__file__).parents[1] / "data" / "version_0_1"


def document(name: str) -> bytes:
    """Return a stored document; large ones are compressed here."""
    path = DATA / "documents" / name
    return path.read_bytes() if path.exists() else gzip.decompress(path.with_name(f"{name}.gz").read_bytes())


@pytest.fixture
def journal_dsn(postgres: Server) -> str:
    """A database with the journal as the version before left it."""
    dsn = create_database(postgres)
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute((DATA / "journal.sql").read_text())
    return dsn


async def test_a_journal_goes_on(journal_dsn: str, tmp_path: Path) -> None:
    """Old rows are read, a repeated request is one row, another radiograph under its id is refused."""
    journal = Journal(Database(journal_dsn), Spool(tmp_path, 10**6), timeout_s=5.0)
    journal.start()
    try:
        assert await journal.append([make_journal_row()]) == "written"
        with pytest.raises(Conflict):
            await journal.append([make_journal_row(image_digest="f" * 64)])
        assert await journal.append([make_journal_row(request_id="request-3")]) == "written"
    finally:
        journal.close()
    window = Window(datetime(2026, 11, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    answers = read_answers(journal_dsn, window)
    assert len(answers) == 4
    assert sum(len(answer.verdicts) for answer in answers) == 2


async def test_a_spool_is_replayed(journal_dsn: str, tmp_path: Path) -> None:
    """Rows that waited on the disk during an update reach PostgreSQL."""
    run_sql(journal_dsn, "DELETE FROM answers WHERE position = 1 RETURNING 1")
    shutil.copytree(DATA / "spool", tmp_path / "spool")
    spool = Spool(tmp_path / "spool", 10**6)
    assert not spool.is_empty()
    journal = Journal(Database(journal_dsn), spool, timeout_s=5.0)
    journal.start()
    try:
        assert await journal.append([make_journal_row(request_id="request-4")]) == "written"
        for _ in range(150):
            if spool.is_empty():
                break
            await asyncio.sleep(0.1)
    finally:
        journal.close()
    rows = run_sql(journal_dsn, "SELECT position FROM answers WHERE request_id = 'request-1' ORDER BY 1")
    assert rows == [(0,), (1,)]


def test_version_0_1_reads_the_spool_of_rows_without_identifiers() -> None:
    """A rollback of the software finds lines that it knows."""
    (segment,) = (DATA / "spool").glob("*.spool")
    for line in segment.read_bytes().splitlines():
        content = line.partition(b" ")[2]
        assert row_to_line(row_from_line(content)) == content


def test_a_cached_answer_is_readable_but_not_found() -> None:
    """The entry gives the same answer, but the key of an object has changed."""
    key = (DATA / "cache_entry.key").read_text().strip()
    # version 0.1 read some DICOM files wrongly: its answers must not be given again
    assert cache_key("object", "some/radiograph.dcm") != key
    cached = read_entry(key, (DATA / "cache_entry.bin").read_bytes())
    assert cached is not None
    expected = make_cached_answer(7)
    assert cached.tag == expected.tag
    assert cached.answer.revision == expected.answer.revision
    assert cached.answer.probability.tolist() == expected.answer.probability.tolist()
    assert cached.answer.activation_map.tolist() == expected.answer.activation_map.tolist()


def test_a_bundle_is_still_sealed() -> None:
    """Its description is read, and its digest is the one that the journal names."""
    description, digest = verify_bundle(DATA / "bundle")
    assert (description.name, description.version) == ("chest-xray", "0.0.1")
    assert digest == "8d73ab32f308c0e0bce2bc047df3b3088e2a472fb62131d5ea77a1e9a4bbc84e"
    assert description.input_check is None


@pytest.mark.parametrize("engine", [LiteRtEngine, OpenVinoEngine])
def test_a_bundle_without_an_input_check_still_runs(engine: type[LiteRtEngine | OpenVinoEngine]) -> None:
    """It has no distance, and only its typicality flags a radiograph."""
    radiographs = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 1), dtype=np.uint8)
    outputs = engine(DATA / "bundle", threads=1).run(radiographs)
    assert outputs.distance is None
    flags = flag_inputs(outputs, None)
    assert flags[:, 3].tolist() == (outputs.typicality < 0.02).tolist()
    assert not flags[:, :3].any()


def test_a_registry_keeps_its_versions_and_its_champion(seaweed: Server, tmp_path: Path) -> None:
    """Versions, the alias of the champion and the audit trail come out as they went in."""
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.executescript(gzip.decompress((DATA / "registry.sql.gz").read_bytes()).decode())
    registry = Registry(connect_mlflow(f"sqlite:///{tmp_path / 'mlflow.db'}"), new_store(seaweed.url))
    digests = json.loads((DATA / "registry_digests.json").read_text())
    assert [version.registration.digest for version in registry.versions()] == digests
    champion = registry.champion()
    assert champion is not None
    assert champion.registration.digest == digests[1]
    assert len(registry.moves()) >= 2


def test_a_state_folder_is_read(tmp_path: Path) -> None:
    """Addresses, keys and wanted revisions of a stack that the version before started."""
    shutil.copytree(DATA / "state", tmp_path / "state")
    state = StateFolder(tmp_path / "state")
    record = state.read()
    assert record is not None
    assert record.address == "http://127.0.0.1:8000"
    assert set(record.parts) >= {"valkey", "postgres", "seaweed", "envoy", "predictor", "transformer"}
    assert state.read_store_keys() == ("access", "secret")
    wanted, _ = read_wanted_revisions(tmp_path / "state")
    assert wanted is not None
    assert [revision.weight for revision in wanted.revisions] == [95, 5]


def test_a_signed_decision_is_verified() -> None:
    """Not a byte of what was signed has another form today."""
    key = load_pem_public_key(document("decision_public_key.pem"))
    assert isinstance(key, Ed25519PublicKey)
    signed = verify_decision(document("decision.json"), [key])
    assert signed.to_json() == document("decision.json")
    assert signed.decision.inputs.challenger.version == "1.1.0"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (EvaluationReport, "evaluation.json"),
        (Manifest, "manifest.json"),
        (DriftReference, "drift_reference.json"),
        (DriftReport, "drift_report.json"),
        (AuditRequest, "audit_request.json"),
    ],
)
def test_a_stored_document_is_read_and_written_the_same(kind: type, name: str) -> None:
    """Data sets, evaluations, drift references, drift reports and audit requests keep their bytes."""
    assert kind.from_json(document(name)).to_json() == document(name)  # type: ignore[attr-defined]


def test_a_run_goes_on_where_the_version_before_left_it() -> None:
    """Parameters have the same digest, a step that was done counts as done, a rollout is where it was."""
    parameters = RunParameters.from_json(document("run_parameters.json").decode())
    assert parameters.digest == "ece01997ff0957b0fe086986778745dc96b69ef026712e4646bf8b9b7d941c54"
    assert StepResult.model_validate_json(document("step_record.json")).facts == {"champion": "1"}
    state = RolloutState.model_validate_json(document("rollout_state.json"))
    assert (state.phase, state.step, state.run) == ("watching", 1, "mine")
