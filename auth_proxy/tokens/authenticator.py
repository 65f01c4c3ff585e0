"""From an ``Authorization`` value to a principal; what was verified once is remembered."""

import hashlib
import time
from collections import OrderedDict
from typing import Final

from auth_proxy.metrics import TOKEN_REFUSALS
from auth_proxy.tokens.keys import KeyCache
from auth_proxy.tokens.verification import Keys, NoToken, Principal, Trust, bearer_of, key_id_of, verify
from pleura.errors import Forbidden, Unauthenticated

_MAX_REMEMBERED: Final = 10_000


class Authenticator:
    """Says who asks.

    Tokens that were verified are remembered by their SHA-256 until they expire, or the key set changes.
    """

    def __init__(self, keys: KeyCache, trust: Trust) -> None:
        self._keys, self._trust = keys, trust
        self._verified: OrderedDict[bytes, Principal] = OrderedDict()
        self._verified_with: Keys = {}

    @property
    def is_ready(self) -> bool:
        """Whether a token can be verified at all."""
        return self._keys.is_ready

    async def authenticate(self, authorization: str | None, scope: str) -> Principal:
        """Say who asks, if they may do what the scope names.

        Raises:
            Unauthenticated: There is no valid token.
            Forbidden: The token has not the scope.
            Unavailable: The issuer's keys are not known yet.
        """
        try:
            if not authorization:
                raise NoToken("a bearer token is needed")
            token = bearer_of(authorization)
            principal = self._recall(token) or await self._verify(token)
        except Unauthenticated as error:
            TOKEN_REFUSALS[error.reason].inc()
            raise
        if scope not in principal.scopes:
            TOKEN_REFUSALS["scope"].inc()
            raise Forbidden(f"the token lacks the scope {scope!r}")
        return principal

    def _recall(self, token: str) -> Principal | None:
        if self._keys.keys is not self._verified_with:
            self._verified.clear()
            self._verified_with = self._keys.keys
        principal = self._verified.get(_fingerprint(token))
        if principal is None or time.time() >= principal.expires_at + self._trust.leeway_s:
            return None
        return principal

    async def _verify(self, token: str) -> Principal:
        key = await self._keys.key(key_id_of(token))
        principal = verify(token, key, self._trust, time.time())
        if self._keys.keys is self._verified_with:
            self._verified[_fingerprint(token)] = principal
            if len(self._verified) > _MAX_REMEMBERED:
                self._verified.popitem(last=False)
        return principal


def _fingerprint(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
