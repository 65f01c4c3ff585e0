"""Check the claims of a token, and read the principal from them. The module does no input or output.

Source:
    RFC 7519 section 4.1 (registered claims), RFC 8693 section 4.2 and RFC 9068 (``scope``), OpenID Connect
    Core section 2 (ID tokens).
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from auth_proxy.tokens.errors import Expired, NotYetValid, WrongParties
from auth_proxy.tokens.trust import Principal, Trust
from pleura.errors import Unauthenticated

MAX_SCOPES: Final = 256
_SUBJECT: Final = re.compile(r"[\x21-\x7e]{1,128}")
_LAST_TIME: Final = 253402300799  # the end of year 9999
_ACCESS_TYPES: Final = frozenset({"bearer", "jwt", "at+jwt", "application/at+jwt"})
_ID_TOKEN_CLAIMS: Final = frozenset({"at_hash", "c_hash", "s_hash"})
_DELEGATED_SCOPES: Final = frozenset({"scope", "scp"})
_CLIENT_CLAIMS: Final = frozenset({"client_id", "azp", "appid", "cid"})


def read_principal(claims: Mapping[str, Any], trust: Trust, now_s: float) -> Principal:
    """Check the claims of a token whose signature is valid, and read the principal.

    Raises:
        Unauthenticated: The token is not valid here and now.
    """
    if claims.get("iss") != trust.issuer:
        raise WrongParties("the token comes from another issuer")
    _check_audience(claims.get(trust.audience_claim), trust)
    _check_kind(claims)
    expires_at = _check_times(claims, trust.leeway_s, now_s)
    subject = claims.get("sub")
    name = f"{trust.principal_prefix}{subject}"
    if not isinstance(subject, str) or not subject or not _SUBJECT.fullmatch(name):
        raise Unauthenticated("the token names no subject")
    return Principal(name, trust.scope_rules.translate(_read_scopes(claims, trust)), expires_at)


def _check_audience(audience: object, trust: Trust) -> None:
    audiences = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(each, str) for each in audiences) or trust.audiences.isdisjoint(audiences):
        raise WrongParties("the token is for another audience")


def _check_kind(claims: Mapping[str, Any]) -> None:
    """Require an access token, as far as an issuer's tokens can be told apart.

    An ID token of Entra ID can have ``roles`` and our audience, but neither a scope nor the client.
    """
    is_delegated = bool(_DELEGATED_SCOPES & claims.keys())
    is_other_token = (
        bool(_ID_TOKEN_CLAIMS & claims.keys())
        or str(claims.get("typ", "Bearer")).lower() not in _ACCESS_TYPES
        or claims.get("token_use", "access") != "access"
        or ("nonce" in claims and not is_delegated)
    )
    if is_other_token:
        raise WrongParties("the token is not an access token")


def _read_scopes(claims: Mapping[str, Any], trust: Trust) -> frozenset[str]:
    """Read the scopes as the issuer words them: a text with spaces between them, or a list of texts."""
    name = next((name for name in trust.scope_rules.claims if name in claims), None)
    if name is None:
        return frozenset()
    if name not in _DELEGATED_SCOPES and not _CLIENT_CLAIMS & claims.keys():
        raise WrongParties("the token has roles but names no client, so it may be an ID token")
    value = claims[name]
    words = value.split(" ") if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise Unauthenticated(f"the token's {name!r} is neither a text nor a list of texts")
    if len(words) > MAX_SCOPES:
        raise Unauthenticated(f"the token's {name!r} has more than {MAX_SCOPES} entries")
    return frozenset(words) - {""}


def _check_times(claims: Mapping[str, Any], leeway_s: int, now_s: float) -> float:
    expires_at = _read_time(claims, "exp")
    starts = [_read_time(claims, name) for name in ("nbf", "iat") if name in claims]
    if now_s >= expires_at + leeway_s:
        raise Expired("the token has expired")
    if max(starts, default=0.0) > now_s + leeway_s:
        raise NotYetValid("the token is not valid yet")
    return expires_at


def _read_time(claims: Mapping[str, Any], name: str) -> float:
    """Read a time. It may have a fraction (RFC 7519 section 2). NaN and infinity fail the comparison."""
    value: Any = claims.get(name)
    if type(value) not in (int, float) or not 0 <= value <= _LAST_TIME:
        raise Unauthenticated(f"the token's {name!r} is not a time in seconds")
    return float(value)
