"""Each fault before each part of a transformer: what callers get, and that it is over when the fault is.

What takes minutes of load, and the bounds in milliseconds, is ``make proof-faults``.
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
from tests.proof.faults.conftest import Before

DEADLINE_S, NOISE_S, RECOVERY_S = 1.0, 1.5, 20.0


@dataclass(frozen=True)
class Asked:
    """An answer, and how long it took."""

    request_id: str
    answer: V2Answer
    seconds: float


@dataclass(frozen=True)
class Faulty:
    """A transformer, and the proxy before the part that is going to fail."""

    service: Service
    proxy: FaultProxy
    dsn: str

    async def ask(self, ids: Sequence[str], mark: str, deadline_s: float | None = None) -> list[Asked]:
        """Ask about radiographs at one time."""
        headers = {} if deadline_s is None else {"x-request-timeout-ms": str(int(1000 * deadline_s))}

        async def asked(image_id: str) -> Asked:
            request_id, began_s = f"{mark} {image_id}", time.monotonic()
            answer = await send_by_id(self.service, [image_id], headers, id=request_id)
            return Asked(request_id, answer, time.monotonic() - began_s)

        return list(await asyncio.gather(*(asked(image_id) for image_id in ids)))

    async def failed_lookups(self) -> int:
        """How often the cache has said nothing."""
        said = await asyncio.to_thread(read_metrics, f"{self.service.url}/metrics")
        return said.count_samples("pleura_cache_lookups_total", result="failed").total()

    async def until_good(self, mark: str) -> None:
        """Wait until the fault leaves no trace."""
        end_s = time.monotonic() + RECOVERY_S
        while any(each.answer.status != 200 for each in await self.ask(["r0.png", "r1.png"], mark)):
            assert time.monotonic() < end_s, f"still not well after {mark}"
            await asyncio.sleep(0.2)


@pytest.fixture
def parts(
    seaweed: Server, valkey: Server, postgres: Server, bucket: Minio, tmp_path: Path
) -> TransformerParts:
    """The real parts, without a predictor; the bucket holds a fresh radiograph for each fault."""
    for number in range(len(FAULTS)):
        put_object(bucket, f"fresh-{number}.png", make_radiograph_png(100 + number))
    return TransformerParts("127.0.0.1:9", seaweed.url, valkey.url, postgres.url, tmp_path / "spool")


@asynccontextmanager
async def _faulty(parts: TransformerParts, name: str, before: Before, folder: Path) -> AsyncIterator[Faulty]:
    async with stand_in_predictor() as predictor:
        dsn, whole = parts.journal_dsn, replace(parts, predictor_address=predictor.address)
        url = getattr(whole, name)
        port = urlsplit(f"//{url}" if "//" not in url else url).port
        assert port
        proxy = await asyncio.to_thread(before, port)
        parts = replace(whole, **{name: url.replace(f":{port}", f":{proxy.port}")})
        environment = parts.build_environment(PLEURA_CACHE_TIMEOUT_S="0.1")
        service = await asyncio.to_thread(start_transformer, folder, environment)
        try:
            yield Faulty(service, proxy, dsn)
        finally:
            proxy.heal()
            await asyncio.to_thread(service.stop)


async def test_redis_in_any_fault_costs_no_answer(
    parts: TransformerParts, before: Before, tmp_path: Path
) -> None:
    """Known and new radiographs are answered whatever the cache does."""
    async with _faulty(parts, "redis_url", before, tmp_path) as faulty:
        for number, (name, fault) in enumerate(FAULTS.items()):
            lookups = await faulty.failed_lookups()
            with faulty.proxy.apply(fault):
                ids = ["r0.png", "r1.png", f"fresh-{number}.png"]
                asked = [each for _ in range(4) for each in await faulty.ask(ids, f"redis {name}")]
            assert {each.answer.status for each in asked} == {200}, name
            assert name not in VISIBLE or await faulty.failed_lookups() > lookups, name


@pytest.mark.parametrize("part", ["s3_url", "predictor_address"])
async def test_what_an_answer_needs_fails_in_words(
    parts: TransformerParts, part: str, before: Before, tmp_path: Path
) -> None:
    """In any fault of store or predictor the caller hears in time when to ask again; then it is over."""
    async with _faulty(parts, part, before, tmp_path) as faulty:
        for number, (name, fault) in enumerate(FAULTS.items()):
            ids = ["r0.png", "r1.png", f"fresh-{number}.png"]
            with faulty.proxy.apply(fault):
                asked = [
                    each for n in range(2) for each in await faulty.ask(ids, f"{part} {name} {n}", DEADLINE_S)
                ]
            assert name not in VISIBLE or any(each.answer.status != 200 for each in asked), name
            for each in asked:
                answer = each.answer
                told = answer.status in (200, 504) or (
                    answer.status == 503 and "retry-after" in answer.headers
                )
                assert told, (name, answer)
                assert each.seconds < DEADLINE_S + NOISE_S, name
            await faulty.until_good(f"{part} {name}")


async def test_postgres_in_any_fault_costs_neither_answer_nor_row(
    parts: TransformerParts, before: Before, tmp_path: Path
) -> None:
    """Every request is answered, and afterwards each has its one row."""
    given: list[str] = []
    async with _faulty(parts, "journal_dsn", before, tmp_path) as faulty:
        for name, fault in FAULTS.items():
            with faulty.proxy.apply(fault):
                asked = [
                    each
                    for n in range(3)
                    for each in await faulty.ask(["r0.png", "r1.png"], f"pg {name} {n}")
                ]
                await asyncio.sleep(0.5)
            assert [each for each in asked if each.answer.status != 200] == [], name
            kept = {each.answer.body["parameters"]["journal"] for each in asked}
            assert name not in SPOOLING or "spooled" in kept, name
            given += [each.request_id for each in asked]
        end_s = time.monotonic() + RECOVERY_S
        while sorted(read_row_ids(faulty.dsn, given)) != sorted(given):
            assert time.monotonic() < end_s, set(given) - set(read_row_ids(faulty.dsn, given))
            await asyncio.sleep(0.2)
