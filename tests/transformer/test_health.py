"""A transformer's health checks while real parts freeze and come back."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from minio import Minio

from pleura.local.pleura_services import Ports, Service, start_predictor
from pleura.local.processes import Server, free_port
from proof.lab.running_stack import freeze_processes
from proof.lab.scrape import read_metrics
from proof.lab.service_key import KEY_OR_NONE
from proof.lab.transformer import TransformerParts, start_transformer

_INTERVAL_S = 0.5
_DOWN_WITHIN_S = (
    3 * _INTERVAL_S + 2 * 2.0 + 3.0
)  # the time-outs of the checks, and the delay of a busy machine
_UP_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def own_predictor(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start a predictor that the last test may kill."""
    service = start_predictor(
        tmp_path_factory.mktemp("predictor"), Ports(free_port(), free_port()), bundle, KEY_OR_NONE, threads=1
    )
    yield service
    service.stop()


@pytest.fixture(scope="module")
def service(
    own_predictor: Service,
    seaweed: Server,
    valkey: Server,
    postgres: Server,
    bucket: Minio,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """Start a transformer that checks its parts often."""
    folder = tmp_path_factory.mktemp("watching")
    spool = folder / "spool"
    parts = TransformerParts(own_predictor.grpc_address, seaweed.url, valkey.url, postgres.url, spool)
    service = start_transformer(folder, parts.build_environment(PLEURA_WATCH_INTERVAL_S=str(_INTERVAL_S)))
    yield service
    service.stop()


async def _ready(service: Service) -> tuple[int, dict[str, Any]]:
    """Give status and document of ``/readyz``. ``/healthz`` does not depend on the parts."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        answer = await client.get(f"{service.url}/readyz")
        live = await client.get(f"{service.url}/healthz")
    assert (live.status_code, live.json()) == (200, {"live": True, "watch": True, "journal": True})
    return answer.status_code, answer.json()


async def _until(service: Service, within_s: float, status: int, **parts: bool) -> None:
    end = time.monotonic() + within_s
    while (answer := await _ready(service)) != (status, {"ready": status == 200, **parts}):
        assert time.monotonic() < end, answer
        await asyncio.sleep(0.1)


_ALL = {"predictor": True, "store": True, "journal": True, "cache": True}


async def test_health_checks_name_each_part_that_freezes(
    service: Service, own_predictor: Service, seaweed: Server, valkey: Server, postgres: Server
) -> None:
    """Readiness needs predictor and store, but not cache and journal. The process stays live."""
    await _until(service, _UP_WITHIN_S, 200, **_ALL)
    with freeze_processes(valkey.process.pid), freeze_processes(postgres.process.pid):
        await _until(service, _DOWN_WITHIN_S, 200, **_ALL | {"cache": False, "journal": False})
        with freeze_processes(own_predictor.process.pid):
            state = {"cache": False, "journal": False, "predictor": False}
            await _until(service, _DOWN_WITHIN_S, 503, **_ALL | state)
        await _until(service, _UP_WITHIN_S, 200, **_ALL | {"cache": False, "journal": False})
    await _until(service, _UP_WITHIN_S, 200, **_ALL)
    with freeze_processes(seaweed.process.pid):
        await _until(service, _DOWN_WITHIN_S, 503, **_ALL | {"store": False})
        metrics = await asyncio.to_thread(read_metrics, f"{service.url}/metrics")
        assert metrics.read_value("pleura_ready") == 0
        ups = {name: metrics.read_value("pleura_dependency_up", dependency=name) for name in _ALL}
        assert ups == {"predictor": 1, "store": 0, "journal": 1, "cache": 1}
    await _until(service, _UP_WITHIN_S, 200, **_ALL)


async def test_a_killed_predictor_is_noticed(
    service: Service, own_predictor: Service, bundle: Path, tmp_path: Path
) -> None:
    """The transformer is not ready until another predictor runs."""
    await _until(service, _UP_WITHIN_S, 200, **_ALL)
    own_predictor.process.kill()
    await _until(service, _DOWN_WITHIN_S, 503, **_ALL | {"predictor": False})
    ports = Ports(*(int(url.rpartition(":")[2]) for url in (own_predictor.url, own_predictor.grpc_address)))
    successor = await asyncio.to_thread(
        start_predictor, tmp_path / "successor", ports, bundle, KEY_OR_NONE, 1
    )
    try:
        await _until(service, _UP_WITHIN_S, 200, **_ALL)
    finally:
        await asyncio.to_thread(successor.stop)
