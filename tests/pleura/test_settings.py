"""Settings from the environment: an error names the variable, and never quotes a value."""

from pathlib import Path

import pytest

from auth_proxy.settings import AuthProxySettings
from pipelines.drift.settings import DriftSettings
from pleura.settings import InvalidSettings, ObjectStoreSettings
from predictor.settings import PredictorSettings
from transformer.settings import TransformerSettings

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


def test_a_misspelt_variable_is_named_with_the_nearest_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the error the setting would silently keep its default."""
    monkeypatch.setenv("PLEURA_S3_BUKET", "planted-secret")
    with pytest.raises(InvalidSettings) as caught:
        ObjectStoreSettings.read()
    assert str(caught.value) == "PLEURA_S3_BUKET: there is no such setting; the nearest is PLEURA_S3_BUCKET"


def test_a_misspelt_member_of_a_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that is an object has a variable for each member."""
    monkeypatch.setenv("PLEURA_JOURNAL_DSN", "postgresql://journal")
    monkeypatch.setenv("PLEURA_DRIFT_RULES__MINIMUM", "300")
    assert DriftSettings.read().drift_rules.minimum == 300
    monkeypatch.setenv("PLEURA_DRIFT_RULES__MINIMAL", "300")
    with pytest.raises(InvalidSettings, match=r"the nearest is PLEURA_DRIFT_RULES__MINIMUM$"):
        DriftSettings.read()


def test_all_services_read_one_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of another process stops no service, and neither does one of Kubernetes."""
    environment = {
        "PLEURA_PREDICTOR_ADDRESS": "predictor:81",
        "PLEURA_JOURNAL_DSN": "postgresql://journal",
        "PLEURA_TRANSFORMER_URL": "http://transformer",
        "PLEURA_TRANSFORMER_GRPC": "transformer:81",
        "PLEURA_ISSUER": "https://issuer.example",
        "PLEURA_AUDIENCE": "pleura",
        "PLEURA_LANES": "2",
        "PLEURA_SERVICE_KEY": "key-" * 8,
        "PLEURA_ALLOWED_HOSTS": "pleura.hospital.example",
        "PLEURA_DRIFT_RULES__MINIMUM": "300",
        "PLEURA_TOKEN_FILE": "/nowhere",
        "PLEURA_SERVICE_HOST": "10.0.0.1",
        "PLEURA_SERVICE_PORT": "8000",
        "PLEURA_PORT": "tcp://10.0.0.1:8000",
        "PLEURA_PORT_8000_TCP_ADDR": "10.0.0.1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for settings_class in (AuthProxySettings, TransformerSettings, PredictorSettings):
        assert settings_class.read().drain_s == 0


def test_a_file_gives_a_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each secret, also an access key, may come from a file."""
    for name, secret in (("ACCESS", "key-7"), ("SECRET", "planted-secret")):
        (tmp_path / name).write_text(f"{secret}\n")
        monkeypatch.delenv(f"PLEURA_S3_{name}_KEY")
        monkeypatch.setenv(f"PLEURA_S3_{name}_KEY_FILE", str(tmp_path / name))
    settings = ObjectStoreSettings.read()
    assert settings.s3_access_key.get_secret_value() == "key-7"
    assert settings.s3_secret_key.get_secret_value() == "planted-secret"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "the file cannot be read: No such file or directory"),
        ("\n", "the file is empty"),
        ("planted secret", r"must match the pattern [\x21-\x7e]+"),
    ],
)
def test_a_wrong_file_of_a_secret_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, reason: str
) -> None:
    """The error names the variable of the file, and neither path nor content."""
    path = tmp_path / "planted"
    if content is not None:
        path.write_text(content)
    monkeypatch.delenv("PLEURA_S3_ACCESS_KEY")
    monkeypatch.setenv("PLEURA_S3_ACCESS_KEY_FILE", str(path))
    with pytest.raises(InvalidSettings) as caught:
        ObjectStoreSettings.read()
    assert str(caught.value) == f"PLEURA_S3_ACCESS_KEY_FILE: {reason}"


def test_a_secret_has_one_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the variable and the file both set, nobody could tell which one counts."""
    (tmp_path / "key").write_text("planted-secret")
    monkeypatch.setenv("PLEURA_S3_SECRET_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(InvalidSettings) as caught:
        ObjectStoreSettings.read()
    assert str(caught.value) == "PLEURA_S3_SECRET_KEY_FILE cannot be combined with PLEURA_S3_SECRET_KEY"


def test_a_file_of_no_secret_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only secrets can come from files."""
    monkeypatch.setenv("PLEURA_S3_URL_FILE", "/nowhere")
    with pytest.raises(InvalidSettings, match=r"^PLEURA_S3_URL_FILE: .* PLEURA_S3_URL$"):
        ObjectStoreSettings.read()


def test_defaults_give_way_to_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A default counts only where neither the variable nor the file is set."""
    (tmp_path / "key").write_text("from-the-file")
    monkeypatch.delenv("PLEURA_S3_SECRET_KEY")
    monkeypatch.setenv("PLEURA_S3_SECRET_KEY_FILE", str(tmp_path / "key"))
    settings = ObjectStoreSettings.read({"PLEURA_S3_SECRET_KEY": "default", "PLEURA_S3_REGION": "eu"})
    assert (settings.s3_secret_key.get_secret_value(), settings.s3_region) == ("from-the-file", "eu")
