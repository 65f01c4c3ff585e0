"""Servers that somebody else keeps take the place of embedded ones, if they answer."""

import socket
from pathlib import Path

import pytest

from pleura.console.app import main
from pleura.local.dependencies.external import require_postgres, require_redis, require_store
from pleura.local.parts import PartSupervisor
from pleura.local.processes import Server, StartFailed
from pleura.local.stack import LocalStack
from pleura.local.stack_options import StackOptions, StoreAddress
from pleura.local.state_folder import StateFolder
from tests.support.databases import start_french_server


def test_external_servers_replace_embedded_ones(
    tmp_path: Path, postgres: Server, valkey: Server, seaweed: Server
) -> None:
    """With three URLs none of the three servers is started; the samples go into the given store."""
    store = StoreAddress(seaweed.url, "test-access", "test-secret-key")
    state = StateFolder(tmp_path)
    state.make()
    machine = LocalStack(StackOptions(tmp_path, store=store, redis=valkey.url, postgres=postgres.url))
    names = {"postgres", "valkey", "seaweed", "samples"}
    stack = PartSupervisor([part for part in machine.parts() if part.name in names], lambda _: None)
    stack.start()
    stack.stop()
    assert stack.servers == {}
    assert machine.describe().store["url"] == seaweed.url


def test_an_external_server_that_does_not_answer_is_named() -> None:
    """The error names the part and the flag; it does not tell the password."""
    with socket.socket() as held:  # bound and not listening: refused, and no other program can take the port
        held.bind(("127.0.0.1", 0))
        check_silent_port(held.getsockname()[1])


def check_silent_port(port: int) -> None:
    """Require each kind of server on a port where none listens."""
    with pytest.raises(StartFailed, match="postgres: the server given with --postgres") as caught:
        require_postgres(f"postgresql://user:secret@127.0.0.1:{port}/x")
    assert "secret" not in str(caught.value)
    with start_french_server() as strange, pytest.raises(StartFailed, match="message is not UTF-8"):
        require_postgres(strange)
    with pytest.raises(StartFailed, match="redis: the server given with --redis does not answer"):
        require_redis(f"redis://127.0.0.1:{port}/0")
    with pytest.raises(StartFailed, match="s3: the server given with --s3 does not answer"):
        require_store(f"http://127.0.0.1:{port}", "access", "secret-key", "radiographs")


def test_a_store_with_other_keys_is_refused(seaweed: Server) -> None:
    """Wrong keys are found at the start, not at the first radiograph."""
    with pytest.raises(StartFailed, match="s3: the server given with --s3"):
        require_store(seaweed.url, "test-access", "wrong", "radiographs")


def test_without_a_cache_nothing_is_started_in_its_place(tmp_path: Path) -> None:
    """An empty address starts no Valkey, and asks for none."""
    state = StateFolder(tmp_path)
    state.make()
    machine = LocalStack(StackOptions(tmp_path, redis=""))
    stack = PartSupervisor([part for part in machine.parts() if part.name == "valkey"], lambda _: None)
    stack.start()
    stack.stop()
    assert stack.servers == {}


def test_a_cache_and_none_cannot_both_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """The command line says so before anything starts."""
    assert main(["up", "--redis", "redis://127.0.0.1:1/0", "--no-cache"]) == 2
    assert "--no-cache: cannot be given together with --redis" in capsys.readouterr().err
