"""The transformer's settings."""

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
    "PLEURA_SERVICE_KEY": "planted-secret-of-thirty-two-characters",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a valid environment."""
    for name, value in RIGHT.items():
        monkeypatch.setenv(name, value)


def test_a_valid_environment_is_read() -> None:
    """Optional settings have defaults, and secrets are not shown."""
    settings = TransformerSettings.read()
    assert (settings.max_in_flight, settings.redis_url.get_secret_value()) == (1024, "")
    assert "planted-secret" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLEURA_HTTP_PORT", "0"),
        ("PLEURA_HTTP_PORT", "eighty"),
        ("PLEURA_REFUSAL_POLICY", "untypcal=warn"),
        ("PLEURA_REFUSAL_POLICY", "blank=allow"),
        ("PLEURA_PREDICTOR_ADDRESS", "predictor"),
        ("PLEURA_S3_URL", "minio:9000"),
        ("PLEURA_S3_ACCESS_KEY", "key\n"),
        ("PLEURA_REDIS_URL", "http://redis"),
        ("PLEURA_REDIS_URL", "redis://:planted-secret@redis\n"),
        ("PLEURA_TIMEOUT_S", "-1"),
        ("PLEURA_MAX_ELEMENTS", "33"),
        ("PLEURA_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """One line names the wrong variable, and no secret."""
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as caught:
        TransformerSettings.read()
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)
    assert "planted-secret" not in str(caught.value)


def test_a_missing_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names a variable that is not set."""
    monkeypatch.delenv("PLEURA_JOURNAL_DSN")
    with pytest.raises(InvalidSettings, match=r"^PLEURA_JOURNAL_DSN: "):
        TransformerSettings.read()


def test_a_bucket_name_that_s3_does_not_allow_refuses_the_start(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """One line gives the reason, before any request is sent or answered."""
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
