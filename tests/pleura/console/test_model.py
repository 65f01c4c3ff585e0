"""``pleura model`` on a real registry: its output, its refusals and its exit codes."""

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.registry.mlflow_client import connect_mlflow
from pipelines.registry.registry import Registry
from pleura.bundle import verify
from pleura.console.app import main
from pleura.local.dependencies import Server
from pleura.local.state_folder import ProcessId, StackRecord, StateFolder
from tests.support.pipelines.models import KEYS, decided, new_bundle, new_store, registration

Pleura = Callable[..., tuple[int, str, str]]


@pytest.fixture
def state(seaweed: Server, tmp_path: Path) -> Path:
    """The state folder of a stack that has ended; its object store is the store of the test."""
    return write_record(tmp_path, seaweed, ProcessId(1, "in another time"))


def write_record(tmp_path: Path, seaweed: Server, supervisor: ProcessId) -> Path:
    folder = StateFolder(tmp_path / "state")
    folder.make()
    store = {"url": seaweed.url, "access_key": KEYS[0], "secret_key": KEYS[1]}
    folder.write(StackRecord("ready", supervisor, "", "", "", store))
    return folder.path


@pytest.fixture
def pleura(state: Path, capsys: pytest.CaptureFixture[str]) -> Pleura:
    """Run ``pleura model`` on that state folder; give exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["--state", str(state), "model", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def registry(seaweed: Server, state: Path, tmp_path: Path) -> Registry:
    """The registry of that stack. The gate has not seen version 1, and has refused version 2."""
    store = new_store(seaweed.url, "models")
    registry = Registry(connect_mlflow(f"sqlite:///{state / 'mlflow.db'}"), store)
    first, second = (store.upload(new_bundle(tmp_path / str(n), f"0.1.{n}")) for n in (1, 2))
    registry.register(registration(first))
    registry.register(registration(second, decided(store, second, first, is_passed=False)))
    return registry


def test_the_life_of_two_models(pleura: Pleura, registry: Registry) -> None:
    """A version that the gate did not pass needs an override; the audit trail keeps who and why."""
    code, _, said = pleura("promote", "1", "--reason", "the first", "--who", "ada")
    assert (code, said.count("\n")) == (1, 1)
    assert "no decision record" in said
    code, said, _ = pleura("promote", "1", "--reason", "the first", "--who", "ada", "--override", "no other")
    assert code == 0
    assert said.startswith("champion: version 1, s3://models/models/chest-xray/")
    code, _, said = pleura("promote", "2", "--reason", "newer")
    assert (code, "the gate refused version 2" in said) == (1, True)
    first, second = registry.versions()
    registry.attach_decision(2, decided(registry.store, second.digest, first.digest))
    assert pleura("promote", second.digest[:10], "--reason", "newer")[0] == 0
    assert pleura("promote", "2", "--reason", "newer")[1] == "version 2 is the champion already\n"
    assert pleura("rollback", "--reason", "worse at night", "--who", "grace")[0] == 0
    _, said, _ = pleura("show", "champion")
    assert said.startswith("version 1 (champion)\n")
    assert "promote: champion none -> 1, ada: the first [gate overridden: no other]" in said
    assert "rollback: champion 2 -> 1, grace: worse at night" in said
    code, _, said = pleura("rollback", "--reason", "once more")
    assert (code, said) == (1, "pleura: there is no champion before this one to roll back to\n")


def test_no_rollback_where_the_stack_cannot_follow(
    pleura: Pleura, registry: Registry, seaweed: Server, tmp_path: Path
) -> None:
    """While the stack is not ready, the alias does not move, and one line says why."""
    for number in ("1", "2"):
        assert pleura("promote", number, "--reason", "x", "--override", "x")[0] == 0
    write_record(tmp_path, seaweed, ProcessId.current())
    code, _, said = pleura("rollback", "--reason", "worse")
    assert (code, said.count("\n")) == (1, 1)
    assert "no stack is ready" in said
    champion = registry.champion()
    assert champion
    assert champion.number == 2


def test_list_and_compare_show_figures(pleura: Pleura, registry: Registry) -> None:
    """One line for each version, the newest first; the differences say that they decide nothing."""
    first, second = registry.versions()
    lines = pleura("list")[1].splitlines()
    assert lines[0].split()[:3] == ["version", "digest", "aliases"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["2", second.digest[:12], "-"],
        ["1", first.digest[:12], "-"],
    ]
    assert "refused" in lines[1]
    assert "0.750" in lines[2]
    compared = pleura("compare", "1", "2")[1]
    row = next(line for line in compared.splitlines() if line.startswith("Atelectasis"))
    assert row.split()[1:4] == ["0.800", "0.800", "+0.000"]
    assert "no decision" in compared


def test_a_missing_version_reason_or_key_is_one_line(pleura: Pleura, registry: Registry) -> None:
    """Each of them ends with exit code 1."""
    for arguments, said in (
        (("show", "9"), "pleura: the registry has no version 9\n"),
        (("promote", "1", "--reason", ""), "pleura: --reason: "),
        (("promote", "1", "--reason", "x", "--s3", "http://127.0.0.1:1"), "pleura: --s3 needs "),
        (("rollback", "--reason", "x"), "pleura: there is no champion\n"),
    ):
        code, _, complaint = pleura(*arguments)
        assert (code, complaint.count("\n")) == (1, 1)
        assert complaint.startswith(said)


def test_without_a_registry_nothing_is_made(pleura: Pleura, state: Path) -> None:
    """Where nothing was registered, the error says so, and no database appears."""
    code, _, said = pleura("list")
    assert (code, said) == (1, f"pleura: nothing has been registered: there is no {state / 'mlflow.db'}\n")
    assert not (state / "mlflow.db").exists()


def test_an_uploaded_bundle_is_named_as_a_predictor_needs_it(
    pleura: Pleura, seaweed: Server, tmp_path: Path
) -> None:
    """``upload`` stores a bundle and prints its settings; another folder is refused in one line."""
    bundle = new_bundle(tmp_path / "bundle", "0.7.0")
    bucket = f"uploads-{secrets.token_hex(4)}"
    code, said, _ = pleura("upload", str(bundle), "--bucket", bucket)
    digest = verify(bundle)[1]
    assert (code, said.splitlines()) == (
        0,
        [
            f"PLEURA_BUNDLE_URI=s3://{bucket}/models/chest-xray/{digest}",
            f"PLEURA_BUNDLE_DIGEST={digest}",
        ],
    )
    assert new_store(seaweed.url, bucket).download(digest, tmp_path / "copy").version == "0.7.0"
    code, _, said = pleura("upload", str(tmp_path), "--bucket", bucket)
    assert (code, said.count("\n")) == (1, 1)
    assert "bundle.json cannot be read" in said
