"""The registry on an MLflow server that is killed, and on a SQLite file that several processes write."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import urllib3
from mlflow import MlflowClient

from pipelines.registry.bundle_store import BundleStore
from pipelines.registry.mlflow_client import RegistryUnavailable, connect_mlflow
from pipelines.registry.registration import apply_moves
from pipelines.registry.registry import Registry
from pleura.contract import MODEL_NAME
from pleura.local import dependencies
from pleura.local.dependencies import Server
from pleura.local.processes import Command, launch, wait_until
from tests.support.pipelines.models import WHY, decided, new_bundle, new_store, registration

_ROOT = Path(__file__).parents[3]
_TIMEOUT_S = 60.0


def start_mlflow(database: Path, port: int) -> Server:
    """Start an MLflow server on a SQLite file; under load its imports take minutes."""
    arguments = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    arguments += ["--backend-store-uri", f"sqlite:///{database}", "--default-artifact-root", "s3://mlflow"]
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = Command("mlflow", arguments, database.parent / "mlflow.log", environment)
    url = f"http://127.0.0.1:{port}"
    server = Server("mlflow", url, command.log, launch(command), grace_s=1.0)

    def answers() -> bool:
        with urllib3.PoolManager(timeout=5.0, retries=False) as http:
            return http.request("GET", f"{url}/health").status == 200

    return wait_until(server, answers, timeout_s=300.0)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A running MLflow server, and the function that starts it again."""
    port = dependencies.free_port()

    def start() -> Server:
        return start_mlflow(tmp_path / "mlflow.db", port)

    mlflow: dict[str, Any] = {"server": start(), "start": start}
    yield mlflow
    mlflow["server"].stop()


@pytest.fixture
def digests(seaweed: Server, tmp_path: Path) -> tuple[BundleStore, list[str]]:
    """A store with two bundles."""
    store = new_store(seaweed.url)
    return store, [store.upload(new_bundle(tmp_path / f"b{n}", f"0.0.{n}")) for n in (1, 2)]


class KillingClient(MlflowClient):
    """A client that kills its server just before it sets an alias."""

    kill_server: Callable[[], None]

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        """Kill the server, then set the alias."""
        self.kill_server()
        super().set_registered_model_alias(name, alias, version)


def test_a_server_killed_within_a_promotion_loses_nothing(
    running: dict[str, Any], digests: tuple[BundleStore, list[str]]
) -> None:
    """The promotion fails with an error; after a restart the same call completes it."""
    store, (old, new) = digests
    url = running["server"].url
    registry = Registry(connect_mlflow(url), store)
    first = registry.register(registration(old, decided(store, old, None))).number
    registry.promote(first, WHY, None)
    second = registry.register(registration(new, decided(store, new, old))).number
    client = KillingClient(url, url)
    client.kill_server = running["server"].stop
    started = time.monotonic()
    with pytest.raises(RegistryUnavailable, match="does not answer"):
        Registry(client, store).promote(second, WHY, first)
    with pytest.raises(RegistryUnavailable):
        registry.versions()
    assert time.monotonic() - started < _TIMEOUT_S
    running["server"] = running["start"]()
    assert registry.client.get_registered_model(MODEL_NAME).aliases == {"champion": str(first)}
    assert registry.version("champion").number == second
    assert registry.promote(second, WHY, first).aliases == ("champion",)
    assert registry.client.get_registered_model(MODEL_NAME).aliases == {"champion": str(second)}
    assert [move.after for move in registry.moves()] == [first, second]


def test_two_processes_on_one_new_file_lose_no_move(
    seaweed: Server, digests: tuple[BundleStore, list[str]], tmp_path: Path
) -> None:
    """Both create the file, register and move at once: no move is lost, and one model is champion."""
    store, both = digests
    command = [sys.executable, "-m", "tests.support.pipelines.rival", f"sqlite:///{tmp_path / 'mlflow.db'}"]
    command += [seaweed.url, store.objects.bucket]
    rivals = [
        subprocess.Popen(
            [*command, digest],
            cwd=_ROOT,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for digest in both
    ]
    try:
        outputs = [rival.communicate(timeout=200)[0].split() for rival in rivals]
    finally:
        for rival in rivals:
            rival.kill()
    assert [rival.returncode for rival in rivals] == [0, 0]
    assert sorted(words[0] for words in outputs) == ["promoted", "stale"]
    registry = Registry(connect_mlflow(f"sqlite:///{tmp_path / 'mlflow.db'}"), store)
    moves = registry.moves()
    assert sum(move.kind == "promote" for move in moves) == 1
    assert sum(move.kind == "challenge" for move in moves) == sum(int(words[1]) for words in outputs)
    winner = both[[words[0] for words in outputs].index("promoted")]
    assert registry.version("champion").digest == winner
    aliases = registry.client.get_registered_model(MODEL_NAME).aliases
    assert int(aliases["champion"]) == apply_moves(moves).champion
    assert sorted(version.digest for version in registry.versions()) == sorted(both)


def test_four_registrations_of_one_model_at_once_make_one_version(
    digests: tuple[BundleStore, list[str]], tmp_path: Path
) -> None:
    """Each gets the same number, and no second version is left."""
    store, (digest, _) = digests
    registry = Registry(connect_mlflow(f"sqlite:///{tmp_path / 'mlflow.db'}"), store)
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(registry.register, [registration(digest)] * 4))
    assert len({version.number for version in versions}) == 1
    assert len(registry.entries()) == 1
