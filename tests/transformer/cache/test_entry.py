"""What is read from the cache is what was written, or nothing."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support.transformer_values import make_answer
from transformer.cache.answer_cache import cache_key
from transformer.cache.entry import CachedAnswer, read_entry, write_entry

ENTRY = write_entry("key", CachedAnswer(make_answer(3), "etag-3"))


def test_an_entry_is_read_as_it_was_written() -> None:
    """All fields come back, tensors bit by bit."""
    answer, cached = make_answer(3), read_entry("key", ENTRY)
    assert cached is not None
    assert cached.tag == "etag-3"
    back = cached.answer
    for name in ("probability", "threshold", "activation_map"):
        np.testing.assert_array_equal(getattr(back, name), getattr(answer, name))
    for name in ("typicality", "revision", "preprocessing_version", "image_digest"):
        assert getattr(back, name) == getattr(answer, name)


@given(st.integers(0, len(ENTRY) * 8 - 1))
def test_a_flipped_bit_makes_an_entry_nothing(bit: int) -> None:
    """Any single flipped bit is seen."""
    flipped = bytearray(ENTRY)
    flipped[bit // 8] ^= 1 << bit % 8
    assert read_entry("key", bytes(flipped)) is None


@given(st.binary())
def test_any_bytes_are_nothing(entry: bytes) -> None:
    """What was not written by us is no answer, and no failure."""
    assert read_entry("key", entry) is None


@given(st.integers(0, len(ENTRY) - 1))
def test_a_cut_entry_is_nothing(length: int) -> None:
    """An entry that is cut short is no answer."""
    assert read_entry("key", ENTRY[:length]) is None


def test_an_entry_under_another_key_is_nothing() -> None:
    """An entry counts only for the radiograph it was made for."""
    assert read_entry("other", ENTRY) is None


def test_keys_and_entries_are_those_of_the_version_before() -> None:
    """A cache that an earlier version filled still answers; another format needs another ``FORMAT``."""
    key = cache_key("object", "ward/r0.dcm")
    assert key == "pleura:answer:2:58381410d2d3e80edf879ee16327ffba2f049a66ae16d9d2422f4eee12f26925"
    assert cache_key("file", "f" * 64).endswith(
        "2356926343a4a6c3b7423bc38feba18ae0b640fcaf8bf77c0d49dfad307f2bc2"
    )
    entry = write_entry(key, CachedAnswer(make_answer(3), "etag-3"))
    written_before = "2e8ee57366fd446da5728638a43cb93876a1228cc49f037044f3ba4c43af1c79"
    assert hashlib.sha256(entry).hexdigest() == written_before
