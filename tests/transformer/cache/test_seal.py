"""Only who has the key can write what opens."""

from hypothesis import given
from hypothesis import strategies as st

from transformer.cache.seal import Seal

SEAL, SEALED = Seal(b"key"), Seal(b"key").close("name", b"content")


@given(st.binary(min_size=1), st.text(), st.binary())
def test_what_was_sealed_opens(key: bytes, name: str, content: bytes) -> None:
    """The same key and name give the content back."""
    assert Seal(key).open(name, Seal(key).close(name, content)) == content


@given(st.integers(0, len(SEALED) * 8 - 1))
def test_a_flipped_bit_does_not_open(bit: int) -> None:
    """The code covers every bit."""
    flipped = bytearray(SEALED)
    flipped[bit // 8] ^= 1 << bit % 8
    assert SEAL.open("name", bytes(flipped)) is None


@given(st.none() | st.integers() | st.text() | st.lists(st.binary()) | st.binary())
def test_anything_else_does_not_open(sealed: object) -> None:
    """Replies of any type are neither content nor a failure."""
    assert SEAL.open("name", sealed) is None


def test_another_key_or_name_does_not_open() -> None:
    """Content is bound to its key and its name."""
    assert Seal(b"kez").open("name", SEALED) is None
    assert SEAL.open("other", SEALED) is None
    assert SEAL.open("name", SEALED[:20]) is None
