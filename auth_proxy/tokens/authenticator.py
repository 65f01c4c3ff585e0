"""Authenticate a caller: from the ``Authorization`` header to a principal."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from auth_proxy.metrics import TOKEN_REFUSALS
from auth_proxy.tokens.errors import InsufficientScope, NoToken, WrongParties
from auth_proxy.tokens.key_set import Keys
from auth_proxy.tokens.keys import KeyCache
from auth_proxy.tokens.trust import Principal, Trust
from auth_proxy.tokens.verification import parse_bearer, read_issuer, read_key_id, verify
from pleura.errors import Unauthenticated

_MAX_CACHED: Final = 10_000


@dataclass(frozen=True)
class TrustedIssuer:
    """An issuer: what its tokens must say, and its keys. No other issuer's key verifies its tokens."""

    trust: Trust
    keys: KeyCache


@dataclass(frozen=True)
class _CachedPrincipal:
    principal: Principal
    issuer: TrustedIssuer
    keys: Keys

    def is_valid(self) -> bool:
        """Whether the token has not expired and the issuer's keys are still those that verified it."""
        end_s = self.principal.expires_at + self.issuer.trust.leeway_s
        return self.keys is self.issuer.keys.keys and time.time() < end_s


class Authenticator:
    """Verifies bearer tokens.

    A verified token is cached by its SHA-256 until it expires or the keys of its issuer change.
    """

    def __init__(self, issuers: Iterable[TrustedIssuer]) -> None:
        self._issuers = {issuer.trust.issuer: issuer for issuer in issuers}
        self._cached: OrderedDict[bytes, _CachedPrincipal] = OrderedDict()

    @property
    def is_ready(self) -> bool:
        """Whether there are keys of an issuer. Another issuer that is down must not stop the service."""
        return any(issuer.keys.is_ready for issuer in self._issuers.values())

    @property
    def age_s(self) -> float:
        """Seconds since the last successful fetch of keys, for the issuer where it is longest ago."""
        return max(issuer.keys.age_s for issuer in self._issuers.values())

    async def refresh_forever(self) -> None:
        """Fetch the keys of all issuers now, and again at intervals, until cancelled."""
        await asyncio.gather(*(issuer.keys.refresh_forever() for issuer in self._issuers.values()))

    async def authenticate(self, authorization: str | None, scope: str) -> Principal:
        """Verify the token, and require that it has the scope.

        Raises:
            Unauthenticated: There is no valid token.
            InsufficientScope: The token lacks the scope.
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
            raise InsufficientScope(scope)
        return principal

    def _find_cached(self, token: str) -> Principal | None:
        cached = self._cached.get(_fingerprint(token))
        return cached.principal if cached is not None and cached.is_valid() else None

    async def _verify(self, token: str) -> Principal:
        issuer = self._issuers.get(read_issuer(token))
        if issuer is None:
            raise WrongParties("the token comes from another issuer")
        key = await issuer.keys.find_key(read_key_id(token, issuer.trust.algorithms))
        principal = verify(token, key, issuer.trust, time.time())
        self._cached[_fingerprint(token)] = _CachedPrincipal(principal, issuer, issuer.keys.keys)
        if len(self._cached) > _MAX_CACHED:
            self._cached.popitem(last=False)
        return principal


def _fingerprint(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
