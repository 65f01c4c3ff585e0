"""Commands read the settings of the running stack where the environment does not give them."""

from pathlib import Path

import pytest

from pipelines.data.settings import DataSettings
from pipelines.drift.settings import DriftSettings
from pleura.console.context import read_settings_with_stack, read_stack_defaults
from pleura.console.output import CommandFailed
from pleura.local.state_folder import PartState, ProcessId, StackRecord, StateFolder

_STORE = {"url": "http://127.0.0.1:1", "access_key": "stack-key", "secret_key": "stack-secret"}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of a stack with an embedded journal; the environment sets nothing."""
    for name in ("S3_URL", "S3_ACCESS_KEY", "S3_SECRET_KEY", "MLFLOW_URI", "JOURNAL_DSN"):
        monkeypatch.delenv(f"PLEURA_{name}", raising=False)
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "password").write_text("word")
    write_record(tmp_path, ProcessId.current())
    return tmp_path


def write_record(folder: Path, supervisor: ProcessId, *, has_postgres: bool = True) -> None:
    """Record a stack as ``pleura up`` does."""
    postgres = {"postgres": PartState(supervisor, "127.0.0.1:2/pleura", "")}
    record = StackRecord("ready", supervisor, "", "", "", _STORE, postgres if has_postgres else {})
    StateFolder(folder).write(record)


def test_a_running_stack_gives_all_settings(state: Path) -> None:
    """Data and drift commands need no variable while a stack runs."""
    settings = read_settings_with_stack(DataSettings, state)
    assert settings.s3_url == _STORE["url"]
    assert settings.s3_access_key.get_secret_value() == "stack-key"
    assert settings.s3_secret_key.get_secret_value() == "stack-secret"
    assert settings.mlflow_uri.get_secret_value() == f"sqlite:///{state / 'mlflow.db'}"
    drift = read_settings_with_stack(DriftSettings, state)
    assert drift.journal_dsn.get_secret_value() == "postgresql://pleura:word@127.0.0.1:2/pleura"


def test_the_environment_comes_before_the_stack(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is set counts, and the stack gives the others."""
    monkeypatch.setenv("PLEURA_MLFLOW_URI", "http://mlflow")
    settings = read_settings_with_stack(DataSettings, state)
    assert settings.mlflow_uri.get_secret_value() == "http://mlflow"
    assert settings.s3_access_key.get_secret_value() == "stack-key"


def test_a_file_of_a_secret_comes_before_the_stack(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file counts as a variable that is set; a key from a file does not go to the stack's store."""
    (state / "uri").write_text("http://mlflow\n")
    monkeypatch.setenv("PLEURA_MLFLOW_URI_FILE", str(state / "uri"))
    assert read_settings_with_stack(DataSettings, state).mlflow_uri.get_secret_value() == "http://mlflow"
    monkeypatch.setenv("PLEURA_S3_SECRET_KEY_FILE", str(state / "uri"))
    assert not {name for name in read_stack_defaults(state) if name.startswith("PLEURA_S3")}


def test_keys_never_go_to_another_object_store(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the environment names an object store, the keys of the stack's store are not used."""
    monkeypatch.setenv("PLEURA_S3_URL", "http://elsewhere")
    assert not {name for name in read_stack_defaults(state) if name.startswith("PLEURA_S3")}


def test_a_stack_that_has_ended_gives_nothing(state: Path) -> None:
    """Its ports may belong to another program by now."""
    write_record(state, ProcessId(1, "in another time"))
    assert read_stack_defaults(state) == {}
    with pytest.raises(CommandFailed, match=r"PLEURA_S3_URL: .*no stack runs in .*pleura up starts one"):
        read_settings_with_stack(DataSettings, state)


def test_the_journal_of_an_external_server_is_not_known(state: Path) -> None:
    """The state folder does not hold the password of a PostgreSQL server of the user."""
    write_record(state, ProcessId.current(), has_postgres=False)
    assert "PLEURA_JOURNAL_DSN" not in read_stack_defaults(state)
