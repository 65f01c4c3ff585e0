"""The cache of answers with a real Valkey, and without one."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from pleura.local.dependencies import Server
from tests.support.transformer_values import CANARY, STABLE, make_answer, make_cached_answer
from transformer.cache.answer_cache import AnswerCache, LiveRevisions, cache_key, connect

KEYS = [cache_key("test", str(i)) for i in range(3)]


@pytest_asyncio.fixture
async def client(valkey: Server) -> AsyncIterator[Redis]:
    """Connect to an empty Valkey."""
    client = Redis.from_url(valkey.url, socket_connect_timeout=10)
    await client.flushall()
    yield client
    await client.aclose()


def _cache(client: Redis | None, ttl_s: float = 60.0) -> AnswerCache:
    return AnswerCache(client, LiveRevisions(ttl_s), 60, look_up_s=2.0)  # the machine may be busy


async def test_a_kept_answer_is_found_while_its_revision_is_live(client: Redis) -> None:
    """An answer is valid after its revision was seen, and not before."""
    cache = _cache(client)
    await cache.keep({KEYS[0]: make_cached_answer(1)})
    assert await cache.find(KEYS) == {}
    cache.live_revisions.see(STABLE)
    found = await cache.find(KEYS)
    assert list(found) == KEYS[:1]
    assert found[KEYS[0]].answer.image_digest == make_answer(1).image_digest
    assert found[KEYS[0]].tag == make_cached_answer(1).tag


async def test_answers_of_a_revision_that_is_not_live_are_not_found(client: Redis) -> None:
    """During a canary both revisions are live. After a promotion only the new one is."""
    cache = _cache(client, ttl_s=0.3)
    await cache.keep({KEYS[0]: make_cached_answer(1, STABLE), KEYS[1]: make_cached_answer(2, CANARY)})
    cache.live_revisions.see(STABLE)
    cache.live_revisions.see(CANARY)
    assert set(await cache.find(KEYS)) == set(KEYS[:2])
    await asyncio.sleep(0.35)
    cache.live_revisions.see(CANARY)
    assert set(await cache.find(KEYS)) == {KEYS[1]}


async def test_live_revisions_are_shared_between_transformers(client: Redis) -> None:
    """A revision that is live in one process is live in another process too, for the same time."""
    one, other = _cache(client, 0.5), _cache(client, 0.5)
    await one.keep({KEYS[0]: make_cached_answer(1)})
    one.live_revisions.see(STABLE)
    await one.publish_live_revisions()
    assert list(await other.find(KEYS)) == KEYS[:1]
    await asyncio.sleep(0.6)
    assert await other.find(KEYS) == {}


@pytest.mark.parametrize("damage", [b"", b"garbage", b"PLA2" + bytes(64)], ids=["empty", "text", "zeros"])
async def test_corrupt_entries_are_misses(client: Redis, damage: bytes) -> None:
    """Any bytes under a key are one of our answers or a miss."""
    cache = _cache(client)
    cache.live_revisions.see(STABLE)
    await client.set(KEYS[0], damage)
    await client.lpush(KEYS[1], b"a list")
    assert await cache.find(KEYS) == {}


async def test_entries_expire(client: Redis) -> None:
    """Each entry has a time to live."""
    await _cache(client).keep({KEYS[0]: make_cached_answer(1)})
    assert 0 < await client.ttl(KEYS[0]) <= 60


async def test_without_redis_every_look_up_is_a_miss() -> None:
    """A service without Redis works."""
    cache = _cache(None)
    await cache.keep({KEYS[0]: make_cached_answer(1)})
    await cache.publish_live_revisions()
    assert await cache.find(KEYS) == {}
    await cache.close()


async def _longest_look_up(cache: AnswerCache, look_ups: int) -> float:
    longest = 0.0
    for _ in range(look_ups):
        began_s = time.monotonic()
        assert await cache.find(KEYS) == {}
        longest = max(longest, time.monotonic() - began_s)
    return longest


async def test_a_redis_that_is_down_costs_little_time() -> None:
    """A refused connection is a miss, and soon no connection is tried."""
    cache = _cache(connect("redis://127.0.0.1:9/0"))
    cache.live_revisions.see(STABLE)
    assert await _longest_look_up(cache, 20) < 0.5
    await cache.keep({KEYS[0]: make_cached_answer(1)})
    await cache.publish_live_revisions()
    await cache.close()


async def test_a_redis_that_hangs_costs_little_time() -> None:
    """A silent server costs three short time-outs, then nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = connect(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        cache = AnswerCache(client, LiveRevisions(60), 60)
        began_s = time.monotonic()
        assert await _longest_look_up(cache, 50) < 0.5
        assert time.monotonic() - began_s < 2
        await cache.close()
