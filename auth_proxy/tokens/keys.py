"""The keys of one issuer: fetched ahead of need, kept while the issuer is down, and refetched seldom."""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Final

import httpx
import structlog

from auth_proxy.metrics import KEY_FETCHES
from auth_proxy.tokens.errors import UnknownKey
from auth_proxy.tokens.key_set import DEFAULT_ALGORITHMS, InvalidKeySet, Keys, VerificationKey, parse_keys
from auth_proxy.tokens.key_sources import FETCH_TIMEOUT_S, KeySource
from pleura.errors import Unavailable

REFETCH_INTERVAL_S: Final = 30.0
_REFRESH_INTERVAL_S: Final = 300.0
log = structlog.get_logger()


class KeyCache:
    """The last valid key set.

    A known key is found without waiting. An unknown key makes the cache fetch the set again, at most once in
    ``REFETCH_INTERVAL_S`` however many callers ask. Callers that ask meanwhile wait for that fetch.
    """

    def __init__(
        self,
        source: KeySource,
        clock: Callable[[], float] = time.monotonic,
        algorithms: Collection[str] = DEFAULT_ALGORITHMS,
        issuer: str = "",
    ) -> None:
        self._source, self._clock, self._algorithms, self._issuer = source, clock, algorithms, issuer
        self._fetching: asyncio.Task[None] | None = None
        self._last_refetch_s = self._fetched_s = float("-inf")
        self.keys: Keys = {}

    @property
    def is_ready(self) -> bool:
        """Whether there was ever a valid key set."""
        return bool(self.keys)

    @property
    def age_s(self) -> float:
        """Seconds since the last successful fetch; infinite before the first."""
        return self._clock() - self._fetched_s

    async def find_key(self, key_id: str) -> VerificationKey:
        """Find a key.

        Raises:
            UnknownKey: The issuer has no key with that id, as far as we know.
            Unavailable: There was never a valid key set.
        """
        key = self.keys.get(key_id)
        if key is None:
            await self._refetch()
            key = self.keys.get(key_id)
        if key is None and not self.keys:
            raise Unavailable("the issuer's keys are not known yet")
        if key is None:
            raise UnknownKey("the token is signed with an unknown key")
        return key

    async def refresh_forever(self) -> None:
        """Fetch the key set now, and again at intervals, until cancelled."""
        pause_s = 1.0
        while True:
            await self._join_fetch()
            pause_s = _REFRESH_INTERVAL_S if self.is_ready else min(REFETCH_INTERVAL_S, pause_s * 2)
            await asyncio.sleep(pause_s)

    async def _refetch(self) -> None:
        if self._fetching is None:
            if self._clock() - self._last_refetch_s < REFETCH_INTERVAL_S:
                return
            self._last_refetch_s = self._clock()
        await self._join_fetch()

    async def _join_fetch(self) -> None:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.shield(self._fetching)

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                document = await self._source.fetch()
            keys = parse_keys(document, self._algorithms)
            self._fetched_s = self._clock()
            KEY_FETCHES["ok"].inc()
            if keys != self.keys:
                self.keys = keys
                log.info("keys_changed", issuer=self._issuer, keys=len(keys))
        except (httpx.HTTPError, httpx.InvalidURL, InvalidKeySet, OSError, TimeoutError) as error:
            KEY_FETCHES["failed"].inc()
            log.warning(
                "key_fetch_failed",
                issuer=self._issuer,
                reason=type(error).__name__,
                known_keys=len(self.keys),
            )
        finally:
            self._fetching = None
