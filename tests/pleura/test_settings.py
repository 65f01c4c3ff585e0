"""What every process reads from its environment: what is wrong is named, what is secret is not told."""

import pytest

from pleura.settings import InvalidSettings, ObjectStoreSettings

OBJECT_STORE = {
    "PLEURA_S3_URL": "http://minio:9000",
    "PLEURA_S3_ACCESS_KEY": "key",
    "PLEURA_S3_SECRET_KEY": "planted-secret",
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OBJECT_STORE.items():
        monkeypatch.setenv(name, value)


def test_a_right_environment_is_read() -> None:
    """What need not be said has its default; printed or logged whole, no secret shows."""
    settings = ObjectStoreSettings.read()
    assert (settings.s3_bucket, settings.s3_secret_key.get_secret_value()) == (
        "radiographs",
        "planted-secret",
    )
    assert "planted-secret" not in repr(settings)


def test_all_that_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing variable and a wrong one, in one line that quotes neither value."""
    monkeypatch.delenv("PLEURA_S3_ACCESS_KEY")
    monkeypatch.setenv("PLEURA_S3_URL", "minio:planted-secret")
    with pytest.raises(InvalidSettings) as caught:
        ObjectStoreSettings.read()
    said = str(caught.value)
    assert "PLEURA_S3_ACCESS_KEY: " in said
    assert "PLEURA_S3_URL: " in said
    assert "\n" not in said
    assert "planted-secret" not in said
