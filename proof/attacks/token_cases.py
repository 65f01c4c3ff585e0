"""Tables of tokens that the proxy must refuse, and of tokens that it must accept."""

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from proof.attacks.forge import DROP, PRIVATE, STRANGER, Forge, b64, jwk
from proof.attacks.token_forms import FORMS, SIGNATURES, MakeToken
from proof.attacks.token_rights import CLASSIFY, RIGHTS

Changes = Mapping[str, Any]
EC_DER: Final = PRIVATE["ec"].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
OWN_JWK: Final = jwk(STRANGER.public_key(), "ES256", kid="ec")

# A library that trusts "none" checks no signature (RFC 8725 section 2.1).
ALGORITHMS: Final = (
    *("none", "None", "NONE", "nOnE", "none ", "", None, "es256", "HS256", "HS512", "RS512", "ES384"),
    *("PS256", "ES256K", "ES512", "Ed25519", "RSA-OAEP", "dir", ["ES256"], {"alg": "ES256"}, 1, True),
)
# A key id that is looked up can be an injection (RFC 8725 section 3.10).
KEY_IDS: Final = (
    *(
        "",
        None,
        1,
        1.5,
        True,
        ["ec"],
        {"kid": "ec"},
        "unknown",
        "EC",
        "ec ",
        " ec",
        "ec\0",
        "ec\0.pem",
        "e" * 4000,
    ),
    *(
        "../../dev/null",
        "/dev/null",
        "file:///dev/null",
        "x' UNION SELECT 'secret",
        "ec'--",
        "; cat /etc/passwd |",
    ),
    *("ec\r\nx: y", "\u0435c", "ec\u200b", "$(id)", "*", "__proto__", "jwks.json#ec"),
)
HEADERS: Final[Mapping[str, Changes]] = {
    **{f"alg {name!r}": {"alg": name} for name in ALGORITHMS},
    **{f"kid {name!r:.30}": {"kid": name} for name in KEY_IDS},
    "alg absent": {"alg": DROP},
    "kid absent": {"kid": DROP},
    "kid of another key": {"kid": "other"},
    "kid of another algorithm": {"kid": "rsa"},
    "RS256 with an EC key": {"alg": "RS256"},
    "EdDSA with an EC key": {"alg": "EdDSA"},
    # What is critical and unknown must be refused (RFC 7515 section 4.1.11).
    "crit unknown": {"crit": ["x-unknown"], "x-unknown": 1},
    "crit b64": {"crit": ["b64"], "b64": True},
    "crit empty": {"crit": []},
    "crit null": {"crit": None},
    "b64 false": {"b64": False},
    "b64 false and critical": {"b64": False, "crit": ["b64"]},
    "zip": {"zip": "DEF"},
    "enc": {"enc": "A256GCM"},
    # docs/decisions/0036: once ignored.
    "cty": {"cty": "JWT"},
    # RFC 8725 section 3.11: the type tells kinds of tokens apart.
    "typ id token": {"typ": "id+jwt"},
    "typ logout": {"typ": "logout+jwt"},
    "typ dpop": {"typ": "dpop+jwt"},
    "typ number": {"typ": 1},
    "typ list": {"typ": ["JWT"]},
}
# Whoever follows such a header trusts the attacker's key,
# or calls the attacker's server (RFC 8725 section 3.10).
EVIL_HEADERS: Final[Mapping[str, Callable[[str], Changes]]] = {
    "jwk embedded": lambda url: {"jwk": OWN_JWK},
    "jwk embedded, private": lambda url: {"jwk": jwk(STRANGER, "ES256")},
    "jku": lambda url: {"jku": f"{url}/jwks.json"},
    "jku that begins like the issuer": lambda url: {"jku": f"https://issuer.example@{url.removeprefix('http://')}"},
    "x5u": lambda url: {"x5u": f"{url}/chain.pem"},
    "x5c": lambda url: {"x5c": [base64.b64encode(EC_DER).decode()]},
    "x5t": lambda url: {"x5t": "AAAAAAAAAAAAAAAAAAAAAAAAAAA"},
    "x5t#S256": lambda url: {"x5t#S256": b64(bytes(32))},
    "kid a URL": lambda url: {"kid": f"{url}/key"},
    "kid a URL next to jku": lambda url: {"kid": f"{url}/key", "jku": url, "x5u": url},
    "iss in the header": lambda url: {"iss": url},
}  # fmt: skip
CLAIMS: Final[Mapping[str, Callable[[Forge], Changes]]] = {
    **{f"{n} absent": lambda f, n=n: {n: DROP} for n in ("iss", "aud", "exp", "sub")},  # type: ignore[misc]
    **{f"{n} null": lambda f, n=n: {n: None} for n in ("iss", "aud", "exp", "nbf", "iat", "sub", "scope")},  # type: ignore[misc]
    **{
        f"{n} {kind}": lambda f, n=n, of=of: {n: of(f)}  # type: ignore[misc]
        for n in ("exp", "nbf", "iat")
        for kind, of in {
            "a string": lambda f: str(f.now_s),
            "a text with a fraction": lambda f: f"{f.now_s}.5",
            "huge": lambda f: 10**300,
            "a huge fraction": lambda f: 1.5e300,
            "beyond 9999": lambda f: 253402300800,
            "a fraction beyond 9999": lambda f: 253402300799.5,
            "a negative fraction": lambda f: -0.5,
            "not a number": lambda f: float("nan"),
            "infinity": lambda f: float("inf"),
            "minus infinity": lambda f: float("-inf"),
            "true": lambda f: True,
            "negative": lambda f: -1,
            "an object": lambda f: {"$gt": 0},
            "a list": lambda f: [f.now_s],
        }.items()
    },
    "exp at the edge of the leeway": lambda f: {"exp": f.now_s - 30},
    "exp long ago": lambda f: {"exp": 0},
    "exp a fraction before the edge": lambda f: {"exp": f.now_s - 30.5},
    "nbf a fraction beyond the leeway": lambda f: {"nbf": f.now_s + 30.5 + f.slack_s},
    "iat a fraction beyond the leeway": lambda f: {"iat": f.now_s + 30.5 + f.slack_s},
    "iat beyond the leeway, nbf absent": lambda f: {"nbf": DROP, "iat": f.now_s + 31 + f.slack_s},
    "nbf beyond the leeway": lambda f: {"nbf": f.now_s + 31 + f.slack_s},
    "iat beyond the leeway": lambda f: {"iat": f.now_s + 31 + f.slack_s},
    # An issuer must be equal, and not only begin or end alike.
    "iss a part": lambda f: {"iss": f.issuer[:-1]},
    "iss longer": lambda f: {"iss": f.issuer + ".evil.example"},
    "iss with a slash": lambda f: {"iss": f.issuer + "/"},
    "iss in capitals": lambda f: {"iss": f.issuer.upper()},
    "iss with a space": lambda f: {"iss": f.issuer + " "},
    "iss a list": lambda f: {"iss": [f.issuer]},
    "iss an object": lambda f: {"iss": {f.issuer: f.issuer}},
    "iss empty": lambda f: {"iss": ""},
    "aud another": lambda f: {"aud": "other"},
    "aud a part": lambda f: {"aud": f.audience[:-1]},
    "aud longer": lambda f: {"aud": f.audience + "2"},
    "aud in capitals": lambda f: {"aud": f.audience.upper()},
    "aud of others": lambda f: {"aud": ["other", "another"]},
    "aud joined": lambda f: {"aud": f"other {f.audience}"},
    "aud empty": lambda f: {"aud": []},
    "aud mixed": lambda f: {"aud": [f.audience, 1]},
    "aud nested": lambda f: {"aud": [[f.audience]]},
    "aud an object": lambda f: {"aud": {f.audience: 1}},
    "aud a pattern": lambda f: {"aud": "*"},
    "sub a number": lambda f: {"sub": 7},
    "sub empty": lambda f: {"sub": ""},
    # The principal becomes a header: a line end would begin another header.
    "sub with a line end": lambda f: {"sub": "a\r\nx-pleura-principal: b"},
    "sub with NUL": lambda f: {"sub": "a\0"},
    "sub not ASCII": lambda f: {"sub": "ärztin"},
    "sub long": lambda f: {"sub": "s" * 129},
    # Scopes are case-sensitive (RFC 6749 section 3.3).
    "scope in capitals": lambda f: {"scope": "RADIOGRAPH:CLASSIFY"},
    "scope a pattern": lambda f: {"scope": "radiograph:* *"},
    "scope with commas": lambda f: {"scope": "radiograph:classify,model:read"},
    "scope with a tab": lambda f: {"scope": "a\tradiograph:classify"},
    # An ID token tells who somebody is, and gives no access (RFC 8725 section 3.12).
    "ID token by nonce": lambda f: {"nonce": "n", "scope": DROP, "roles": CLASSIFY, "azp": "app"},
    "ID token by at_hash": lambda f: {"at_hash": "h"},
    "ID token by typ": lambda f: {"typ": "ID"},
    "ID token by token_use": lambda f: {"token_use": "id"},
    "ID token by its lack of a scope": lambda f: {"scope": DROP, "email": "a@b.c"},
    # A refresh token is for the issuer only.
    "refresh token by typ": lambda f: {"typ": "Refresh"},
    "refresh token by token_use": lambda f: {"token_use": "refresh"},
    "offline token": lambda f: {"typ": "Offline"},
    **{name: lambda f, c=changes: c for name, changes in RIGHTS.items()},  # type: ignore[misc]
}  # fmt: skip


REFUSED: Final[Mapping[str, MakeToken]] = {
    **{name: lambda f, c=change: f.with_header(**c) for name, change in HEADERS.items()},  # type: ignore[misc]
    **{
        f"{name}, of a stranger": lambda f, of=change: f.by_stranger(**of(f.evil_url))  # type: ignore[misc]
        for name, change in EVIL_HEADERS.items()
    },
    **{
        f"{name}, of the issuer": lambda f, of=change: f.with_header(**of(f.evil_url))  # type: ignore[misc]
        for name, change in EVIL_HEADERS.items()
        if name.startswith(("jwk", "jku", "x5u", "x5c", "kid"))
    },
    **{name: lambda f, of=change: f.with_claims(**of(f)) for name, change in CLAIMS.items()},  # type: ignore[misc]
    **{f"signature: {name}": make for name, make in SIGNATURES.items()},
    **FORMS,
}
"""Tokens that the proxy must refuse."""
ACCEPTED: Final[Mapping[str, MakeToken]] = {
    **{f"of the key {name!r}": lambda f, n=name: f.good(n) for name in ("ec", "rsa", "ed", "other")},  # type: ignore[misc]
    "exp just within the leeway": lambda f: f.good(exp=f.now_s - 29 + f.slack_s),
    "nbf just within the leeway": lambda f: f.good(nbf=f.now_s + 30),
    "iat absent": lambda f: f.good(iat=DROP),
    "nbf absent": lambda f: f.good(nbf=DROP),
    "nbf and iat absent": lambda f: f.good(nbf=DROP, iat=DROP),
    "times with a fraction": lambda f: f.good(exp=f.now_s + 60.5, nbf=f.now_s - 0.5, iat=f.now_s - 0.25),
    "times as whole floats": lambda f: f.good(exp=f.now_s + 60.0, nbf=float(f.now_s), iat=float(f.now_s)),
    "scope a list": lambda f: f.good(scope=["model:read", *CLASSIFY]),
    "scope of 256 words": lambda f: f.good(scope=[*CLASSIFY, *map(str, range(255))]),
    "scp a text": lambda f: f.good(scope=DROP, scp="model:read radiograph:classify"),
    "scp a list": lambda f: f.good(scope=DROP, scp=CLASSIFY),
    "roles of an application": lambda f: f.good(scope=DROP, roles=CLASSIFY, azp="app"),
    "permissions of a client": lambda f: f.good(scope=DROP, permissions=CLASSIFY, azp="app"),
    "nonce next to a scope": lambda f: f.good(nonce="n", azp="app"),
    "typ absent": lambda f: f.with_header(typ=DROP),
    "among other audiences": lambda f: f.good(aud=["other", f.audience]),
    "with claims of its issuer": lambda f: f.good(typ="Bearer", token_use="access", azp="app"),
    # The type of access tokens (RFC 9068 section 2.1).
    "at+jwt": lambda f: f.with_header(typ="at+jwt"),
    "application/at+jwt": lambda f: f.with_header(typ="application/at+jwt"),
    "x5t next to kid": lambda f: f.with_header(x5t="AAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    "8 KB": lambda f: f.with_claims(padding="p" * 5500),
}
"""Tokens that the standards allow and that issuers issue."""
