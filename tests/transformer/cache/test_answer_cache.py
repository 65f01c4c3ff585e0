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
from transformer.cache.entry import write_entry
from transformer.cache.seal import Seal

KEYS = [cache_key("test", str(i)) for i in range(3)]
SEAL = Seal(b"the key of all transformers")


@pytest_asyncio.fixture
async def client(valkey: Server) -> AsyncIterator[Redis]:
    """Connect to an empty Valkey."""
    client = Redis.from_url(valkey.url, socket_connect_timeout=10)
    await client.flushall()
    yield client
    await client.aclose()


def _cache(client: Redis | None, ttl_s: float = 60.0, seal: Seal = SEAL) -> AnswerCache:
    return AnswerCache(client, seal, LiveRevisions(ttl_s), 60, look_up_s=2.0)  # the machine may be busy


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


@pytest.mark.parametrize("damage", [b"", b"garbage", b"PLS1" + bytes(64)], ids=["empty", "text", "zeros"])
async def test_corrupt_entries_are_misses(client: Redis, damage: bytes) -> None:
    """Any bytes under a key are one of our answers or a miss."""
    cache = _cache(client)
    cache.live_revisions.see(STABLE)
    await client.set(KEYS[0], damage)
    await client.lpush(KEYS[1], b"a list")
    assert await cache.find(KEYS) == {}


async def test_an_answer_that_somebody_else_wrote_is_a_miss(client: Redis) -> None:
    """Who can write into Redis, but does not have the key, cannot write an answer or move one."""
    cache, forger = _cache(client), _cache(client, seal=Seal(b"another key"))
    cache.live_revisions.see(STABLE)
    await forger.keep({KEYS[0]: make_cached_answer(1)})
    await client.set(KEYS[1], write_entry(KEYS[1], make_cached_answer(1)))
    await cache.keep({KEYS[2]: make_cached_answer(2)})
    await client.copy(KEYS[2], KEYS[0] + "0")
    assert set(await cache.find([*KEYS, KEYS[0] + "0"])) == {KEYS[2]}


async def test_nobody_else_makes_a_revision_live(client: Redis) -> None:
    """A revision is live when a transformer said so, and not longer than it said."""
    cache, own_key = _cache(client), f"pleura:answering:{STABLE.digest}:{STABLE.version}"
    await cache.keep({KEYS[0]: make_cached_answer(1)})
    past = SEAL.close(own_key, str(int(time.time() * 1000) - 1).encode())
    future = str(int(time.time() * 1000) + 60_000).encode()
    for written in (b"1", future, past, SEAL.close("another name", future)):
        await client.set(own_key, written)
        assert await cache.find(KEYS) == {}
    await client.set(own_key, SEAL.close(own_key, future))
    assert list(await cache.find(KEYS)) == KEYS[:1]


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


_ODD_REPLIES = {
    "fewer": b"*0\r\n",
    "more": b"*4\r\n" + b"$-1\r\n" * 4,
    "an integer": b":5\r\n",
    "null": b"*-1\r\n",
    "a null text": b"$-1\r\n",
    "integers": b"*3\r\n" + b":7\r\n" * 3,
    "a text": b"$3\r\nabc\r\n",
    "errors": b"*3\r\n" + b"-ERR x\r\n" * 3,
    "lists": b"*3\r\n" + b"*1\r\n$1\r\na\r\n" * 3,
    "an error": b"-ERR x\r\n",
    "deep": b"*1\r\n" * 100_000 + b"$-1\r\n",
    "no protocol": b"\xff\xfe\r\n",
    "no length": b"*x\r\n",
    "a negative length": b"$-7\r\n",
    "the newer protocol": b"%1\r\n+a\r\n+b\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("reply", _ODD_REPLIES.values(), ids=_ODD_REPLIES.keys())
async def test_an_odd_reply_is_a_miss(reply: bytes) -> None:
    """Whatever Redis replies to a look-up, or to what follows it, the answer is not in the cache."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            count = int(line[1:])
            command = [(await reader.readline(), await reader.readline())[1].strip() for _ in range(count)]
            writer.write(reply if command[0] in (b"MGET", b"GET", b"SET", b"PING") else b"+OK\r\n")
            if not reply:
                break
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        client = connect(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        cache = AnswerCache(client, SEAL, LiveRevisions(60), 60, look_up_s=0.3)
        cache.live_revisions.see(STABLE)
        assert await cache.find(KEYS) == {}
        await cache.keep({KEYS[0]: make_cached_answer(1)})
        await cache.publish_live_revisions()
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
        cache = AnswerCache(client, SEAL, LiveRevisions(60), 60)
        began_s = time.monotonic()
        assert await _longest_look_up(cache, 50) < 0.5
        assert time.monotonic() - began_s < 2
        await cache.close()
