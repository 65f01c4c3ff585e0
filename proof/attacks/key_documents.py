"""Tables of bad answers of an issuer, and of keys that must be ignored."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from auth_proxy.tokens.key_set import MAX_KEYS
from auth_proxy.tokens.key_sources import MAX_DOCUMENT_BYTES
from proof.attacks.forge import PRIVATE, SECRET, b64, jwk
from proof.lab.recorder import ok_response

Send = Callable[[str], Iterator[bytes]]
"""Yields the bytes of an answer, given the URL of a server that no program should call."""
EC: Final = jwk(PRIVATE["ec"].public_key(), "ES256", kid="ec")
RSA: Final = jwk(PRIVATE["rsa"].public_key(), "RS256", kid="rsa")
_SMALL_RSA: Final = rsa.generate_private_key(65537, 1024)


def document(*keys: object, **members: object) -> bytes:
    """Build a JWKS document."""
    return json.dumps({"keys": keys, **members}).encode()


def _send_redirect(status: str) -> Send:
    return lambda url: iter(
        [f"HTTP/1.1 {status}\r\nlocation: {url}/jwks.json\r\ncontent-length: 0\r\n\r\n".encode()]
    )


def _send_endlessly(head: bytes, part: bytes) -> Iterator[bytes]:
    yield head
    while True:
        yield part


def _drip(text: bytes) -> Iterator[bytes]:
    for byte in text:
        yield bytes([byte])
        time.sleep(0.2)


def _hang(head: bytes) -> Iterator[bytes]:
    yield head
    time.sleep(5)


_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
_GOOD: Final = document(EC, RSA)
_CHUNKED: Final = b"transfer-encoding: chunked\r\n\r\n"
_GZIP: Final = b"content-encoding: gzip\r\n"
_LENGTH: Final = b"content-length: %d\r\n\r\n"
SLOW: Final[Mapping[str, Send]] = {
    "hangs before its head": lambda url: _hang(b"H"),
    "hangs in its body": lambda url: _hang(_HEAD + _LENGTH % len(_GOOD) + _GOOD[:-1]),
    "a byte at a time": lambda url: _drip(ok_response(_GOOD)),
    "an endless head": lambda url: _send_endlessly(_HEAD, b"x: " + b"y" * 1000 + b"\r\n"),
    "endless hints": lambda url: _send_endlessly(b"", b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n"),
}
"""Answers that take too long."""
USELESS: Final[Mapping[str, Send]] = {
    **{f"redirect {status}": _send_redirect(f"{status} Go") for status in (301, 302, 303, 307, 308)},
    **{
        f"status {status}": lambda url, s=status: iter([ok_response(_GOOD).replace(b"200 OK", b"%d So" % s)])  # type: ignore[misc]
        for status in (201, 203, 206, 304, 401, 404, 429, 500, 503)
    },
    **{
        f"document {content[:40]!r}": lambda url, c=content: iter([ok_response(c)])  # type: ignore[misc]
        for content in (
            *(b"", b"{", b"[]", b"{}", b"null", b"true", b"1", b'"keys"', b"<html>", b"\xff\xfe"),
            *(b"\0" * 100, b"[" * 60_000, b'{"keys":' * 7_000, b'{"keys": {}}', b'{"keys": null}'),
            *(b'{"keys": "ec"}', _GOOD[:-1], b'{"keys": [' + b"1" * 5000 + b"]}", b'{"keys": []}'),
            *(b'{"Keys": [1]}', b'{"keys": [[[]]]}'),
        )
    },
    # Which of the two verifies a token would depend on their order.
    "two keys of one id": lambda url: iter([ok_response(document(EC, RSA | {"kid": "ec"}))]),
    "the same key twice": lambda url: iter([ok_response(document(EC, EC))]),
    "a thousand keys": lambda url: iter([ok_response(document(*({"kid": str(n)} for n in range(1000))))]),
    "a key too many": lambda url: iter([ok_response(document(EC, *[{}] * MAX_KEYS))]),
    "too long": lambda url: iter([ok_response(document(EC, padding="p" * MAX_DOCUMENT_BYTES))]),
    "endless": lambda url: _send_endlessly(_HEAD + b"\r\n", b" " * 65536),
    "endless in chunks": lambda url: _send_endlessly(_HEAD + _CHUNKED, b"1000\r\n" + b" " * 4096 + b"\r\n"),
    "a length of a terabyte": lambda url: _send_endlessly(_HEAD + _LENGTH % 10**12, b" " * 65536),
    "cut": lambda url: iter([_HEAD + _LENGTH % (len(_GOOD) + 1) + _GOOD]),
    "compressed, as it says": lambda url: iter([_HEAD + _GZIP + _LENGTH % 4 + b"\x1f\x8b\x08\0"]),
    "no HTTP": lambda url: iter([b"SSH-2.0-OpenSSH\r\n\r\n"]),
    "HTTP/2": lambda url: iter([b"\0\0\x12\x04\0\0\0\0\0"]),
    "two lengths": lambda url: iter([_HEAD + b"content-length: 1\r\n" + _LENGTH % len(_GOOD) + _GOOD]),
    "nothing": lambda url: iter([]),
}  # fmt: skip
"""Answers after which the old keys stay."""


def _ec(**members: Any) -> dict[str, Any]:
    return EC | {"kid": "odd"} | members


def _rsa(**members: Any) -> dict[str, Any]:
    return RSA | {"kid": "odd"} | members


ODD_KEYS: Final[Mapping[str, object]] = {
    # Whoever reads the document could sign with it.
    "a shared secret": {"kty": "oct", "k": b64(SECRET), "kid": "odd", "alg": "HS256"},
    "a shared secret named EC": {"kty": "oct", "k": b64(SECRET), "kid": "odd", "alg": "ES256"},
    # RFC 7517 sections 4.2 and 4.3: such a key is not for verification.
    "for encryption": _rsa(use="enc"),
    "for encryption, by its operations": _rsa(key_ops=["encrypt"]),
    "for signing only": _ec(key_ops=["sign"]),
    "operations no list": _ec(key_ops="verify"),
    "another algorithm": _rsa(alg="PS256"),
    "an algorithm of secrets": _rsa(alg="HS256"),
    "no algorithm": _ec(alg="none"),
    "algorithm a list": _ec(alg=["ES256"]),
    "kind in small letters": _ec(kty="ec"),
    "kind a list": _ec(kty=["EC"]),
    "another curve": jwk(PRIVATE["p384"].public_key(), "ES384", kid="odd"),
    "another curve named P-256": jwk(PRIVATE["p384"].public_key(), "ES384", kid="odd") | {"crv": "P-256"},
    "a point not on the curve": _ec(x=b64(bytes(31) + b"\1"), y=b64(bytes(31) + b"\1")),
    "the point at infinity": _ec(x=b64(bytes(32)), y=b64(bytes(32))),
    "coordinates numbers": _ec(x=1, y=2),
    # A coordinate has its full length (RFC 7518 section 6.2.1.2).
    "coordinates cut": _ec(x=EC["x"][:-4]),
    "coordinates no base64": _ec(x="!" * 43),
    "no coordinates": {"kty": "EC", "crv": "P-256", "kid": "odd"},
    # RS256 needs 2048 bits or more (RFC 7518 section 3.3).
    "RSA of 1024 bits": jwk(_SMALL_RSA.public_key(), "RS256", kid="odd"),
    "RSA of 16384 bits": _rsa(n=b64(b"\xff" * 2048)),
    # With exponent 1 anybody can make a signature: it is the padded digest itself.
    "RSA with exponent 1": _rsa(e="AQ"),
    "RSA with an even exponent": _rsa(e="Ag"),
    "RSA with modulus 0": _rsa(n="AA"),
    "RSA without a modulus": {"kty": "RSA", "e": "AQAB", "kid": "odd"},
    "Ed25519 cut": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": "odd"},
    "X25519": {"kty": "OKP", "crv": "X25519", "x": b64(bytes(32)), "kid": "odd"},
    "id a number": _ec(kid=1),
    "id null": _ec(kid=None),
    "no id": {name: value for name, value in EC.items() if name != "kid"},
    "no object": "odd",
    "a list": [EC],
    "null": None,
}
"""Keys that are ignored, while good keys of the same document count."""
