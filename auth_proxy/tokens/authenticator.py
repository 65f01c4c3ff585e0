"""Authenticate a caller: from the ``Authorization`` header to a principal."""

import hashlib
import time
from collections import OrderedDict
from typing import Final

from auth_proxy.metrics import TOKEN_REFUSALS
from auth_proxy.tokens.keys import KeyCache
from auth_proxy.tokens.verification import Keys, NoToken, Principal, Trust, parse_bearer, read_key_id, verify
from pleura.errors import Forbidden, Unauthenticated

_MAX_CACHED: Final = 10_000


class Authenticator:
    """Verifies bearer tokens.

    A verified token is cached by its SHA-256 until it expires or the key set changes.
    """

    def __init__(self, keys: KeyCache, trust: Trust) -> None:
        self._keys, self._trust = keys, trust
        self._cached: OrderedDict[bytes, Principal] = OrderedDict()
        self._cached_for: Keys = {}

    @property
    def is_ready(self) -> bool:
        """Whether there are keys to verify a token with."""
        return self._keys.is_ready

    async def authenticate(self, authorization: str | None, scope: str) -> Principal:
        """Verify the token, and require that it has the scope.

        Raises:
            Unauthenticated: There is no valid token.
            Forbidden: The token lacks the scope.
            Unavailable: The issuer's keys are not known yet.
        """
        try:
            if not authorization:
                raise NoToken("a bearer token is needed")
            token = parse_bearer(authorization)
            principal = self._find_cached(token) or await self._verify(token)
        except Unauthenticated as error:
            TOKEN_REFUSALS[error.reason].inc()
            raise
        if scope not in principal.scopes:
            TOKEN_REFUSALS["scope"].inc()
            raise Forbidden(f"the token lacks the scope {scope!r}")
        return principal

    def _find_cached(self, token: str) -> Principal | None:
        if self._keys.keys is not self._cached_for:
            self._cached.clear()
            self._cached_for = self._keys.keys
        principal = self._cached.get(_fingerprint(token))
        if principal is None or time.time() >= principal.expires_at + self._trust.leeway_s:
            return None
        return principal

    async def _verify(self, token: str) -> Principal:
        key = await self._keys.find_key(read_key_id(token))
        principal = verify(token, key, self._trust, time.time())
        if self._keys.keys is self._cached_for:
            self._cached[_fingerprint(token)] = principal
            if len(self._cached) > _MAX_CACHED:
                self._cached.popitem(last=False)
        return principal


def _fingerprint(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
