"""A table of OpenID configuration documents that name no address of keys that can be trusted."""

import json
from collections.abc import Mapping
from typing import Final

ISSUER: Final = "https://issuer.example/realm"
GOOD: Final = {"issuer": ISSUER, "jwks_uri": "https://keys.example/jwks.json"}
_ADDRESSES: Final[Mapping[str, object]] = {
    "http for an https issuer": "http://issuer.example/jwks.json",
    "file": "file:///etc/passwd",
    "ftp": "ftp://issuer.example/jwks.json",
    "data": "data:application/json,{}",
    "a path": "/jwks.json",
    "without a scheme": "issuer.example/jwks.json",
    "with slashes only": "//issuer.example/jwks.json",
    "without a host": "https:///jwks.json",
    # To the eye the host is the issuer; to a client it is what follows the @.
    "with a user": "https://issuer.example@evil.example/jwks.json",
    "with a user and a secret": "https://a:b@evil.example/jwks.json",
    "with a port that is not a number": "https://issuer.example:x/jwks.json",
    "with a port out of range": "https://issuer.example:99999/jwks.json",
    # Python's URL parser raises ValueError here.
    "with half an address": "https://[::1/jwks.json",
    "empty": "",
    "a number": 1,
    "null": None,
    "a list": ["https://issuer.example/jwks.json"],
    "an object": {"href": "https://issuer.example/jwks.json"},
}
_ISSUERS: Final[Mapping[str, object]] = {
    "another": "https://evil.example",
    "with a slash": f"{ISSUER}/",
    "cut": ISSUER[:-1],
    "longer": f"{ISSUER}2",
    "in capitals": ISSUER.upper(),
    "http": ISSUER.replace("https", "http"),
    # Entra ID answers so for its common endpoint.
    "a template": "https://issuer.example/{tenantid}",
    "a list": [ISSUER],
    "null": None,
    "empty": "",
}
REFUSED: Final[Mapping[str, bytes]] = {
    **{
        f"address {name}": json.dumps({**GOOD, "jwks_uri": value}).encode()
        for name, value in _ADDRESSES.items()
    },
    **{f"issuer {name}": json.dumps({**GOOD, "issuer": value}).encode() for name, value in _ISSUERS.items()},
    "without an issuer": json.dumps({"jwks_uri": GOOD["jwks_uri"]}).encode(),
    "without an address": json.dumps({"issuer": ISSUER}).encode(),
    "a list of pairs": json.dumps([["issuer", ISSUER], ["jwks_uri", GOOD["jwks_uri"]]]).encode(),
    "nested": json.dumps({"configuration": GOOD}).encode(),
    "a text": json.dumps("issuer jwks_uri").encode(),
    "null": b"null",
    "HTML": b"<html>",
    "nothing": b"",
    "not UTF-8": b"\xff\xfe\xfa",
    # Python's JSON parser raises RecursionError, which is not a ValueError.
    "nested deeply": b"[" * 60_000,
}
"""Documents for the issuer ``ISSUER``. Each one must be refused."""
