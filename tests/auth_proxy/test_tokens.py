"""Which tokens are believed: a table."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from auth_proxy.tokens import Principal, Trust, VerificationKey, bearer_of, key_id_of, verify
from pleura.errors import Unauthenticated

NOW = 1_800_000_000
TRUST = Trust("https://issuer.example", "pleura", 30)
PRIVATE: dict[str, Any] = {
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "rsa": rsa.generate_private_key(65537, 2048),
    "ed": ed25519.Ed25519PrivateKey.generate(),
}
STRANGER = ec.generate_private_key(ec.SECP256R1())
KEYS = {
    name: VerificationKey(algorithm, PRIVATE[name].public_key())
    for name, algorithm in (("ec", "ES256"), ("rsa", "RS256"), ("ed", "EdDSA"))
}
CLAIMS: dict[str, Any] = {
    "iss": TRUST.issuer,
    "aud": TRUST.audience,
    "sub": "somebody",
    "scope": "radiograph:classify model:read",
    "nbf": NOW - 10,
    "iat": NOW - 10,
    "exp": NOW + 600,
}
DROP = object()


def b64(data: bytes | dict[str, Any]) -> str:
    """Write base64url without padding."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: bytes | dict[str, Any], payload: bytes | dict[str, Any], key: Any = None) -> str:
    """Sign whatever is given, valid or not, with an EC key."""
    first = f"{b64(header)}.{b64(payload)}"
    algorithm = jwt.get_algorithm_by_name("ES256")
    return f"{first}.{b64(algorithm.sign(first.encode(), key or PRIVATE['ec']))}"


def header(**changes: Any) -> dict[str, Any]:
    """A good header, changed."""
    return _changed({"alg": "ES256", "typ": "JWT", "kid": "ec"}, changes)


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims, changed."""
    return _changed(CLAIMS, changes)


def _changed(good: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (good | changes).items() if value is not DROP}


def believed(token: str, now_s: float = NOW) -> Principal:
    """Do with a token what the proxy does."""
    bearer = bearer_of(f"Bearer {token}")
    key = KEYS.get(key_id_of(bearer))
    if key is None:
        raise Unauthenticated("unknown key")
    return verify(bearer, key, TRUST, now_s)


def hmac_with_public_key() -> str:
    """Sign with HMAC, the public key being the secret (RS/HS confusion)."""
    pem = PRIVATE["rsa"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    first = f"{b64(header(alg='HS256', kid='rsa'))}.{b64(claims())}"
    return f"{first}.{b64(jwt.get_algorithm_by_name('HS256').sign(first.encode(), pem))}"


def with_signature(signature: bytes, **changes: Any) -> str:
    """A good token with another signature."""
    return f"{b64(header(**changes))}.{b64(claims())}.{b64(signature)}"


OWN_JWK = json.loads(jwt.get_algorithm_by_name("ES256").to_jwk(STRANGER.public_key()))
GOOD = signed(header(), claims())
HEADERS: dict[str, dict[str, Any]] = {
    **{
        f"alg {name!r}": {"alg": name}
        for name in ("none", "None", "NONE", "nOnE", "", None, "es256", "HS256")
    },
    **{
        f"alg {name!r}": {"alg": name}
        for name in ("HS512", "RS512", "ES384", "PS256", "ES256K", ["ES256"], 1)
    },
    "alg absent": {"alg": DROP},
    "alg of another key": {"kid": "rsa"},
    "RS256 with an EC key": {"alg": "RS256"},
    "EdDSA with an EC key": {"alg": "EdDSA"},
    "jwk embedded": {"jwk": OWN_JWK},
    "jku": {"jku": "https://evil.example/jwks.json"},
    "x5u": {"x5u": "https://evil.example/chain.pem"},
    "x5c": {"x5c": ["MIIB"]},
    "crit unknown": {"crit": ["b64"], "b64": True},
    "crit empty": {"crit": []},
    "b64 false": {"b64": False},
    "zip": {"zip": "DEF"},
    "kid absent": {"kid": DROP},
    "kid null": {"kid": None},
    "kid a path": {"kid": "../../dev/null"},
    "kid SQL": {"kid": "x' UNION SELECT 'secret"},
    "kid a URL": {"kid": "https://evil.example/key"},
    "kid a number": {"kid": 1},
    "kid a list": {"kid": ["ec"]},
    "kid empty": {"kid": ""},
    "kid long": {"kid": "e" * 4000},
    "kid with NUL": {"kid": "ec\0"},
    "typ id token": {"typ": "id+jwt"},
    "typ logout": {"typ": "logout+jwt"},
    "typ number": {"typ": 1},
}
CLAIM_CHANGES: dict[str, dict[str, Any]] = {
    **{f"{name} absent": {name: DROP} for name in ("iss", "aud", "exp", "nbf", "sub")},
    **{f"{name} null": {name: None} for name in ("iss", "aud", "exp", "nbf", "sub")},
    **{f"{name} a string": {name: str(NOW)} for name in ("exp", "nbf", "iat")},
    **{f"{name} a float": {name: NOW + 0.5} for name in ("exp", "nbf", "iat")},
    **{f"{name} huge": {name: 10**300} for name in ("exp", "nbf", "iat")},
    **{f"{name} true": {name: True} for name in ("exp", "nbf", "iat")},
    **{f"{name} negative": {name: -1} for name in ("exp", "nbf", "iat")},
    "exp an object": {"exp": {"$gt": 0}},
    "exp at the edge of the leeway": {"exp": NOW - 30},
    "nbf beyond the leeway": {"nbf": NOW + 31},
    "iat beyond the leeway": {"iat": NOW + 31},
    "iss a part": {"iss": "https://issuer.exampl"},
    "iss longer": {"iss": TRUST.issuer + ".evil.example"},
    "iss with a slash": {"iss": TRUST.issuer + "/"},
    "iss a list": {"iss": [TRUST.issuer]},
    "aud another": {"aud": "other"},
    "aud a part": {"aud": "pleur"},
    "aud longer": {"aud": "pleura2"},
    "aud of others": {"aud": ["other", "another"]},
    "aud empty": {"aud": []},
    "aud mixed": {"aud": ["pleura", 1]},
    "aud nested": {"aud": [["pleura"]]},
    "aud an object": {"aud": {"pleura": 1}},
    "sub a number": {"sub": 7},
    "sub empty": {"sub": ""},
    "sub with a line end": {"sub": "a\r\nx-pleura-principal: b"},
    "sub not ASCII": {"sub": "ärztin"},
    "sub long": {"sub": "s" * 129},
    "scope a list": {"scope": ["radiograph:classify"]},
    "ID token by nonce": {"nonce": "n"},
    "ID token by at_hash": {"at_hash": "h"},
    "ID token by typ": {"typ": "ID"},
    "ID token by token_use": {"token_use": "id"},
}
FORMS: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "two parts": lambda: GOOD.rsplit(".", 1)[0],
    "signature blank": lambda: GOOD.rsplit(".", 1)[0] + ".",
    "four parts": lambda: GOOD + ".e30",
    "five parts (JWE)": lambda: GOOD + ".e30.e30",
    "padded": lambda: GOOD + "==",
    "leading space": lambda: " " + GOOD,
    "line end": lambda: GOOD + "\n",
    "1 MB": lambda: GOOD + "A" * 2**20,
    "signature null": lambda: with_signature(b"\0" * 64),
    "signature r = s = 0 in DER": lambda: with_signature(bytes.fromhex("3006020100020100")),
    "signature r = s = n": lambda: with_signature(
        (0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551).to_bytes(32, "big") * 2
    ),
    "signature short": lambda: with_signature(b"\1" * 63),
    "signature of a stranger": lambda: signed(header(), claims(), STRANGER),
    "payload exchanged": lambda: ".".join((GOOD.split(".")[0], b64(claims(sub="admin")), GOOD.split(".")[2])),
    "HMAC with the public key": hmac_with_public_key,
    "HMAC named RS256": lambda: with_signature(b"\1" * 256, alg="RS256", kid="rsa"),
    "header a list": lambda: signed(b"[]", claims()),
    "header no JSON": lambda: signed(b"{", claims()),
    "header not UTF-8": lambda: signed(b'{"alg":"\xff"}', claims()),
    "header nested deeply": lambda: signed(b"[" * 3000, claims()),
    "header with two alg": lambda: signed(b'{"alg":"none","alg":"ES256","kid":"ec"}', claims()),
    "payload a list": lambda: signed(header(), b"[]"),
    "payload a string": lambda: signed(header(), b'"claims"'),
    "payload nested deeply": lambda: signed(header(), b'{"a":' * 900),
    "payload with NaN": lambda: signed(header(), json.dumps(claims(exp=float("nan"))).encode()),
    "payload with infinity": lambda: signed(header(), json.dumps(claims(exp=float("inf"))).encode()),
    "payload with two sub": lambda: signed(
        header(), json.dumps(claims())[:-1].encode() + b', "sub": "admin"}'
    ),
    "payload with two exp": lambda: signed(header(), json.dumps(claims())[:-1].encode() + b', "exp": 1e99}'),
    "payload of 5000 digits": lambda: signed(header(), b'{"exp": ' + b"9" * 5000 + b"}"),
}
CASES: dict[str, Callable[[], str]] = {
    **{name: lambda c=change: signed(header(**c), claims()) for name, change in HEADERS.items()},  # type: ignore[misc]
    **{
        name: lambda c=change: signed(header(), claims(**c))  # type: ignore[misc]
        for name, change in CLAIM_CHANGES.items()
    },
    **FORMS,
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_token_is_not_believed(case: str) -> None:
    """Each way of being wrong is refused, at once."""
    token = CASES[case]()
    started = time.perf_counter()
    with pytest.raises(Unauthenticated):
        believed(token)
    assert time.perf_counter() - started < 0.5


def test_the_table_is_wide() -> None:
    """The table holds at least sixty ways."""
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", KEYS)
def test_a_good_token_names_its_principal(name: str) -> None:
    """Each allowed algorithm is believed with a key of its own."""
    token = jwt.encode(claims(), PRIVATE[name], KEYS[name].algorithm, headers={"kid": name})
    expected = Principal("somebody", frozenset({"radiograph:classify", "model:read"}), NOW + 600)
    assert believed(token) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"exp": NOW - 29},
        {"nbf": NOW + 30},
        {"iat": DROP},
        {"aud": ["other", "pleura"]},
        {"typ": "Bearer"},
        {"token_use": "access"},
    ],
)
def test_what_the_standards_allow_is_believed(change: dict[str, Any]) -> None:
    """Within the leeway, with several audiences, or with an issuer's own marks, a token counts."""
    assert believed(signed(header(typ="at+jwt"), claims(**change))).name == "somebody"


def test_a_token_without_scope_allows_nothing() -> None:
    """Scopes are what the token names, not what it forgets."""
    assert believed(signed(header(), claims(scope=DROP))).scopes == frozenset()


@pytest.mark.parametrize("value", ["Basic YTpi", "Bearer", "bearer", f"Bearer  {GOOD}", GOOD, f"DPoP {GOOD}"])
def test_only_a_bearer_scheme_counts(value: str) -> None:
    """Any other ``Authorization`` is no token."""
    with pytest.raises(Unauthenticated):
        bearer_of(value)


@given(
    st.text(max_size=300)
    | st.lists(st.binary(max_size=60), min_size=3, max_size=3).map(lambda p: ".".join(map(b64, p)))
)
def test_any_text_is_a_token_or_refused(token: str) -> None:
    """No text makes anything else happen than being refused."""
    with pytest.raises(Unauthenticated):
        believed(token)
