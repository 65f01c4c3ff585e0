"""Each fault on each part of a transformer: what callers get, and that the transformer recovers.

``make proof-faults`` runs the same faults under minutes of load, with bounds in milliseconds.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from minio import Minio

from pleura.local.dependencies import Server
from pleura.local.pleura_services import Service
from proof.faults.lab import read_row_ids
from proof.faults.matrix import FAULTS, SPOOLING, VISIBLE
from proof.faults.proxy import FaultProxy
from proof.lab.bucket import put_object
from proof.lab.scrape import read_metrics
from proof.lab.stand_in_predictor import stand_in_predictor
from proof.lab.transformer import (
    TransformerParts,
    V2Answer,
    make_radiograph_png,
    send_by_id,
    start_transformer,
)
from tests.proof.faults.conftest import StartFaultProxy

DEADLINE_S, NOISE_S, RECOVERY_S = 1.0, 1.5, 20.0


@dataclass(frozen=True)
class TimedAnswer:
    """An answer to a request, and how long it took."""

    request_id: str
    answer: V2Answer
    seconds: float


@dataclass(frozen=True)
class FaultyTransformer:
    """A transformer, and the fault proxy in front of one of its parts."""

    service: Service
    proxy: FaultProxy
    dsn: str

    async def send(
        self, ids: Sequence[str], prefix: str, deadline_s: float | None = None
    ) -> list[TimedAnswer]:
        """Send requests for radiographs, all at the same time."""
        headers = {} if deadline_s is None else {"x-request-timeout-ms": str(int(1000 * deadline_s))}

        async def send_one(image_id: str) -> TimedAnswer:
            request_id, began_s = f"{prefix} {image_id}", time.monotonic()
            answer = await send_by_id(self.service, [image_id], headers, id=request_id)
            return TimedAnswer(request_id, answer, time.monotonic() - began_s)

        return list(await asyncio.gather(*(send_one(image_id) for image_id in ids)))

    async def count_failed_lookups(self) -> int:
        """Count the look-ups in the cache that have failed."""
        metrics = await asyncio.to_thread(read_metrics, f"{self.service.url}/metrics")
        return metrics.count_samples("pleura_cache_lookups_total", result="failed").total()

    async def wait_until_healthy(self, prefix: str) -> None:
        """Wait until requests are answered again."""
        end_s = time.monotonic() + RECOVERY_S
        while any(timed.answer.status != 200 for timed in await self.send(["r0.png", "r1.png"], prefix)):
            assert time.monotonic() < end_s, f"no recovery after {prefix}"
            await asyncio.sleep(0.2)


@pytest.fixture
def parts(
    seaweed: Server, valkey: Server, postgres: Server, bucket: Minio, tmp_path: Path
) -> TransformerParts:
    """The real parts without a predictor. The bucket holds a fresh radiograph for each fault."""
    for number in range(len(FAULTS)):
        put_object(bucket, f"fresh-{number}.png", make_radiograph_png(100 + number))
    return TransformerParts("127.0.0.1:9", seaweed.url, valkey.url, postgres.url, tmp_path / "spool")


@asynccontextmanager
async def _start_faulty(
    parts: TransformerParts, name: str, start_fault_proxy: StartFaultProxy, folder: Path
) -> AsyncIterator[FaultyTransformer]:
    async with stand_in_predictor() as predictor:
        dsn, healthy = parts.journal_dsn, replace(parts, predictor_address=predictor.address)
        url = getattr(healthy, name)
        port = urlsplit(f"//{url}" if "//" not in url else url).port
        assert port
        proxy = await asyncio.to_thread(start_fault_proxy, port)
        parts = replace(healthy, **{name: url.replace(f":{port}", f":{proxy.port}")})
        environment = parts.build_environment(PLEURA_CACHE_TIMEOUT_S="0.1")
        service = await asyncio.to_thread(start_transformer, folder, environment)
        try:
            yield FaultyTransformer(service, proxy, dsn)
        finally:
            proxy.heal()
            await asyncio.to_thread(service.stop)


async def test_redis_in_any_fault_costs_no_answer(
    parts: TransformerParts, start_fault_proxy: StartFaultProxy, tmp_path: Path
) -> None:
    """Known and new radiographs are answered under every fault of the cache."""
    async with _start_faulty(parts, "redis_url", start_fault_proxy, tmp_path) as faulty:
        for number, (name, fault) in enumerate(FAULTS.items()):
            lookups = await faulty.count_failed_lookups()
            with faulty.proxy.apply(fault):
                ids = ["r0.png", "r1.png", f"fresh-{number}.png"]
                results = [result for _ in range(4) for result in await faulty.send(ids, f"redis {name}")]
            assert {result.answer.status for result in results} == {200}, name
            assert name not in VISIBLE or await faulty.count_failed_lookups() > lookups, name


@pytest.mark.parametrize("part", ["s3_url", "predictor_address"])
async def test_faults_of_store_or_predictor_give_clear_errors(
    parts: TransformerParts, part: str, start_fault_proxy: StartFaultProxy, tmp_path: Path
) -> None:
    """Under a fault of the store or the predictor, each request is answered or refused in time."""
    async with _start_faulty(parts, part, start_fault_proxy, tmp_path) as faulty:
        for number, (name, fault) in enumerate(FAULTS.items()):
            ids = ["r0.png", "r1.png", f"fresh-{number}.png"]
            with faulty.proxy.apply(fault):
                results = [
                    result
                    for n in range(2)
                    for result in await faulty.send(ids, f"{part} {name} {n}", DEADLINE_S)
                ]
            assert name not in VISIBLE or any(result.answer.status != 200 for result in results), name
            for result in results:
                answer = result.answer
                is_allowed = answer.status in (200, 504) or (
                    answer.status == 503 and "retry-after" in answer.headers
                )
                assert is_allowed, (name, answer)
                assert result.seconds < DEADLINE_S + NOISE_S, name
            await faulty.wait_until_healthy(f"{part} {name}")


async def test_postgres_in_any_fault_costs_neither_answer_nor_row(
    parts: TransformerParts, start_fault_proxy: StartFaultProxy, tmp_path: Path
) -> None:
    """Every request is answered, and later has exactly one row."""
    request_ids: list[str] = []
    async with _start_faulty(parts, "journal_dsn", start_fault_proxy, tmp_path) as faulty:
        for name, fault in FAULTS.items():
            with faulty.proxy.apply(fault):
                results = [
                    result
                    for n in range(3)
                    for result in await faulty.send(["r0.png", "r1.png"], f"pg {name} {n}")
                ]
                await asyncio.sleep(0.5)
            assert [result for result in results if result.answer.status != 200] == [], name
            journal_states = {result.answer.body["parameters"]["journal"] for result in results}
            assert name not in SPOOLING or "spooled" in journal_states, name
            request_ids += [result.request_id for result in results]
        end_s = time.monotonic() + RECOVERY_S
        while sorted(read_row_ids(faulty.dsn, request_ids)) != sorted(request_ids):
            assert time.monotonic() < end_s, set(request_ids) - set(read_row_ids(faulty.dsn, request_ids))
            await asyncio.sleep(0.2)
