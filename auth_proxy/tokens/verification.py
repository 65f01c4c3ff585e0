"""Verify a bearer token with given keys. The module does no input or output.

It is stricter than the standards where they leave a choice, since every such choice has been a hole in some
program: the key decides the algorithm, no header parameter names or brings a key, and no member comes twice.

Source:
    RFC 7515 (JWS), RFC 7519 (JWT), RFC 8725 (JWT best practice), RFC 9068 (JWT access tokens).
"""

import re
from typing import Any, Final

import jwt

from auth_proxy.tokens.claims import read_principal
from auth_proxy.tokens.errors import NoToken, WrongParties, WrongSignature
from auth_proxy.tokens.key_set import SUPPORTED_ALGORITHMS, VerificationKey
from auth_proxy.tokens.trust import Principal, Trust
from pleura.errors import Unauthenticated
from pleura.strict_json import parse_strict_json

MAX_TOKEN_BYTES: Final = 8192
_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_KEY_ID: Final = re.compile(r"[\x20-\x7e]{1,128}")
_FORBIDDEN_HEADERS: Final = frozenset({"crit", "b64", "zip", "enc", "jku", "jwk", "x5u", "x5c", "cty"})
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_JWS: Final = jwt.PyJWS(algorithms=sorted(SUPPORTED_ALGORITHMS))


def parse_bearer(authorization: str) -> str:
    """Parse the token of an ``Authorization`` header.

    Raises:
        Unauthenticated: The scheme is not Bearer, or the token does not have the form of a signed JWT.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise NoToken(_explain_scheme(authorization))
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthenticated(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
    if not _SHAPE.fullmatch(token):
        raise Unauthenticated("the token is not a signed JWT")
    return token


def _explain_scheme(authorization: str) -> str:
    if authorization.lower().startswith("basic "):
        return "a bearer token is needed: user names and passwords are not read"
    return "a bearer token is needed: write Bearer and a space before the token"


def read_key_id(token: str, algorithms: frozenset[str] = SUPPORTED_ALGORITHMS) -> str:
    """Read the id of the key from the header of a token, before the signature is verified.

    Raises:
        Unauthenticated: The header is malformed, names an algorithm that is not allowed, or has a parameter
            that we do not understand or that brings a key of its own.
    """
    header = _parse_object(_decode_part(token.partition(".")[0]), "header")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
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


def read_issuer(token: str) -> str:
    """Read the issuer that a token names, before the signature is verified.

    It only selects the keys: ``verify`` requires that the signed claims name the issuer of these keys.

    Raises:
        Unauthenticated: The payload is malformed, or names no issuer.
    """
    issuer = _parse_object(_decode_part(token.split(".")[1]), "payload").get("iss")
    if not isinstance(issuer, str):
        raise WrongParties("the token names no issuer")
    return issuer


def verify(token: str, key: VerificationKey, trust: Trust, now_s: float) -> Principal:
    """Verify the signature and the claims of a token.

    Raises:
        Unauthenticated: The token is not signed with this key, or is not valid here and now.
    """
    try:
        payload = _JWS.decode(token, key.key, algorithms=sorted(key.algorithms))
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise WrongSignature("the token's signature is not valid") from error
    return read_principal(_parse_object(payload, "payload"), trust, now_s)


def _decode_part(part: str) -> bytes:
    try:
        return jwt.utils.base64url_decode(part)
    except ValueError as error:
        raise Unauthenticated("the token is not base64url") from error


def _parse_object(part: bytes, name: str) -> dict[str, Any]:
    try:
        value = parse_strict_json(part)
    except ValueError as error:
        raise Unauthenticated(f"the token's {name} is not a valid JSON object") from error
    if not isinstance(value, dict):
        raise Unauthenticated(f"the token's {name} is not a JSON object")
    return value
