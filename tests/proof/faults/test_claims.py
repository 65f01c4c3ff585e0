"""A predictor that fails or answers wrongly, a dead connection behind Envoy, and a slow cache."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from minio import Minio

from pleura.deadline import Deadline
from pleura.errors import PleuraError
from pleura.local.dependencies import Server, WeightedUpstream, start_envoy
from proof.faults.claims import (
    check_expired_before_predictor,
    check_half_failing_predictor,
    check_invalid_answers,
    run_bench,
)
from proof.faults.proxy import Fault
from proof.lab.bucket import put_object
from proof.lab.stand_in_predictor import stand_in_predictor
from proof.lab.transformer import make_radiograph_png
from tests.proof.faults.conftest import StartFaultProxy
from tests.support.transformer_values import make_cached_answer
from transformer.cache.answer_cache import AnswerCache, LiveRevisions, cache_key, connect
from transformer.cache.seal import Seal
from transformer.predictor_client import PredictorClient


async def test_a_transformer_withstands_a_faulty_predictor(
    seaweed: Server, valkey: Server, postgres: Server, bucket: Minio, tmp_path: Path
) -> None:
    """A failing predictor gets few retries, invalid answers are not stored, expired work is not sent."""
    ids = [f"claims/{number}.png" for number in range(40)]
    for number, image_id in enumerate(ids):
        put_object(bucket, image_id, make_radiograph_png(200 + number))
    async with run_bench(tmp_path, {"s3": seaweed, "redis": valkey, "postgres": postgres}) as bench:
        rows = [
            await check_half_failing_predictor(bench, ids, "failed to connect"),
            await check_half_failing_predictor(bench, ids, "no luck"),
            await check_invalid_answers(bench, ids[0]),
            await check_expired_before_predictor(bench, ids, grace_s=1.0),
        ]
    assert [row for row in rows if not row.holds] == []


async def test_envoy_drops_a_dead_connection(
    start_fault_proxy: StartFaultProxy, free_port: Callable[[], int], tmp_path: Path
) -> None:
    """Envoy opens a new connection to the predictor when the old one no longer answers."""
    radiographs = np.zeros((1, 224, 224), np.uint8)
    async with stand_in_predictor() as predictor:
        proxy = await asyncio.to_thread(start_fault_proxy, int(predictor.address.rpartition(":")[2]))
        upstream = WeightedUpstream("stable", proxy.port, 100)
        envoy = await asyncio.to_thread(start_envoy, tmp_path, free_port(), [upstream])
        client = PredictorClient(envoy.url, max_in_flight=2)
        try:
            await client.predict(radiographs, Deadline.after(10), {})
            with proxy.apply(Fault("forgotten")):
                await asyncio.sleep(0.2)
            end_s, calls = time.monotonic() + 20, predictor.calls
            while predictor.calls == calls:
                assert time.monotonic() < end_s
                try:
                    await client.predict(radiographs, Deadline.after(1), {})
                except PleuraError:
                    await asyncio.sleep(0.1)
        finally:
            await client.close()
            await asyncio.to_thread(envoy.stop)


async def test_a_slow_cache_is_disabled_although_it_stores_answers(
    valkey: Server, start_fault_proxy: StartFaultProxy
) -> None:
    """Look-ups that take too long are skipped for a while, even if answers are stored without errors."""
    proxy = await asyncio.to_thread(start_fault_proxy, int(valkey.url.rpartition(":")[2].partition("/")[0]))
    client = connect(valkey.url.replace(valkey.url.rpartition(":")[2], f"{proxy.port}/0"))
    cache = AnswerCache(client, Seal(b"key"), LiveRevisions(60.0), 60, look_up_s=0.04)
    key = cache_key("faults", "slow")
    with proxy.apply(Fault("slow", ms=60)):
        seconds = []
        for _ in range(9):
            await cache.keep({key: make_cached_answer(1)})
            began_s = time.monotonic()
            assert await cache.find([key]) == {}
            seconds.append(time.monotonic() - began_s)
    assert sorted(seconds)[4] < 0.03  # most look-ups were skipped
    await cache.close()
