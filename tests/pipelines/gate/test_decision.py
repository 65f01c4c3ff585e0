"""A decision is reproducible to the byte, signed, and cannot be changed."""

import functools
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.gate.decision import Decision, canonical_json
from pipelines.gate.gate import decide
from pipelines.gate.signature import (
    InvalidDecision,
    InvalidKey,
    generate_key,
    read_private_key,
    sign_decision,
    verify_decision,
)
from pipelines.reports.decision import markdown_decision
from tests.support.pipelines.contenders import (
    PROVENANCE,
    SMALL_PROTOCOL,
    challenger,
    champion,
    read_protocol,
    shifted,
)

KEY = read_private_key(generate_key())
PUBLIC = KEY.public_key()
NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def _decide() -> Decision:
    old = champion(films=150, rare=13)
    return decide(read_protocol(SMALL_PROTOCOL), old, challenger(old, shifted(old, noise=0.3)), PROVENANCE)


@functools.cache
def _document() -> bytes:
    return sign_decision(_decide(), KEY, NOON).to_json()


def test_the_same_inputs_give_the_same_bytes() -> None:
    """Run again, a decision differs in nothing; signed at another time, in time and signature only."""
    again = _decide()
    assert sign_decision(again, KEY, NOON).to_json() == _document()
    later = sign_decision(again, KEY, NOON.replace(hour=13))
    assert canonical_json(later.decision) == canonical_json(verify_decision(_document(), [PUBLIC]).decision)
    assert later.to_json() != _document()


def test_what_was_signed_is_verified() -> None:
    """A reader with the public key can verify and read the decision."""
    found = verify_decision(_document(), [read_private_key(generate_key()).public_key(), PUBLIC])
    assert found.decision == _decide()
    assert found.signed_at == NOON


@settings(max_examples=40)
@given(st.integers(0, 10**9), st.integers(1, 255))
def test_a_changed_byte_is_found(position: int, change: int) -> None:
    """A record with any changed byte is not a valid decision."""
    document = bytearray(_document())
    document[position % len(document)] ^= change
    with pytest.raises(InvalidDecision):
        verify_decision(bytes(document), [PUBLIC])


def test_other_bytes_of_the_same_meaning_are_no_decision() -> None:
    """Spaces and capital letters of the signature would pass a check of the meaning only."""
    signature = verify_decision(_document(), [PUBLIC]).signature
    for spelt in (
        _document().replace(b'":', b'": '),
        _document().rstrip(b"\n"),
        _document().replace(signature.encode(), signature.upper().encode()),
    ):
        with pytest.raises(InvalidDecision):
            verify_decision(spelt, [PUBLIC])


def test_a_stranger_signs_nothing() -> None:
    """A decision by a key that is not trusted is refused, and so is one without any trusted key."""
    stranger = read_private_key(generate_key())
    with pytest.raises(InvalidDecision, match="not trusted"):
        verify_decision(sign_decision(_decide(), stranger, NOON).to_json(), [PUBLIC])
    with pytest.raises(InvalidDecision, match="not trusted"):
        verify_decision(_document(), [])


def test_a_key_id_that_is_borrowed_signs_nothing() -> None:
    """Who names a trusted key must have signed with it."""
    stranger = read_private_key(generate_key())
    forged = sign_decision(_decide(), stranger, NOON)
    honest = verify_decision(_document(), [PUBLIC])
    borrowed = forged.model_copy(update={"key_id": honest.key_id})
    with pytest.raises(InvalidDecision, match="does not belong to this decision"):
        verify_decision(borrowed.to_json(), [PUBLIC])


def test_only_an_ed25519_key_signs() -> None:
    """Bytes that are not an Ed25519 private key are refused in words."""
    curve = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for pem in (b"no key", curve):
        with pytest.raises(InvalidKey):
            read_private_key(pem)


def test_people_read_it_too() -> None:
    """The page gives the verdict, the non-clinical protocol, every reason and every comparison."""
    signed = verify_decision(_document(), [PUBLIC])
    page = markdown_decision(signed)
    assert page.startswith(f"# {signed.decision.verdict.capitalize()}: 1.1.0 for 1.0.0\n")
    assert "Not a clinical decision" in page
    assert all(f"- {reason}\n" in page for reason in signed.decision.reasons)
    assert page.count("\n| ") == 1 + len(signed.decision.criteria)
    assert signed.decision.inputs.scores in page
