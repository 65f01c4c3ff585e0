"""How the issuer's keys are fetched and kept."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from auth_proxy.tokens.errors import UnknownKey
from auth_proxy.tokens.key_set import InvalidKeySet, parse_keys
from auth_proxy.tokens.keys import REFETCH_INTERVAL_S, KeyCache
from pleura.errors import Unauthenticated, Unavailable
from proof.attacks.forge import jwk
from proof.attacks.key_documents import document
from proof.lab.clock import ManualClock

EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


GOOD = jwk(EC.public_key(), "ES256", kid="a")


class Source:
    """An issuer that can be down, and that counts its requests."""

    def __init__(self, document: bytes) -> None:
        self.document, self.asked, self.is_down = document, 0, False

    async def fetch(self) -> bytes:
        """Return the document after a short time."""
        self.asked += 1
        await asyncio.sleep(0.01)
        if self.is_down:
            raise httpx.ConnectError("down")
        return self.document


def test_keys_of_each_allowed_kind_are_read() -> None:
    """EC, RSA and Ed25519 keys have one algorithm each. Unusable keys stand in ``tests/proof/attacks``."""
    ed = ed25519.Ed25519PrivateKey.generate().public_key()
    keys = parse_keys(
        document(
            GOOD, jwk(RSA.public_key(), "RS256", kid="b", use="sig"), jwk(ed, "EdDSA", kid="c", x5c=["MIIB"])
        )
    )
    assert {key_id: set(key.algorithms) for key_id, key in keys.items()} == {
        "a": {"ES256"},
        "b": {"RS256"},
        "c": {"EdDSA"},
    }


def test_a_private_key_is_taken_as_its_public_half() -> None:
    """If an issuer publishes its private key by mistake, the proxy keeps only the public half."""
    key = parse_keys(document(jwk(EC, "ES256", kid="a")))["a"].key
    assert isinstance(key, ec.EllipticCurvePublicKey)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda s: (
            st.lists(s)
            | st.dictionaries(
                st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops"]), s
            )
        ),
    )
)
def test_any_document_is_a_key_set_or_refused(content: Any) -> None:
    """No document causes another error."""
    with pytest.raises(InvalidKeySet):
        parse_keys(json.dumps({"keys": [content]}).encode())


async def test_unknown_keys_cause_one_fetch_in_thirty_seconds() -> None:
    """A thousand unknown keys cause one fetch, and after the interval one more."""
    source, clock = Source(document(GOOD)), ManualClock()
    cache = KeyCache(source, clock)
    for expected in (1, 1, 2):
        asked = [cache.find_key(f"unknown {n}") for n in range(1000)]
        errors = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(error) for error in errors} == {UnknownKey}
        assert source.asked == expected
        if expected == 1:
            clock.now += REFETCH_INTERVAL_S / 2
    assert (await cache.find_key("a")).algorithms == {"ES256"}


async def test_a_known_key_does_not_wait_for_the_issuer() -> None:
    """A known key is found at once during a fetch for an unknown key."""
    source = Source(document(GOOD))
    cache = KeyCache(source)
    await cache.find_key("a")
    looking = asyncio.create_task(cache.find_key("b"))
    await asyncio.sleep(0)
    async with asyncio.timeout(0.005):
        await cache.find_key("a")
    with pytest.raises(Unauthenticated):
        await looking


async def test_keys_stay_while_the_issuer_is_down() -> None:
    """A failed or malformed answer replaces no key."""
    source, clock = Source(document(GOOD)), ManualClock()
    cache = KeyCache(source, clock)
    await cache.find_key("a")
    for source.is_down, source.document in ((True, b""), (False, b"{}"), (False, b"<html>")):
        clock.now += REFETCH_INTERVAL_S
        with pytest.raises(Unauthenticated):
            await cache.find_key("b")
        assert (await cache.find_key("a")).algorithms == {"ES256"}


async def test_without_any_key_no_token_can_be_verified() -> None:
    """Before the first key set nobody can verify a token, so the answer is 503."""
    source = Source(document(GOOD))
    source.is_down = True
    with pytest.raises(Unavailable):
        await KeyCache(source).find_key("a")


async def test_a_rotated_key_is_found_by_all_who_wait_for_it() -> None:
    """All callers with the new key wait for the same fetch, and none is refused."""
    source = Source(document(GOOD))
    cache = KeyCache(source)
    fresh = asyncio.create_task(cache.refresh_forever())
    await asyncio.sleep(0.05)
    source.document = document(GOOD, jwk(EC.public_key(), "ES256", kid="new"))
    keys = await asyncio.gather(*(cache.find_key("new") for _ in range(100)))
    assert (len(keys), source.asked) == (100, 2)
    fresh.cancel()
