"""How the issuer's keys come, and stay."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from auth_proxy.tokens.keys import REFETCH_INTERVAL_S, InvalidKeySet, KeyCache, parse_keys
from auth_proxy.tokens.verification import UnknownKey
from pleura.errors import Unauthenticated, Unavailable
from proof.attacks.forge import jwk
from proof.attacks.key_documents import document

EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


GOOD = jwk(EC.public_key(), "ES256", kid="a")


class Source:
    """An issuer that can be down, and counts how often it is asked."""

    def __init__(self, document: bytes) -> None:
        self.document, self.asked, self.is_down = document, 0, False

    async def fetch(self) -> bytes:
        """Answer after a while."""
        self.asked += 1
        await asyncio.sleep(0.01)
        if self.is_down:
            raise httpx.ConnectError("down")
        return self.document


class Clock:
    """A clock that stands still until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_keys_of_each_allowed_kind_are_read() -> None:
    """EC, RSA and Ed25519 keys are bound to one algorithm each; odd ones stand in ``tests/attacks``."""
    ed = ed25519.Ed25519PrivateKey.generate().public_key()
    keys = parse_keys(
        document(
            GOOD, jwk(RSA.public_key(), "RS256", kid="b", use="sig"), jwk(ed, "EdDSA", kid="c", x5c=["MIIB"])
        )
    )
    assert {key_id: key.algorithm for key_id, key in keys.items()} == {
        "a": "ES256",
        "b": "RS256",
        "c": "EdDSA",
    }


def test_a_private_key_is_taken_as_its_public_half() -> None:
    """An issuer that publishes its private key by mistake does not hand us a signing key."""
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
    """No document makes anything else happen."""
    with pytest.raises(InvalidKeySet):
        parse_keys(json.dumps({"keys": [content]}).encode())


async def test_unknown_keys_cause_one_fetch_in_thirty_seconds() -> None:
    """A thousand at once, and again: one question to the issuer; after the interval, one more."""
    source, clock = Source(document(GOOD)), Clock()
    cache = KeyCache(source, clock)
    for expected in (1, 1, 2):
        asked = [cache.find_key(f"unknown {n}") for n in range(1000)]
        errors = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(error) for error in errors} == {UnknownKey}
        assert source.asked == expected
        if expected == 1:
            clock.now += REFETCH_INTERVAL_S / 2
    assert (await cache.find_key("a")).algorithm == "ES256"


async def test_a_known_key_does_not_wait_for_the_issuer() -> None:
    """While an unknown key is looked for, a known one is there at once."""
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
    """A failed or foolish answer replaces nothing."""
    source, clock = Source(document(GOOD)), Clock()
    cache = KeyCache(source, clock)
    await cache.find_key("a")
    for source.is_down, source.document in ((True, b""), (False, b"{}"), (False, b"<html>")):
        clock.now += REFETCH_INTERVAL_S
        with pytest.raises(Unauthenticated):
            await cache.find_key("b")
        assert (await cache.find_key("a")).algorithm == "ES256"


async def test_without_any_key_nobody_can_say() -> None:
    """Before the first key set a token is neither good nor bad: 503."""
    source = Source(document(GOOD))
    source.is_down = True
    with pytest.raises(Unavailable):
        await KeyCache(source).find_key("a")


async def test_a_rotated_key_is_found_by_all_who_wait_for_it() -> None:
    """Those who bring the new key at the same time wait for the one fetch, and none is turned away."""
    source = Source(document(GOOD))
    cache = KeyCache(source)
    fresh = asyncio.create_task(cache.refresh_forever())
    await asyncio.sleep(0.05)
    source.document = document(GOOD, jwk(EC.public_key(), "ES256", kid="new"))
    keys = await asyncio.gather(*(cache.find_key("new") for _ in range(100)))
    assert (len(keys), source.asked) == (100, 2)
    fresh.cancel()
