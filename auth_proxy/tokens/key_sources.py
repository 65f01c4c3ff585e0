"""Fetch an issuer's key document by HTTP: from a given address, or from the one that the issuer publishes.

Source:
    OpenID Connect Discovery 1.0, sections 4.1 to 4.3.
"""

import json
import ssl
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import httpx

from auth_proxy.tokens.key_set import InvalidKeySet

MAX_DOCUMENT_BYTES: Final = 65536
FETCH_TIMEOUT_S: Final = 3.0
_FETCH_HEADERS: Final = {"accept": "application/json", "accept-encoding": "identity"}
_DISCOVERY_PATH: Final = "/.well-known/openid-configuration"


class KeySource(Protocol):
    """Fetches the issuer's JWKS document."""

    async def fetch(self) -> bytes:
        """Fetch the document."""


class HttpKeySource:
    """Fetches the JWKS document from a given address."""

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        self._url, self._tls = url, tls or build_tls()

    async def fetch(self) -> bytes:
        """Fetch the document.

        Raises:
            httpx.HTTPError: The issuer does not answer with 200.
            InvalidKeySet: The document is too large.
        """
        return await _fetch(self._url, self._tls)


class DiscoveredKeySource:
    """Fetches the JWKS document from the address that the issuer publishes.

    It asks for the address each time, so that the issuer may move its keys.
    """

    def __init__(self, issuer: str, tls: ssl.SSLContext | None = None) -> None:
        self._issuer, self._tls = issuer, tls or build_tls()

    async def fetch(self) -> bytes:
        """Fetch the configuration of the issuer, and then its keys.

        Raises:
            httpx.HTTPError: The issuer does not answer with 200.
            InvalidKeySet: A document is too large, or the configuration names no address that we trust.
        """
        configuration = await _fetch(self._issuer.rstrip("/") + _DISCOVERY_PATH, self._tls)
        return await _fetch(parse_jwks_uri(configuration, self._issuer), self._tls)


def parse_jwks_uri(configuration: bytes, issuer: str) -> str:
    """Parse the address of the keys from the configuration document of an issuer.

    Raises:
        InvalidKeySet: The document is malformed, or names another issuer. Or the address of the keys is not a
            plain ``http`` or ``https`` address, or it is ``http`` while the issuer's address is ``https``.
    """
    try:
        members: Any = json.loads(configuration)
        named, address = members["issuer"], members["jwks_uri"]
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise InvalidKeySet("the document is not an OpenID configuration") from error
    if named != issuer:
        raise InvalidKeySet("the OpenID configuration names another issuer")
    schemes = ("https",) if issuer.startswith("https:") else ("http", "https")
    if not isinstance(address, str) or parts.scheme not in schemes or not host or "@" in parts.netloc:
        raise InvalidKeySet("the OpenID configuration names no address that can be trusted")
    return address


def build_tls(ca_file: Path | None = None) -> ssl.SSLContext:
    """Load the public certificate authorities, and those of a file. To read them blocks the event loop.

    Raises:
        OSError: The file cannot be read, or holds no certificate.
    """
    tls = httpx.create_ssl_context(trust_env=False)
    if ca_file is not None:
        tls.load_verify_locations(ca_file)
    return tls


async def _fetch(url: str, tls: ssl.SSLContext) -> bytes:
    """Fetch a document: no redirects, no proxies from the environment, a limited size."""
    async with (
        httpx.AsyncClient(timeout=FETCH_TIMEOUT_S, trust_env=False, verify=tls) as client,
        client.stream("GET", url, headers=_FETCH_HEADERS) as response,
    ):
        if response.status_code != httpx.codes.OK:
            raise httpx.HTTPError(f"the issuer answers {response.status_code}")
        document = b""
        async for chunk in response.aiter_raw():
            document += chunk
            if len(document) > MAX_DOCUMENT_BYTES:
                raise InvalidKeySet(f"the document exceeds {MAX_DOCUMENT_BYTES} bytes")
        return document
