"""Sign decisions with Ed25519: the signature proves the signer and that no byte was changed."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import AwareDatetime, Field, ValidationError

from pipelines.gate.decision import Decision, canonical_json
from pipelines.value import Value


class InvalidDecision(Exception):
    """The bytes are not a signed decision, were changed, or were not signed by a trusted key."""


class InvalidKey(Exception):
    """The bytes are not an Ed25519 private key."""


class _Signed(Value):
    """The part of a signed decision that the signature covers."""

    decision: Decision
    key_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    signed_at: AwareDatetime


class SignedDecision(_Signed):
    """A decision, the signing key and the time of signing, with a signature over all three."""

    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]

    def to_json(self) -> bytes:
        """Give the bytes that are stored."""
        return canonical_json(self) + b"\n"


def generate_key() -> bytes:
    """Generate a private key as PEM (PKCS 8) without a passphrase; it belongs in a secret store."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_private_key(pem: bytes) -> Ed25519PrivateKey:
    """Read the key that decisions are signed with.

    Raises:
        InvalidKey: The bytes are not an Ed25519 private key, or the key has a passphrase.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidKey("this is not a private key in PEM without a passphrase") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidKey("the private key is not an Ed25519 key")
    return key


def key_id_of(key: Ed25519PublicKey) -> str:
    """Compute the id of a key: the first 16 bytes of the SHA-256 of its raw bytes, in hex."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:32]


def sign_decision(decision: Decision, key: Ed25519PrivateKey, signed_at: datetime) -> SignedDecision:
    """Sign a decision; the same decision, key and time give the same bytes.

    Source:
        RFC 8032: Ed25519 uses no random number.
    """
    body = _Signed(decision=decision, key_id=key_id_of(key.public_key()), signed_at=signed_at)
    return SignedDecision(**dict(body), signature=key.sign(canonical_json(body)).hex())


def verify_decision(document: bytes, trusted: Iterable[Ed25519PublicKey]) -> SignedDecision:
    """Read a signed decision and verify that a trusted key signed exactly these bytes.

    Raises:
        InvalidDecision: The bytes are not a decision that a trusted key signed.
    """
    try:
        signed = SignedDecision.model_validate_json(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise InvalidDecision(f"{where}: {first['msg']}") from error
    # Other spaces, another order or another spelling of a number would parse alike: compare the bytes.
    if signed.to_json() != document:
        raise InvalidDecision("these bytes are not in the form in which decisions are written")
    key = next((key for key in trusted if key_id_of(key) == signed.key_id), None)
    if key is None:
        raise InvalidDecision(f"the key {signed.key_id} is not trusted")
    body = canonical_json(_Signed(decision=signed.decision, key_id=signed.key_id, signed_at=signed.signed_at))
    try:
        key.verify(bytes.fromhex(signed.signature), body)
    except InvalidSignature as error:
        raise InvalidDecision("the signature does not belong to this decision") from error
    return signed
