"""A transformer against a predictor that fails or lies, and Envoy against one that is gone without a word."""

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
from tests.proof.faults.conftest import Before
from tests.support.transformer_values import make_cached_answer
from transformer.cache.answer_cache import AnswerCache, LiveRevisions, cache_key, connect
from transformer.predictor_client import PredictorClient


async def test_what_a_predictor_may_do_to_a_transformer(
    seaweed: Server, valkey: Server, postgres: Server, bucket: Minio, tmp_path: Path
) -> None:
    """Failing every other call it gets 1.1 a request; lies are 502 and not kept; late work is not sent."""
    ids = [f"claims/{number}.png" for number in range(40)]
    for number, image_id in enumerate(ids):
        put_object(bucket, image_id, make_radiograph_png(200 + number))
    async with run_bench(tmp_path, {"s3": seaweed, "redis": valkey, "postgres": postgres}) as held:
        rows = [
            await check_half_failing_predictor(held, ids, "failed to connect"),
            await check_half_failing_predictor(held, ids, "no luck"),
            await check_invalid_answers(held, ids[0]),
            await check_expired_before_predictor(held, ids, grace_s=1.0),
        ]
    assert [row for row in rows if not row.holds] == []


async def test_envoy_gives_up_a_connection_that_is_gone(
    before: Before, free_port: Callable[[], int], tmp_path: Path
) -> None:
    """A predictor's connection that nobody answers on any more does not take requests for ever."""
    radiographs = np.zeros((1, 224, 224), np.uint8)
    async with stand_in_predictor() as predictor:
        proxy = await asyncio.to_thread(before, int(predictor.address.rpartition(":")[2]))
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


async def test_a_slow_cache_is_left_alone_though_it_keeps(valkey: Server, before: Before) -> None:
    """Look-ups that come too late are given up for a while, however well answers are kept meanwhile."""
    proxy = await asyncio.to_thread(before, int(valkey.url.rpartition(":")[2].partition("/")[0]))
    client = connect(valkey.url.replace(valkey.url.rpartition(":")[2], f"{proxy.port}/0"))
    cache, key = AnswerCache(client, LiveRevisions(60.0), 60, look_up_s=0.04), cache_key("faults", "slow")
    with proxy.apply(Fault("slow", ms=60)):
        seconds = []
        for _ in range(9):
            await cache.keep({key: make_cached_answer(1)})
            began_s = time.monotonic()
            assert await cache.find([key]) == {}
            seconds.append(time.monotonic() - began_s)
    assert sorted(seconds)[4] < 0.03  # most of them did not even try
    await cache.close()
