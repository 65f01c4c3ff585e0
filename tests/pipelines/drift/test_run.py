"""The whole step on a real PostgreSQL that the transformer's own code filled, and a real S3 server."""

import asyncio
import hashlib
import io
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from minio import Minio
from pydantic import SecretStr

from pipelines.drift.run import list_audits, make_reference, open_store, run_drift
from pipelines.drift.settings import DriftSettings
from pipelines.journal_reader import JournaledAnswer, Window, read_answers
from pleura.console.app import main
from pleura.journal_row import JournalRow
from pleura.local.dependencies import Server
from tests.support.databases import create_database
from tests.support.pipelines.drift_values import MODEL, SINCE, UNTIL, answers
from transformer.journal.database import Database
from transformer.journal.journal import Journal
from transformer.journal.spool import Spool

KEYS = "test-access", "test-secret-key"
WEEK = timedelta(days=7)
RADIOGRAPHS = 120
NAME = "Doe^Jane"


@dataclass(frozen=True)
class _Place:
    """A journal and an object store of a test's own."""

    settings: DriftSettings
    client: Minio
    folder: Path

    def fill(self, week: Sequence[JournaledAnswer], weeks: int, contrast: float = 1.0) -> None:
        """Put radiographs into the store and their answers, so many weeks later, into the journal."""
        rows = []
        for number, answer in enumerate(week):
            name, file = f"{NAME}/{weeks}/{number}.png", _png(number + 1000 * weeks, contrast)
            self.client.put_object(self.settings.s3_bucket, name, io.BytesIO(file), len(file))
            rows.append(
                replace(
                    answer,
                    image_id=name,
                    image_digest=hashlib.sha256(file).hexdigest(),
                    request_id=f"{weeks}-{answer.request_id}",
                    answered_at=answer.answered_at + weeks * WEEK,
                )
            )
        asyncio.run(self._append(rows))

    async def _append(self, rows: Sequence[JournaledAnswer]) -> None:
        dsn = self.settings.journal_dsn.get_secret_value()
        journal = Journal(Database(dsn), Spool(self.folder / "spool", 10**6), timeout_s=10)
        journal.start()
        assert await journal.append([_entry(row) for row in rows]) == "written"
        journal.close()


def _png(seed: int, contrast: float) -> bytes:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 6)).astype(np.uint8)
    pixels = cv2.resize(coarse, (64, 64)) * contrast + 127 * (1 - contrast)
    return bytes(cv2.imencode(".png", pixels.astype(np.uint8))[1])


def _entry(row: JournaledAnswer) -> JournalRow:
    values = {each.name: getattr(row, each.name) for each in fields(row) if each.name != "verdicts"}
    return JournalRow(**values)


@pytest.fixture
def place(postgres: Server, seaweed: Server, tmp_path: Path) -> _Place:
    """An empty journal, and empty buckets."""
    name = f"drift{uuid.uuid4().hex[:12]}"
    settings = DriftSettings(
        journal_dsn=SecretStr(create_database(postgres)),
        s3_url=seaweed.url,
        s3_access_key=SecretStr(KEYS[0]),
        s3_secret_key=SecretStr(KEYS[1]),
        s3_bucket=f"{name}-radiographs",
        drift_bucket=f"{name}-reports",
        audit_bucket=f"{name}-audits",
        drift_textfile=tmp_path / "drift.prom",
    )
    client = Minio(seaweed.url.removeprefix("http://"), *KEYS, secure=False)
    client.make_bucket(settings.s3_bucket)
    return _Place(settings, client, tmp_path)


def _window(weeks: int) -> Window:
    return Window(SINCE + weeks * WEEK, UNTIL + weeks * WEEK)


def _stored(place: _Place, bucket: str) -> dict[str, bytes]:
    found = place.client.list_objects(bucket, recursive=True)
    return {str(each.object_name): place.client.get_object(bucket, each.object_name).data for each in found}


def run_drift_command(arguments: Sequence[str]) -> int:
    """Run ``pleura drift`` where no stack runs."""
    return main(["--state", "/nowhere", "drift", *arguments])


def _set_environment(patch: pytest.MonkeyPatch, settings: DriftSettings) -> None:
    for name in ("s3_url", "s3_bucket", "drift_bucket", "audit_bucket", "drift_textfile"):
        patch.setenv(f"PLEURA_{name.upper()}", str(getattr(settings, name)))
    for name in ("journal_dsn", "s3_access_key", "s3_secret_key"):
        patch.setenv(f"PLEURA_{name.upper()}", getattr(settings, name).get_secret_value())


def test_weeks_of_a_hospital(
    place: _Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A quiet week is quiet; a week of other patients on flat films asks for one audit, and leaks no name."""
    for weeks, (shift, contrast) in enumerate([(0.0, 1.0), (0.0, 1.0), (1.0, 0.5)]):
        place.fill(answers(weeks, RADIOGRAPHS, shift), weeks, contrast)
    make_reference(place.settings, _window(0), MODEL.digest)
    quiet = run_drift(place.settings, _window(1))
    assert (quiet.word, quiet.audit, quiet.images_lost) == ("no drift seen", "", 0)
    assert list_audits(place.settings) == []

    _set_environment(monkeypatch, place.settings)
    until = (UNTIL + 2 * WEEK).isoformat()
    assert [run_drift_command(["check", "--until", until]) for _ in range(2)] == [3, 3]
    (audit,) = list_audits(place.settings)
    assert audit.outstanding == audit.asked > 50
    said = capfd.readouterr().out
    assert json.loads(said.splitlines()[-1])["kinds"] == ["call rate", "input", "score"]

    reports = _stored(place, place.settings.drift_bucket)
    assert len(reports) == 1 + 2 * 2
    for text in (*reports.values(), said.encode(), (place.folder / "drift.prom").read_bytes()):
        assert NAME.encode() not in text
        assert b"ward-3" not in text
    (request,) = _stored(place, place.settings.audit_bucket).values()
    assert NAME.encode() in request
    assert "pleura_drift_open_audits 1.0" in (place.folder / "drift.prom").read_text()


def test_an_object_that_changed_is_not_measured(place: _Place) -> None:
    """Statistics are of the answered files only; files that are gone or changed are counted as lost."""
    place.fill(answers(0, 30), 0)
    bucket = place.settings.s3_bucket
    place.client.put_object(bucket, f"{NAME}/0/0.png", io.BytesIO(_png(99, 1.0)), len(_png(99, 1.0)))
    place.client.remove_object(bucket, f"{NAME}/0/1.png")
    assert run_drift(place.settings, _window(0)).images_lost == 2


def test_a_window_without_a_reference_says_nothing(place: _Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before there is a reference the exit code is neither that of drift nor that of none."""
    place.fill(answers(0, RADIOGRAPHS), 0)
    _set_environment(monkeypatch, place.settings)
    assert run_drift_command(["check", "--until", UNTIL.isoformat()]) == 4


def test_the_journal_reads_back_what_was_written(place: _Place) -> None:
    """The window is half open, newest first, and cut at the most that is asked for."""
    place.fill(answers(0, 10), 0)
    dsn = place.settings.journal_dsn.get_secret_value()
    found = read_answers(dsn, Window(SINCE, SINCE + timedelta(minutes=9)))
    assert [each.request_id for each in found] == [f"0-request-{number}" for number in range(8, -1, -1)]
    assert len(read_answers(dsn, Window(SINCE, UNTIL, most=3))) == 3


def test_a_damaged_reference_is_told(place: _Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-written reference fails the step, and nothing is said of drift."""
    place.fill(answers(0, RADIOGRAPHS), 0)
    make_reference(place.settings, _window(0), MODEL.digest)
    (key,) = _stored(place, place.settings.drift_bucket)
    place.client.put_object(place.settings.drift_bucket, key, io.BytesIO(b'{"model_version"'), 16)
    _set_environment(monkeypatch, place.settings)
    assert run_drift_command(["check", "--until", UNTIL.isoformat()]) == 1
    assert not place.folder.joinpath("drift.prom").exists()


def test_a_part_that_is_away_fails_without_a_word_of_secrets(
    place: _Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Journal or store away: exit 1, one line that names the kind of failure and no password."""
    place.fill(answers(0, 10), 0)
    _set_environment(monkeypatch, place.settings)
    monkeypatch.setenv("PLEURA_JOURNAL_DSN", "postgresql://user:password-7@127.0.0.1:9/pleura")
    assert run_drift_command(["check"]) == 1
    monkeypatch.setenv("PLEURA_JOURNAL_DSN", place.settings.journal_dsn.get_secret_value())
    monkeypatch.setenv("PLEURA_S3_URL", "http://127.0.0.1:9")
    assert run_drift_command(["check", "--until", UNTIL.isoformat()]) == 1
    printed = capfd.readouterr()
    assert "password-7" not in printed.out + printed.err
    assert [line.partition(":")[0] for line in printed.err.splitlines()] == ["pleura", "pleura"]


def test_settings_that_are_missing_are_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A wrong start names the variables, and exits with the code of a failure."""
    monkeypatch.delenv("PLEURA_JOURNAL_DSN", raising=False)
    assert run_drift_command(["audits"]) == 1
    assert "PLEURA_JOURNAL_DSN" in capfd.readouterr().err


def test_a_reference_is_found_by_its_model(place: _Place) -> None:
    """The store gives a model's own reference and nobody else's."""
    place.fill(answers(0, 30), 0)
    made = make_reference(place.settings, _window(0), MODEL.digest)
    assert open_store(place.settings).reference_of(MODEL.digest) == made
    assert open_store(place.settings).reference_of("c" * 64) is None
