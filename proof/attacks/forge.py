"""The keys of an issuer, and a forge that makes good and bad tokens with them."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

PRIVATE: dict[str, Any] = {
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "rsa": rsa.generate_private_key(65537, 2048),
    "ed": ed25519.Ed25519PrivateKey.generate(),
    "other": ec.generate_private_key(ec.SECP256R1()),
    "encryption": rsa.generate_private_key(65537, 2048),
    "p384": ec.generate_private_key(ec.SECP384R1()),
}
"""The keys of the issuer, by their id."""
STRANGER = ec.generate_private_key(ec.SECP256R1())
RSA_STRANGER = rsa.generate_private_key(65537, 2048)
SECRET = b"a secret that the issuer publishes by mistake, of 64 bytes or more..."
ALGORITHM = {
    "ec": "ES256",
    "rsa": "RS256",
    "ed": "EdDSA",
    "other": "ES256",
    "encryption": "RS256",
    "p384": "ES384",
}
DROP = object()
"""As the value of a member: the member is left out."""


def b64(data: bytes | object) -> str:
    """Encode bytes or a JSON document as base64url without padding."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    # JWS has no padding (RFC 7515 section 2).
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwk(key: Any, algorithm: str, **members: Any) -> dict[str, Any]:
    """Write a key as a JWK."""
    return json.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(key)) | members  # type: ignore[no-any-return]


def key_document() -> bytes:
    """Build the JWKS document: keys of three allowed kinds, and three keys that never verify a token."""
    keys = [jwk(PRIVATE[n].public_key(), ALGORITHM[n], kid=n) for n in ("ec", "rsa", "ed", "other", "p384")]
    keys.append(jwk(PRIVATE["encryption"].public_key(), "RS256", kid="encryption", use="enc"))
    keys.append({"kty": "oct", "k": b64(SECRET), "kid": "secret", "alg": "HS256"})
    return json.dumps({"keys": keys}).encode()


def apply_changes(good: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Replace members, or leave them out."""
    return {name: value for name, value in (good | changes).items() if value is not DROP}


@dataclass(frozen=True)
class Forge:
    """Makes tokens for one service at one time.

    Args:
        issuer: The issuer that the service trusts.
        audience: The service.
        now_s: The time.
        evil_url: A server that no program should ever call.
        slack_s: Seconds that may pass until a token is verified. Times in the future are later by so much.
    """

    issuer: str
    audience: str
    now_s: int
    evil_url: str = "https://evil.example"
    slack_s: int = 0

    def header(self, **changes: Any) -> dict[str, Any]:
        """Build a good header with some changes."""
        return apply_changes({"alg": "ES256", "typ": "JWT", "kid": "ec"}, changes)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Build good claims with some changes."""
        good = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": "somebody",
            "scope": "radiograph:classify model:read",
            "nbf": self.now_s - 10,
            "iat": self.now_s - 10,
            "exp": self.now_s + 600,
        }
        return apply_changes(good, changes)

    def signed(
        self, header: object = None, payload: object = None, key: Any = None, algorithm: str = "ES256"
    ) -> str:
        """Sign any header and payload, valid or not, with the issuer's EC key or another key."""
        first = f"{b64(header or self.header())}.{b64(payload or self.claims())}"
        signature = jwt.get_algorithm_by_name(algorithm).sign(first.encode(), key or PRIVATE["ec"])
        return f"{first}.{b64(signature)}"

    def good(self, key_id: str = "ec", **changes: Any) -> str:
        """Make a good token, except for the changes to its claims."""
        header = self.header(alg=ALGORITHM[key_id], kid=key_id)
        return self.signed(header, self.claims(**changes), PRIVATE[key_id], ALGORITHM[key_id])

    def with_header(self, **changes: Any) -> str:
        """Make a token of the issuer with changes to its header."""
        return self.signed(self.header(**changes))

    def with_claims(self, **changes: Any) -> str:
        """Make a token of the issuer with changes to its claims."""
        return self.signed(payload=self.claims(**changes))

    def with_signature(self, signature: bytes, **changes: Any) -> str:
        """Make a token with an invented signature."""
        return f"{b64(self.header(**changes))}.{b64(self.claims())}.{b64(signature)}"

    def with_secret(self, secret: bytes, key_id: str = "rsa", algorithm: str = "HS256") -> str:
        """Make a token that is signed with HMAC and any secret."""
        first = f"{b64(self.header(alg=algorithm, kid=key_id))}.{b64(self.claims())}"
        return f"{first}.{b64(hmac.digest(secret, first.encode(), hashlib.sha256))}"

    def by_stranger(self, **changes: Any) -> str:
        """Make a token that a stranger signed with a key that the header may bring or name."""
        return self.signed(self.header(**changes), key=STRANGER)
