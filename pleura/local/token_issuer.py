"""A token issuer for one machine: ES256 key pairs in a folder, the tokens they sign, and their JWKS document.

In production an OIDC issuer does this. The auth proxy treats both alike.
"""

import base64
import hashlib
import json
import os
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pleura.observability.logs import configure_logging
from pleura.settings import InvalidSettings, PleuraSettings

SCOPES: Final = ("radiograph:classify", "model:read", "feedback:write", "answers:read")
"""Scopes of a token by default: all but ``answers:read_all``."""
_KEY_SUFFIX: Final = ".pem"


class IssuerSettings(PleuraSettings):
    """Everything that the local issuer reads from its environment."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    http_port: int = Field(ge=1, le=65535)
    """Port to listen on."""
    issuer_folder: Path
    """Folder of the key pairs."""


@dataclass(frozen=True)
class SigningKey:
    """A key pair of the issuer. Its id is the JWK thumbprint (RFC 7638)."""

    key_id: str
    private: ec.EllipticCurvePrivateKey

    def to_jwk(self) -> dict[str, str]:
        """Return the public key as an entry of a JWKS document."""
        return {**_public_members(self.private), "kid": self.key_id, "alg": "ES256", "use": "sig"}


def _public_members(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {"crv": "P-256", "kty": "EC", "x": _base64url(numbers.x), "y": _base64url(numbers.y)}


def _base64url(number: int) -> str:
    # always 32 bytes, leading zeros included (RFC 7518 section 6.2.1.2)
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()


def _load_key(path: Path) -> SigningKey:
    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} holds no elliptic-curve key")
    # members in the order of their names, without spaces (RFC 7638 section 3)
    thumbprint = hashlib.sha256(json.dumps(_public_members(key), separators=(",", ":")).encode()).digest()
    return SigningKey(base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode(), key)


def add_key(folder: Path) -> SigningKey:
    """Make a new key pair, readable by its owner only; it signs all later tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    # twenty digits, so that the names sort by age
    path = folder / f"{time.time_ns():020d}{_KEY_SUFFIX}"
    # the issuer's process reads the folder at any time, and must not meet half a key
    unfinished = path.with_suffix(".new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    unfinished.rename(path)
    return _load_key(path)


def load_keys(folder: Path) -> Sequence[SigningKey]:
    """Load the key pairs of a folder, the oldest first; make one if the folder has none."""
    paths = sorted(folder.glob(f"*{_KEY_SUFFIX}"))
    return [_load_key(path) for path in paths] or [add_key(folder)]


def build_jwks(folder: Path) -> dict[str, Any]:
    """Build the JWKS document of all keys of a folder."""
    return {"keys": [key.to_jwk() for key in load_keys(folder)]}


def issue_token(
    folder: Path, subject: str, scopes: Sequence[str], lifetime_s: int, audience: str, issuer: str
) -> str:
    """Sign a token with the newest key.

    Args:
        folder: Folder of the key pairs.
        subject: Principal that the token names.
        scopes: What the principal may do; see ``SCOPES``.
        lifetime_s: Seconds from now until the token expires.
        audience: Name of the service that accepts the token.
        issuer: Name of this issuer, as the service knows it.
    """
    key, now = load_keys(folder)[-1], int(time.time())
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "scope": " ".join(scopes),
        "iat": now,
        "nbf": now,
        "exp": now + lifetime_s,
        "jti": str(uuid.uuid4()),
    }
    return jwt.encode(claims, key.private, "ES256", headers={"kid": key.key_id, "typ": "at+jwt"})


def build_app(folder: Path, url: str) -> Starlette:
    """Serve the two documents of an issuer; each request reads the folder, which may have a new key."""

    async def show_keys(request: Request) -> Response:
        return JSONResponse(build_jwks(folder))

    async def show_configuration(request: Request) -> Response:
        return JSONResponse({"issuer": url, "jwks_uri": f"{url}/jwks.json"})

    return Starlette(
        routes=[
            Route("/jwks.json", show_keys),
            Route("/.well-known/openid-configuration", show_configuration),
        ]
    )


def main() -> None:
    """Serve the documents until a signal ends the process."""
    try:
        settings = IssuerSettings.read()
    except InvalidSettings as error:
        sys.exit(f"issuer: {error}")
    configure_logging("issuer")
    load_keys(settings.issuer_folder)
    url = f"http://{settings.host}:{settings.http_port}"
    app = build_app(settings.issuer_folder, url)
    uvicorn.run(app, host=settings.host, port=settings.http_port, log_config=None, access_log=False)


if __name__ == "__main__":
    main()
