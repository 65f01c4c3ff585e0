"""A cache of answers in Redis.

A cached answer is valid only while its revision is live. A revision is live for a few seconds after it
answered a request or the dependency monitor. Transformers share their live revisions through Redis. During a
canary both revisions are live; after a promotion or rollback the old revision stops being live.

Redis may be slow, down, wrong or written by somebody else. A look-up takes at most a short time-out, and
after failures Redis is not called for a few seconds. Everything that is kept is sealed with a key that is not
in Redis, and what does not open is a miss. Every entry includes the activation maps, so it serves any outputs
that a request names.
"""

import hashlib
import time
from collections.abc import Awaitable, Mapping, Sequence, Set
from typing import Any, Final, TypeVar

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import InvalidResponse

from pleura.contract import PREPROCESSING_VERSION, READER_VERSION
from transformer.answer import Revision
from transformer.cache.circuit_breaker import CircuitBreaker
from transformer.cache.entry import FORMAT, CachedAnswer, write_entry
from transformer.cache.entry_checks import read_checked_entry
from transformer.cache.idle_timeout import idle_timeout
from transformer.cache.seal import Seal
from transformer.metrics import LOOK_UPS

_CONNECT_TIMEOUT_S: Final = 0.5
_STORE_TIMEOUT_S: Final = 0.5
_MAX_CONNECTIONS: Final = 256
# a slow Redis would otherwise cost each answer the time of a look-up (docs/decisions/0024)
_PAUSE_S: Final = 3.0
T = TypeVar("T")
log = structlog.get_logger()


def cache_key(*parts: str) -> str:
    """Make the cache key of a radiograph, which differs for each version of reader and preprocessing."""
    text = "\0".join((*parts, PREPROCESSING_VERSION, READER_VERSION))
    # s for sealed: version 0.1 reads and writes entries without a seal, under other keys
    return f"pleura:answer:s{FORMAT}:{hashlib.sha256(text.encode()).hexdigest()}"


def connect(url: str) -> Redis:
    """Make a client of Redis that does not retry: a slow cache is worth nothing."""
    # a call that finds all connections in use waits for one, within its own time limit
    pool = BlockingConnectionPool.from_url(
        url,
        protocol=2,
        max_connections=_MAX_CONNECTIONS,
        timeout=_STORE_TIMEOUT_S,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)


class LiveRevisions:
    """The revisions that answered this process lately."""

    def __init__(self, ttl_s: float) -> None:
        self.ttl_s = ttl_s
        self._seen_s: dict[Revision, float] = {}

    def see(self, revision: Revision) -> None:
        """Record that a revision has just answered."""
        self._seen_s[revision] = time.monotonic()

    def ages(self) -> Mapping[Revision, float]:
        """Give the seconds since each live revision answered, and forget the other revisions."""
        now = time.monotonic()
        self._seen_s = {revision: at for revision, at in self._seen_s.items() if now - at < self.ttl_s}
        return {revision: now - at for revision, at in self._seen_s.items()}

    def is_live(self, revision: Revision) -> bool:
        """Tell whether a revision answered within the time to live."""
        at = self._seen_s.get(revision)
        return at is not None and time.monotonic() - at < self.ttl_s


class AnswerCache:
    """The cache of answers. No method fails when Redis does: answers are then not found, and not kept."""

    def __init__(
        self,
        client: Redis | None,
        seal: Seal,
        live_revisions: LiveRevisions,
        ttl_s: int,
        look_up_s: float = 0.04,
    ) -> None:
        self._client, self._seal, self.live_revisions = client, seal, live_revisions
        self._ttl_s, self._look_up_s = ttl_s, look_up_s
        # two breakers, since a Redis that is too slow for look-ups may be fast enough for stores
        self._look_up_breaker, self._store_breaker = CircuitBreaker(_PAUSE_S), CircuitBreaker(_PAUSE_S)
        self._is_up = False

    @property
    def is_configured(self) -> bool:
        """Whether the service has a cache."""
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
        """Find the answers under these keys whose revisions are live.

        The caller compares the ``tag`` of each answer with the content that it asks about, and counts hits.
        """
        if not keys or self._client is None:
            return {}
        found = await self._call(self._find(self._client, keys), self._look_up_s, self._look_up_breaker)
        if found is None:
            LOOK_UPS["failed"].inc(len(keys))
        return found or {}

    async def keep(self, answers: Mapping[str, CachedAnswer]) -> None:
        """Keep answers under their keys, in place of answers about earlier content."""
        if not answers or self._client is None:
            return
        pipeline = self._client.pipeline(transaction=False)
        for key, cached in answers.items():
            pipeline.set(key, self._seal.close(key, write_entry(key, cached)), ex=self._ttl_s)
        await self._call(pipeline.execute(), _STORE_TIMEOUT_S, self._store_breaker)

    async def publish_live_revisions(self) -> None:
        """Publish this process's live revisions for the other transformers.

        The dependency monitor calls this every few seconds, so ``is_up`` is right even without requests.
        """
        ages = self.live_revisions.ages()
        if self._client is None:
            return
        pipeline = self._client.pipeline(transaction=False)
        pipeline.ping()
        for revision, age_s in ages.items():
            left_ms = max(1, int((self.live_revisions.ttl_s - age_s) * 1000))
            # Redis forgets it by then, but whoever writes into Redis could keep it for ever
            until_ms = _now_ms() + left_ms
            key = _live_key(revision)
            pipeline.set(key, self._seal.close(key, str(until_ms).encode()), px=left_ms)
        await self._call(pipeline.execute(), _STORE_TIMEOUT_S, self._store_breaker)

    async def _find(self, client: Redis, keys: Sequence[str]) -> Mapping[str, CachedAnswer]:
        entries: object = await client.mget(keys)
        if not isinstance(entries, list) or len(entries) != len(keys):
            raise InvalidResponse("MGET gave another number of values than it was asked for")
        found = {}
        for key, entry in zip(keys, entries, strict=True):
            cached = self._read(key, entry)
            if cached:
                found[key] = cached
            elif entry is not None:
                log.warning("cache_entry_corrupt")
        live = await self._find_live(client, {cached.answer.revision for cached in found.values()})
        valid = {key: cached for key, cached in found.items() if cached.answer.revision in live}
        LOOK_UPS["stale"].inc(len(found) - len(valid))
        LOOK_UPS["miss"].inc(len(keys) - len(found))
        return valid

    def _read(self, key: str, entry: object) -> CachedAnswer | None:
        content = self._seal.open(key, entry)
        return None if content is None else read_checked_entry(key, content)

    async def _find_live(self, client: Redis, revisions: Set[Revision]) -> Set[Revision]:
        return {
            revision
            for revision in revisions
            if self.live_revisions.is_live(revision) or await self._is_live_elsewhere(client, revision)
        }

    async def _is_live_elsewhere(self, client: Redis, revision: Revision) -> bool:
        """Tell whether another transformer has published a revision, and its time has not passed."""
        key = _live_key(revision)
        until_ms = self._seal.open(key, await client.get(key))
        return until_ms is not None and int(until_ms) > _now_ms()

    async def _call(self, call: Awaitable[T], limit_s: float, breaker: CircuitBreaker) -> T | None:
        if not breaker.allows():
            # a coroutine that nobody awaits would warn when Python collects it
            _discard(call)
            return None
        try:
            async with idle_timeout(limit_s):
                result = await call
        # a reply may be anything, and what the client raises for it cannot be listed (docs/decisions/0055)
        except Exception as error:
            was_open, self._is_up = breaker.is_open, False
            breaker.record_failure()
            if breaker.is_open and not was_open:
                log.warning("cache_disabled", reason=type(error).__name__, seconds=_PAUSE_S)
            return None
        breaker.record_success()
        self._is_up = True
        return result


def _now_ms() -> int:
    return int(time.time() * 1000)


def _live_key(revision: Revision) -> str:
    return f"pleura:answering:{revision.digest}:{revision.version}"


def _discard(call: Any) -> None:
    if hasattr(call, "close"):
        call.close()
