"""Answers kept in Redis, and which of them still count.

An answer counts only while the revision that made it is answering. Each revision that is seen (in an
answer, or when the watch asks for a description) leaves a mark that lives a few seconds, here and in Redis;
in a canary both revisions leave marks, and after a promotion or rollback the old mark dies out.

Redis may be slow, down or lie: a look-up costs at most a short time-out, after which Redis is left alone
for a few seconds, and an entry that fails its checksum is a miss. Activation maps are always kept with the
answer, so that one entry serves whatever outputs a request asks for.
"""

import hashlib
import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, TypeVar

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from pleura.contract import PREPROCESSING_VERSION
from transformer.answer import Revision
from transformer.cache.circuit_breaker import CircuitBreaker
from transformer.cache.entry import FORMAT, CachedAnswer, read_entry, write_entry
from transformer.cache.idle_timeout import idle_timeout
from transformer.metrics import LOOK_UPS

_CONNECT_S: Final = 0.5
_STORE_S: Final = 0.5
_CONNECTIONS: Final = 256
_REST_S: Final = 3.0
T = TypeVar("T")
log = structlog.get_logger()


def cache_key(*parts: str) -> str:
    """The cache key of what is known of a radiograph before anybody is asked, under this preprocessing."""
    text = "\0".join((*parts, PREPROCESSING_VERSION))
    return f"pleura:answer:{FORMAT}:{hashlib.sha256(text.encode()).hexdigest()}"


def connect(url: str) -> Redis:
    """A client that gives up at once, for a cache."""
    # who finds all connections in use waits for one, within the time that a call has
    pool = BlockingConnectionPool.from_url(
        url,
        protocol=2,
        max_connections=_CONNECTIONS,
        timeout=_STORE_S,
        socket_connect_timeout=_CONNECT_S,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)


class LiveRevisions:
    """Which revisions were seen answering lately, in this process."""

    def __init__(self, ttl_s: float) -> None:
        self.ttl_s = ttl_s
        self._seen_s: dict[Revision, float] = {}

    def see(self, revision: Revision) -> None:
        """Note that a revision has just answered."""
        self._seen_s[revision] = time.monotonic()

    def ages(self) -> Mapping[Revision, float]:
        """Seconds since each live revision was seen; the others are forgotten."""
        now = time.monotonic()
        self._seen_s = {each: at for each, at in self._seen_s.items() if now - at < self.ttl_s}
        return {each: now - at for each, at in self._seen_s.items()}

    def is_live(self, revision: Revision) -> bool:
        """Whether a revision was seen within the time to live."""
        at = self._seen_s.get(revision)
        return at is not None and time.monotonic() - at < self.ttl_s


class AnswerCache:
    """Cached answers; every method does without Redis when Redis does not do its part."""

    def __init__(
        self, client: Redis | None, marks: LiveRevisions, ttl_s: int, look_up_s: float = 0.04
    ) -> None:
        self._client, self.marks, self._ttl_s, self._look_up_s = client, marks, ttl_s, look_up_s
        # apart: a slow Redis takes in time what it does not find in time
        self._look_ups, self._stores = CircuitBreaker(_REST_S), CircuitBreaker(_REST_S)
        self._is_up = False

    @property
    def is_used(self) -> bool:
        """Whether there is a cache at all."""
        return self._client is not None

    @property
    def is_up(self) -> bool:
        """Whether Redis answered the last call."""
        return self._is_up

    async def close(self) -> None:
        """Close the connections."""
        if self._client:
            await self._client.aclose()

    async def find(self, keys: Sequence[str]) -> Mapping[str, CachedAnswer]:
        """Look for answers that count still, as far as their revision goes.

        Whether they are about what is there now, their ``tag`` tells; who compares it counts them as hits.
        """
        if not keys or self._client is None:
            return {}
        found = await self._guarded(self._find(self._client, keys), self._look_up_s, self._look_ups)
        if found is None:
            LOOK_UPS["failed"].inc(len(keys))
        return found or {}

    async def keep(self, answers: Mapping[str, CachedAnswer]) -> None:
        """Keep answers under their keys, in the place of those about what was there before."""
        if not answers or self._client is None:
            return
        pipeline = self._client.pipeline(transaction=False)
        for key, cached in answers.items():
            pipeline.set(key, write_entry(key, cached), ex=self._ttl_s)
        await self._guarded(pipeline.execute(), _STORE_S, self._stores)

    async def publish_marks(self) -> None:
        """Tell the other transformers which revisions were seen here, for as long as they count here.

        Called now and then, it also finds out whether Redis is there while nobody asks.
        """
        ages = self.marks.ages()
        if self._client is None:
            return
        pipeline = self._client.pipeline(transaction=False)
        pipeline.ping()
        for revision, age_s in ages.items():
            left_ms = max(1, int((self.marks.ttl_s - age_s) * 1000))
            pipeline.set(_mark_of(revision), b"1", px=left_ms)
        await self._guarded(pipeline.execute(), _STORE_S, self._stores)

    async def _find(self, client: Redis, keys: Sequence[str]) -> Mapping[str, CachedAnswer]:
        entries: Sequence[Any] = await client.mget(keys)
        found = {}
        for key, entry in zip(keys, entries, strict=True):
            cached = None if entry is None else read_entry(key, entry)
            if cached:
                found[key] = cached
            elif entry is not None:
                log.warning("cache_entry_corrupt")
        revisions = {each.answer.revision for each in found.values()}
        live = {each for each in revisions if self.marks.is_live(each) or await client.get(_mark_of(each))}
        counting = {key: each for key, each in found.items() if each.answer.revision in live}
        LOOK_UPS["stale"].inc(len(found) - len(counting))
        LOOK_UPS["miss"].inc(len(keys) - len(found))
        return counting

    async def _guarded(self, call: Awaitable[T], limit_s: float, breaker: CircuitBreaker) -> T | None:
        if not breaker.allows():
            _discard(call)
            return None
        try:
            async with idle_timeout(limit_s):
                result = await call
        except (RedisError, OSError, TimeoutError, RuntimeError) as error:  # uvloop's for a connection reset
            was_open, self._is_up = breaker.is_open, False
            breaker.failed()
            if breaker.is_open and not was_open:
                log.warning("cache_left_alone", reason=type(error).__name__, seconds=_REST_S)
            return None
        breaker.succeeded()
        self._is_up = True
        return result


def _mark_of(revision: Revision) -> str:
    return f"pleura:answering:{revision.digest}:{revision.version}"


def _discard(call: Any) -> None:
    if hasattr(call, "close"):
        call.close()
