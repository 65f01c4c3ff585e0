"""The issuer's keys: fetched ahead of need, kept while the issuer is down, and refetched seldom."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import httpx
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from auth_proxy.metrics import KEY_FETCHES
from auth_proxy.tokens.verification import Keys, UnknownKey, VerificationKey
from pleura.errors import Unavailable

MAX_DOCUMENT_BYTES: Final = 65536
MAX_KEYS: Final = 32
REFETCH_INTERVAL_S: Final = 30.0
_REFRESH_INTERVAL_S: Final = 300.0
_FETCH_TIMEOUT_S: Final = 3.0
_ALGORITHM_OF: Final = {"RSA": "RS256", "EC P-256": "ES256", "OKP Ed25519": "EdDSA"}
_PUBLIC_MEMBERS: Final = ("kty", "crv", "x", "y", "n", "e")
_RSA_BITS: Final = range(2048, 8193)
_FETCH_HEADERS: Final = {"accept": "application/json", "accept-encoding": "identity"}
log = structlog.get_logger()


class InvalidKeySet(Exception):
    """The issuer's document holds no key that can verify a token."""


class KeySource(Protocol):
    """Fetches the issuer's JWKS document."""

    async def fetch(self) -> bytes:
        """Fetch the document."""


class HttpKeySource:
    """Fetches the JWKS document by HTTP: no redirects, no proxies from the environment, a limited size."""

    def __init__(self, url: str) -> None:
        self._url = url
        # read once, since to read the certificates blocks the event loop
        self._tls = httpx.create_ssl_context(trust_env=False)

    async def fetch(self) -> bytes:
        """Fetch the document.

        Raises:
            httpx.HTTPError: The issuer does not answer with 200.
            InvalidKeySet: The document is too large.
        """
        async with (
            httpx.AsyncClient(timeout=_FETCH_TIMEOUT_S, trust_env=False, verify=self._tls) as client,
            client.stream("GET", self._url, headers=_FETCH_HEADERS) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise httpx.HTTPError(f"the issuer answers {response.status_code}")
            document = b""
            async for chunk in response.aiter_raw():
                document += chunk
                if len(document) > MAX_DOCUMENT_BYTES:
                    raise InvalidKeySet(f"the document exceeds {MAX_DOCUMENT_BYTES} bytes")
            return document


def _parse_key(item: Mapping[str, Any]) -> VerificationKey | None:
    algorithm = _ALGORITHM_OF.get(f"{item.get('kty')} {item.get('crv', '')}".strip())
    operations = item.get("key_ops", ["verify"])
    if algorithm is None or item.get("alg", algorithm) != algorithm or item.get("use", "sig") != "sig":
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    public = {name: item[name] for name in _PUBLIC_MEMBERS if isinstance(item.get(name), str)}
    try:
        key = jwt.PyJWK(public, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size not in _RSA_BITS:
        return None
    return VerificationKey(algorithm, key)


def parse_keys(document: bytes) -> Keys:
    """Parse the keys of a JWKS document that can verify a token, and ignore everything else in it.

    Raises:
        InvalidKeySet: The document is malformed, has no such key, two keys with one id, or too many keys.
    """
    try:
        items = json.loads(document)["keys"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise InvalidKeySet("the document is not a JWKS document") from error
    if not isinstance(items, list) or len(items) > MAX_KEYS:
        raise InvalidKeySet(f"the document must list at most {MAX_KEYS} keys")
    keys: dict[str, VerificationKey] = {}
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("kid"), str):
            continue
        key = _parse_key(item)
        if key is not None and item["kid"] in keys:
            raise InvalidKeySet("two keys have the same id")
        if key is not None:
            keys[item["kid"]] = key
    if not keys:
        raise InvalidKeySet("the document has no usable key")
    return keys


class KeyCache:
    """The last valid key set.

    A known key is found without waiting. An unknown key makes the cache fetch the set again, at most once in
    ``REFETCH_INTERVAL_S`` however many callers ask. Callers that ask meanwhile wait for that fetch.
    """

    def __init__(self, source: KeySource, clock: Callable[[], float] = time.monotonic) -> None:
        self._source, self._clock = source, clock
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
            async with asyncio.timeout(_FETCH_TIMEOUT_S):
                keys = parse_keys(await self._source.fetch())
            self._fetched_s = self._clock()
            KEY_FETCHES["ok"].inc()
            if keys != self.keys:
                self.keys = keys
                log.info("keys_changed", keys=len(keys))
        except (httpx.HTTPError, httpx.InvalidURL, InvalidKeySet, OSError, TimeoutError) as error:
            KEY_FETCHES["failed"].inc()
            log.warning("key_fetch_failed", reason=type(error).__name__, known_keys=len(self.keys))
        finally:
            self._fetching = None
