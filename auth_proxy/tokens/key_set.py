"""Parse a JWKS document into the keys that may verify a token. The module does no input or output.

Source:
    RFC 7517 (JWK), RFC 7518 (JWA), RFC 8037 (Ed25519), RFC 8725 section 3.1 (algorithms).
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

MAX_KEYS: Final = 32
_ALGORITHMS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC P-256": ("ES256",),
    "EC P-384": ("ES384",),
    "EC P-521": ("ES512",),
    "OKP Ed25519": ("EdDSA",),
}
SUPPORTED_ALGORITHMS: Final = frozenset(name for names in _ALGORITHMS_OF.values() for name in names)
"""Every algorithm that an operator may allow. All are asymmetric."""
DEFAULT_ALGORITHMS: Final = frozenset({"RS256", "ES256", "EdDSA"})
_PUBLIC_MEMBERS: Final = ("kty", "crv", "x", "y", "n", "e")
_RSA_BITS: Final = range(2048, 8193)

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class InvalidKeySet(Exception):
    """The issuer's document holds no key that can verify a token."""


@dataclass(frozen=True)
class VerificationKey:
    """A public key of an issuer, with the only algorithms that it may verify."""

    algorithms: frozenset[str]
    key: PublicKey


Keys = Mapping[str, VerificationKey]
"""The keys of one issuer by their id."""


def parse_keys(document: bytes, allowed: Collection[str] = DEFAULT_ALGORITHMS) -> Keys:
    """Parse the keys of a JWKS document that can verify a token, and ignore everything else in it.

    Args:
        document: The JWKS document.
        allowed: The algorithms that the operator allows for this issuer.

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
        key = _parse_key(item, allowed)
        if key is not None and item["kid"] in keys:
            raise InvalidKeySet("two keys have the same id")
        if key is not None:
            keys[item["kid"]] = key
    if not keys:
        raise InvalidKeySet("the document has no usable key")
    return keys


def _parse_key(item: Mapping[str, Any], allowed: Collection[str]) -> VerificationKey | None:
    algorithms = _choose_algorithms(item, allowed)
    operations = item.get("key_ops", ["verify"])
    if not algorithms or item.get("use", "sig") != "sig":
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    public = {name: item[name] for name in _PUBLIC_MEMBERS if isinstance(item.get(name), str)}
    try:
        key = jwt.PyJWK(public, min(algorithms)).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size not in _RSA_BITS:
        return None
    return VerificationKey(algorithms, key)


def _choose_algorithms(item: Mapping[str, Any], allowed: Collection[str]) -> frozenset[str]:
    """Choose what a key may verify: the algorithm that it names, else each allowed one of its kind."""
    kind = f"{item.get('kty')} {item.get('crv', '')}".strip()
    algorithms = frozenset(_ALGORITHMS_OF.get(kind, ())).intersection(allowed)
    if "alg" not in item:
        return algorithms
    return algorithms & {item["alg"]} if isinstance(item["alg"], str) else frozenset()
