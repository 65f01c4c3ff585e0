"""What an accepted token says. Bad tokens stand in ``tests/proof/attacks/test_tokens.py``."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_proxy.tokens.key_set import parse_keys
from auth_proxy.tokens.trust import Principal, Trust
from auth_proxy.tokens.verification import parse_bearer, read_key_id, verify
from pleura.errors import Unauthenticated
from proof.attacks.forge import DROP, Forge, b64, key_document

FORGE = Forge("https://issuer.example", "pleura", 1_800_000_000)
TRUST = Trust(FORGE.issuer, frozenset({FORGE.audience}), 30)
KEYS = parse_keys(key_document())


def believed(token: str) -> Principal:
    """Verify a token as the proxy does."""
    bearer = parse_bearer(f"Bearer {token}")
    key = KEYS.get(read_key_id(bearer))
    if key is None:
        raise Unauthenticated("unknown key")
    return verify(bearer, key, TRUST, FORGE.now_s)


@pytest.mark.parametrize("key_id", ["ec", "rsa", "ed"])
def test_a_good_token_names_its_principal(key_id: str) -> None:
    """A token of each allowed algorithm is accepted with its own key."""
    scopes = frozenset({"radiograph:classify", "model:read"})
    assert believed(FORGE.good(key_id)) == Principal("somebody", scopes, FORGE.now_s + 600)


@pytest.mark.parametrize("scope", [DROP, "", " ", "  "])
def test_a_token_without_scope_allows_nothing(scope: Any) -> None:
    """A token without a scope allows nothing."""
    assert believed(FORGE.good(scope=scope)).scopes == frozenset()


@given(
    st.text(max_size=300)
    | st.lists(st.binary(max_size=60), min_size=3, max_size=3).map(lambda p: ".".join(map(b64, p)))
)
def test_any_text_is_a_token_or_refused(token: str) -> None:
    """Any text that is not a good token is refused, and causes no other error."""
    with pytest.raises(Unauthenticated):
        believed(token)
