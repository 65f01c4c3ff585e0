"""Verify a bearer token with given keys. The module does no input or output.

It is stricter than the standards where they leave a choice, since every such choice has been a hole in some
program: one algorithm per key, no header parameter that names or brings a key, whole seconds, and no member
twice.

Source:
    RFC 7515 (JWS), RFC 7519 (JWT), RFC 8725 (JWT best practice), RFC 9068 (JWT access tokens).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pleura.errors import Unauthenticated

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
MAX_TOKEN_BYTES: Final = 8192
_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_SUBJECT: Final = re.compile(r"[\x21-\x7e]{1,128}")
_KEY_ID: Final = re.compile(r"[\x20-\x7e]{1,128}")
_FORBIDDEN_HEADERS: Final = frozenset({"crit", "b64", "zip", "enc", "jku", "jwk", "x5u", "x5c", "cty"})
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_ID_TOKEN_CLAIMS: Final = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})
_LAST_TIME: Final = 253402300799  # the end of year 9999
_JWS: Final = jwt.PyJWS(algorithms=ALGORITHMS)

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class NoToken(Unauthenticated):
    """The request has no bearer token."""

    reason = "missing"


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


@dataclass(frozen=True)
class VerificationKey:
    """A public key of the issuer, with the only algorithm that it may verify."""

    algorithm: str
    key: PublicKey


Keys = Mapping[str, VerificationKey]
"""The keys of the issuer by their id."""


@dataclass(frozen=True)
class Principal:
    """The subject of a token, its scopes, and when the token expires (seconds since 1970)."""

    name: str
    scopes: frozenset[str]
    expires_at: int


@dataclass(frozen=True)
class Trust:
    """The only issuer and audience that are accepted, and how far the issuer's clock may be off."""

    issuer: str
    audience: str
    leeway_s: int


def _require_unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member occurs twice")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _parse_object(part: bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(part.decode(), object_pairs_hook=_require_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Unauthenticated(f"the token's {name} is not a valid JSON object") from error
    if not isinstance(value, dict):
        raise Unauthenticated(f"the token's {name} is not a JSON object")
    return value


def parse_bearer(authorization: str) -> str:
    """Parse the token of an ``Authorization`` header.

    Raises:
        Unauthenticated: The scheme is not Bearer, or the token does not have the form of a signed JWT.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise NoToken("a bearer token is needed")
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthenticated(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
    if not _SHAPE.fullmatch(token):
        raise Unauthenticated("the token is not a signed JWT")
    return token


def read_key_id(token: str) -> str:
    """Read the id of the key from the header of a token, before the signature is verified.

    Raises:
        Unauthenticated: The header is malformed, names an algorithm that is not allowed, or has a parameter
            that we do not understand or that brings a key of its own.
    """
    header = _parse_object(_decode_part(token.partition(".")[0]), "header")
    if header.get("alg") not in ALGORITHMS:
        raise Unauthenticated("the token's algorithm is not allowed")
    forbidden = sorted(_FORBIDDEN_HEADERS & header.keys())
    if forbidden:
        raise Unauthenticated(f"the token's header must not hold {forbidden[0]!r}")
    kind, key_id = header.get("typ", "JWT"), header.get("kid")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Unauthenticated("the token has another type")
    if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
        raise Unauthenticated("the token names no key")
    return key_id


def _decode_part(part: str) -> bytes:
    try:
        return jwt.utils.base64url_decode(part)
    except ValueError as error:
        raise Unauthenticated("the token is not base64url") from error


def verify(token: str, key: VerificationKey, trust: Trust, now_s: float) -> Principal:
    """Verify the signature and the claims of a token.

    Raises:
        Unauthenticated: The token is not signed with this key, or is not valid here and now.
    """
    try:
        payload = _JWS.decode(token, key.key, algorithms=[key.algorithm])
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise WrongSignature("the token's signature is not valid") from error
    claims = _parse_object(payload, "payload")
    _check_parties(claims, trust)
    expires_at = _check_times(claims, trust.leeway_s, now_s)
    subject, scope = claims.get("sub"), claims.get("scope", "")
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        raise Unauthenticated("the token names no subject")
    if not isinstance(scope, str):
        raise Unauthenticated("the token's scope is not a string")
    return Principal(subject, frozenset(scope.split(" ")) - {""}, expires_at)


def _check_parties(claims: Mapping[str, Any], trust: Trust) -> None:
    if claims.get("iss") != trust.issuer:
        raise WrongParties("the token comes from another issuer")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(each, str) for each in audiences) or trust.audience not in audiences:
        raise WrongParties("the token is for another audience")
    is_other_token = (
        _ID_TOKEN_CLAIMS & claims.keys()
        or str(claims.get("typ", "Bearer")).lower() not in ("bearer", "jwt", "at+jwt")
        or claims.get("token_use", "access") != "access"
    )
    if is_other_token:
        raise WrongParties("the token is not an access token")


def _read_time(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 <= value <= _LAST_TIME:
        raise Unauthenticated(f"the token's {name!r} is not a time in whole seconds")
    return value


def _check_times(claims: Mapping[str, Any], leeway_s: int, now_s: float) -> int:
    expires_at, not_before = _read_time(claims, "exp"), _read_time(claims, "nbf")
    issued_at = _read_time(claims, "iat") if "iat" in claims else not_before
    if now_s >= expires_at + leeway_s:
        raise Expired("the token has expired")
    if max(not_before, issued_at) > now_s + leeway_s:
        raise NotYetValid("the token is not valid yet")
    return expires_at
