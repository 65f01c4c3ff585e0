"""The ways in which a token is refused, each with the reason that metrics count."""

from collections.abc import Mapping
from typing import Final

from pleura.errors import Forbidden, Unauthenticated

_REALM: Final = 'Bearer realm="pleura"'


class NoToken(Unauthenticated):
    """The request has no bearer token."""

    reason = "missing"

    @property
    def headers(self) -> Mapping[str, str]:
        """The challenge without an error code (RFC 6750 section 3.1)."""
        return {"www-authenticate": _REALM}


class UnknownKey(Unauthenticated):
    """The issuer has no such key."""

    reason = "unknown_key"


class WrongSignature(Unauthenticated):
    """The token was not signed with the key that it names."""

    reason = "signature"


class WrongParties(Unauthenticated):
    """The token comes from another issuer, is for another audience, or is not an access token."""

    reason = "parties"


class Expired(Unauthenticated):
    """The token has expired."""

    reason = "expired"


class NotYetValid(Unauthenticated):
    """The token is not valid yet."""

    reason = "not_yet_valid"


class InsufficientScope(Forbidden):
    """The token is valid, but lacks the scope of the route."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"the token lacks the scope {scope!r}")
        self._scope = scope

    @property
    def headers(self) -> Mapping[str, str]:
        """The challenge that names the scope (RFC 6750 section 3.1)."""
        return {"www-authenticate": f'{_REALM}, error="insufficient_scope", scope="{self._scope}"'}
