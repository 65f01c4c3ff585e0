"""Settings from the environment: an error names the variable, and never quotes a value."""

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


def test_a_valid_environment_is_read() -> None:
    """A missing variable has its default. The text form shows no secret."""
    settings = ObjectStoreSettings.read()
    assert (settings.s3_bucket, settings.s3_secret_key.get_secret_value()) == (
        "radiographs",
        "planted-secret",
    )
    assert "planted-secret" not in repr(settings)


def test_all_wrong_variables_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
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
