"""Tables of tokens with a bad signature or a bad form."""

import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from proof.attacks.forge import DROP, PRIVATE, RSA_STRANGER, SECRET, STRANGER, Forge, b64, jwk

MakeToken = Callable[[Forge], str]
N_P256: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
RSA_PUBLIC: Final = PRIVATE["rsa"].public_key()
PEM: Final = RSA_PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
MODULUS: Final = RSA_PUBLIC.public_numbers().n.to_bytes(256, "big")
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _split(token: str) -> list[str]:
    return token.split(".")


def _replace_signature(token: str, signature: str) -> str:
    return token.rpartition(".")[0] + "." + signature


def _sign_payload(f: Forge, text: str) -> str:
    return f.signed(payload=text.encode())


def _append_members(f: Forge, members: str, **changes: Any) -> str:
    return _sign_payload(f, json.dumps(f.claims(**changes))[:-1] + f", {members}}}")


def _replace_part(token: str, position: int, document: object) -> str:
    parts = _split(token)
    parts[position] = b64(document)
    return ".".join(parts)


def _make_jwe(header: dict[str, Any]) -> str:
    return ".".join([b64(header), *["AAAA"] * 4])


def _make_der_signature(f: Forge) -> str:
    token = f.good()
    first = token.rpartition(".")[0]
    raw = jwt.utils.base64url_decode(_split(token)[2])
    return f"{first}.{b64(jwt.utils.raw_to_der_signature(raw, STRANGER.curve))}"


def _set_unused_bits(part: str) -> str:
    """Encode the same bytes in base64url with the unused bits set."""
    assert len(part) % 4, "this part has no such bits"
    return part[:-1] + _ALPHABET[_ALPHABET.index(part[-1]) + 1]


def _pad_claims(f: Forge, remainder: int) -> str:
    """MakeToken a good token whose payload has unused bits. Spaces at its end change nothing."""
    text = json.dumps(f.claims()).encode()
    return f.signed(payload=text + b" " * ((remainder - len(text)) % 3))


def _respell_payload(f: Forge) -> str:
    head, payload, _ = _split(_pad_claims(f, 1))
    first = f"{head}.{_set_unused_bits(payload)}"
    return f"{first}.{b64(jwt.get_algorithm_by_name('ES256').sign(first.encode(), PRIVATE['ec']))}"


def _respell_signature(f: Forge) -> str:
    token = f.good()
    return _replace_signature(token, _set_unused_bits(_split(token)[2]))


def _nest(f: Forge, **header: Any) -> str:
    return f.signed(f.header(**header), f.good().encode())


def _serialise_as_json(f: Forge) -> str:
    head, payload, signature = _split(f.good())
    return json.dumps({"payload": payload, "protected": head, "signature": signature})


def _make_bomb(f: Forge) -> str:
    return f.signed(f.header(zip="DEF", cty="JWT"), zlib.compress(bytes(4_000_000))[2:-4])


def _sign_with_small_order(f: Forge, point: bytes) -> str:
    return f.with_signature(point + bytes(32), alg="EdDSA", kid="ed")


SIGNATURES: Final[Mapping[str, MakeToken]] = {
    **{
        # A verifier that believes the token's algorithm takes the public key for the secret of an HMAC.
        f"HMAC with {what}": lambda f, s=secret: f.with_secret(s)  # type: ignore[misc]
        for what, secret in {
            "the public key's PEM": PEM,
            "the PEM without its last line end": PEM.strip(),
            "the public key's DER": RSA_PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            "PKCS 1": RSA_PUBLIC.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
            "the JWK": json.dumps(jwk(RSA_PUBLIC, "RS256", kid="rsa")).encode(),
            "the modulus": MODULUS,
            "the modulus in base64url": b64(MODULUS).encode(),
            "nothing": b"",
        }.items()
    },
    "HMAC named RS256": lambda f: f.with_secret(PEM, algorithm="RS256"),
    "HMAC named ES256": lambda f: f.with_secret(PEM, "ec", "ES256"),
    # The issuer's document has an "oct" key, which must not verify anything.
    "HMAC with a published secret": lambda f: f.with_secret(SECRET, "secret"),
    "HMAC with a published secret, named ES256": lambda f: f.with_secret(SECRET, "secret", "ES256"),
    "RS256 by ECDSA": lambda f: f.signed(f.header(alg="RS256", kid="rsa")),
    "ES256 by RSA": lambda f: f.signed(f.header(), f.claims(), PRIVATE["rsa"], "RS256"),
    "EdDSA by ECDSA": lambda f: f.signed(f.header(alg="EdDSA", kid="ed")),
    # A key for encryption must not verify (RFC 7517 section 4.2).
    "RS256 by an encryption key": lambda f: f.signed(
        f.header(alg="RS256", kid="encryption"), f.claims(), PRIVATE["encryption"], "RS256"
    ),
    "ES384": lambda f: f.signed(f.header(alg="ES384", kid="p384"), f.claims(), PRIVATE["p384"], "ES384"),
    "PS256": lambda f: f.signed(f.header(alg="PS256", kid="rsa"), f.claims(), PRIVATE["rsa"], "PS256"),
    "RS512": lambda f: f.signed(f.header(alg="RS512", kid="rsa"), f.claims(), PRIVATE["rsa"], "RS512"),
    "PS256 named RS256": lambda f: f.signed(f.header(alg="RS256", kid="rsa"), None, PRIVATE["rsa"], "PS256"),
    # A token is verified with the key that it names, and with no other.
    "of another key of the issuer": lambda f: f.signed(key=PRIVATE["other"]),
    "of a stranger": lambda f: f.by_stranger(),
    "of a stranger, RSA": lambda f: f.signed(f.header(alg="RS256", kid="rsa"), None, RSA_STRANGER, "RS256"),
    "absent": lambda f: f.good().rpartition(".")[0],
    "blank": lambda f: _replace_signature(f.good(), ""),
    "a space": lambda f: _replace_signature(f.good(), " "),
    "the word null": lambda f: _replace_signature(f.good(), "null"),
    "all zero": lambda f: f.with_signature(bytes(64)),
    # Java accepted r = s = 0 for any message (CVE-2022-21449).
    "psychic, in DER": lambda f: f.with_signature(bytes.fromhex("3006020100020100")),
    "r = s = n": lambda f: f.with_signature(N_P256.to_bytes(32, "big") * 2),
    "r = 0": lambda f: f.with_signature(bytes(32) + (1).to_bytes(32, "big")),
    "s = n": lambda f: f.with_signature((1).to_bytes(32, "big") + N_P256.to_bytes(32, "big")),
    # JWS wants r and s one after the other (RFC 7518 section 3.4): a signature has one spelling only.
    "good, in DER": _make_der_signature,
    "good, cut": lambda f: f.good()[:-4],
    "good, extended": lambda f: f.good() + "AAAA",
    "63 bytes": lambda f: f.with_signature(b"\1" * 63),
    "RSA, all zero": lambda f: f.with_signature(bytes(256), alg="RS256", kid="rsa"),
    "RSA, one": lambda f: f.with_signature((1).to_bytes(256, "big"), alg="RS256", kid="rsa"),
    "RSA, the modulus": lambda f: f.with_signature(MODULUS, alg="RS256", kid="rsa"),
    "Ed25519, the neutral point": lambda f: _sign_with_small_order(f, (1).to_bytes(32, "little")),
    "Ed25519, order two": lambda f: _sign_with_small_order(f, (2**255 - 20).to_bytes(32, "little")),
    "Ed25519, order four": lambda f: _sign_with_small_order(f, bytes(32)),
    "Ed25519, all ones": lambda f: f.with_signature(b"\xff" * 64, alg="EdDSA", kid="ed"),
    "of another token": lambda f: _replace_signature(f.good(), _split(f.good(jti="2"))[2]),
}
FORMS: Final[Mapping[str, MakeToken]] = {
    "empty": lambda f: "",
    "two parts": lambda f: f.good().rpartition(".")[0],
    "no signature, alg none": lambda f: f"{b64(f.header(alg='none'))}.{b64(f.claims())}.",
    "no signature, alg none, no dot": lambda f: f"{b64(f.header(alg='none'))}.{b64(f.claims())}",
    "alg none with a signature": lambda f: f.with_header(alg="none"),
    "four parts": lambda f: f.good() + ".e30",
    "JWE": lambda f: f.good() + ".e30.e30",
    # Encrypted tokens have five parts, and say nothing about who made them.
    "JWE by its header": lambda f: _make_jwe({"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "rsa"}),
    "JSON serialisation": _serialise_as_json,
    "detached payload": lambda f: "..".join(_split(f.good())[::2]),
    "nested": lambda f: _nest(f),
    "nested, cty": lambda f: _nest(f, cty="JWT"),
    # "zip" is for encrypted tokens (RFC 7516): a signed one must not be unpacked.
    "zip bomb": _make_bomb,
    "payload exchanged": lambda f: _replace_part(f.good(), 1, f.claims(sub="admin")),
    "header exchanged": lambda f: _replace_part(f.good(), 0, f.header(typ="at+jwt")),
    "padded": lambda f: f.good() + "==",
    "each part padded": lambda f: ".".join(p + "=" * (-len(p) % 4) for p in _split(f.good())),
    "space within": lambda f: f.good().replace(".", " .", 1),
    "leading space": lambda f: " " + f.good(),
    "line end": lambda f: f.good() + "\n",
    "line end within": lambda f: f.good().replace(".", ".\r\n ", 1),
    "tab within": lambda f: f.good().replace(".", ".\t", 1),
    "NUL within": lambda f: f.good().replace(".", ".\0", 1),
    "NUL behind": lambda f: f.good() + "\0",
    "not ASCII behind": lambda f: f.good() + "\u00e9",
    "full-width dots": lambda f: f.good().replace(".", "\uff0e").encode().decode("latin-1"),
    "standard alphabet": lambda f: _replace_signature(f.good(), "+/" + _split(f.good())[2][2:]),
    "percent-encoded": lambda f: f.good().replace(".", "%2E"),
    "quoted": lambda f: f'"{f.good()}"',
    "spare bits in the signature": _respell_signature,
    "spare bits in the payload": _respell_payload,
    "1 MB": lambda f: f.good() + "A" * 2**20,
    "9 KB": lambda f: f.with_claims(padding="p" * 6500),
    "header a list": lambda f: f.signed(b"[]"),
    "header no JSON": lambda f: f.signed(b"{"),
    "header not UTF-8": lambda f: f.signed(b'{"alg":"\xff"}'),
    # docs/decisions/0036: the encoding was once guessed.
    "header in UTF-16": lambda f: f.signed(json.dumps(f.header()).encode("utf-16")),
    "header with a byte order mark": lambda f: f.signed(b"\xef\xbb\xbf" + json.dumps(f.header()).encode()),
    # A parser that recurses runs out of its stack.
    "header nested deeply": lambda f: f.signed(b"[" * 5000),
    "header nested 100000 deep": lambda f: f.signed(b"[" * 100_000),
    # Of two members with one name, two parsers may take different ones.
    "header with two alg": lambda f: f.signed(b'{"alg":"none","alg":"ES256","kid":"ec"}'),
    "header with two kid": lambda f: f.signed(b'{"alg":"ES256","kid":"other","kid":"ec"}'),
    "header with two alg, one escaped": lambda f: f.signed(b'{"alg":"none","\\u0061lg":"ES256","kid":"ec"}'),
    "payload a list": lambda f: f.signed(payload=b"[]"),
    "payload a string": lambda f: f.signed(payload=b'"claims"'),
    "payload with rubbish behind": lambda f: _sign_payload(f, json.dumps(f.claims()) + "{}"),
    "payload nested deeply": lambda f: f.signed(payload=b'{"a":' * 1100),
    # Python reads NaN and infinity in JSON, which has neither.
    # 1e400 becomes infinity, which is later than any time.
    "payload with NaN": lambda f: f.with_claims(exp=float("nan")),
    "payload with infinity": lambda f: f.with_claims(exp=float("inf")),
    "payload with 1e400": lambda f: _append_members(f, '"exp": 1e400', exp=DROP),
    "payload with two sub": lambda f: _append_members(f, '"sub": "admin"'),
    "payload with two exp": lambda f: _append_members(f, '"exp": 1e99'),
    "payload with two aud": lambda f: _append_members(f, f'"aud": "{f.audience}"'),
    "payload with twins inside": lambda f: _append_members(f, '"x": {"a": 1, "a": 2}'),
    # Python raises an error of its own for a number of more than 4,300 digits.
    "payload of 5000 digits": lambda f: f.signed(payload=b'{"exp": ' + b"9" * 5000 + b"}"),
}  # fmt: skip
