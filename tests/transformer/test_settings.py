"""The transformer's environment."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pleura.settings import InvalidSettings
from tests.pleura.test_settings import OBJECT_STORE
from transformer.settings import TransformerSettings

RIGHT = OBJECT_STORE | {
    "PLEURA_PREDICTOR_ADDRESS": "predictor:8081",
    "PLEURA_JOURNAL_DSN": "postgresql://user:planted-secret@postgres/pleura",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that is right."""
    for name, value in RIGHT.items():
        monkeypatch.setenv(name, value)


def test_a_right_environment_is_read() -> None:
    """What need not be said has its default; secrets do not show."""
    settings = TransformerSettings.read()
    assert (settings.max_in_flight, settings.redis_url) == (1024, "")
    assert "planted-secret" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLEURA_HTTP_PORT", "0"),
        ("PLEURA_HTTP_PORT", "eighty"),
        ("PLEURA_PREDICTOR_ADDRESS", "predictor"),
        ("PLEURA_S3_URL", "minio:9000"),
        ("PLEURA_S3_ACCESS_KEY", "key\n"),
        ("PLEURA_REDIS_URL", "http://redis"),
        ("PLEURA_TIMEOUT_S", "-1"),
        ("PLEURA_MAX_ELEMENTS", "33"),
        ("PLEURA_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """One line says which variable is wrong, and no secret."""
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as caught:
        TransformerSettings.read()
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)
    assert "planted-secret" not in str(caught.value)


def test_a_missing_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is one that is not there."""
    monkeypatch.delenv("PLEURA_JOURNAL_DSN")
    with pytest.raises(InvalidSettings, match=r"^PLEURA_JOURNAL_DSN: "):
        TransformerSettings.read()


def test_a_bucket_that_s3_cannot_have_ends_the_start(tmp_path: Path, free_port: Callable[[], int]) -> None:
    """One line says so, before anything is asked or answered."""
    wrong = {
        "PLEURA_S3_BUCKET": "a",
        "PLEURA_SPOOL_FOLDER": str(tmp_path),
        "PLEURA_HOST": "127.0.0.1",
        "PLEURA_HTTP_PORT": str(free_port()),
        "PLEURA_GRPC_PORT": str(free_port()),
    }
    command = [sys.executable, "-m", "transformer"]
    ended = subprocess.run(command, env=os.environ | wrong, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "PLEURA_S3_BUCKET: invalid bucket name" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
