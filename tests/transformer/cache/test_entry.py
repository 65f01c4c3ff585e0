"""A cache entry is read as it was written, or is a miss."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support.transformer_values import make_answer
from transformer.cache.answer_cache import cache_key
from transformer.cache.entry import CachedAnswer, read_entry, write_entry

ENTRY = write_entry("key", CachedAnswer(make_answer(3), "etag-3"))


def test_an_entry_is_read_as_it_was_written() -> None:
    """All fields are equal, and tensors equal bit by bit."""
    answer, cached = make_answer(3), read_entry("key", ENTRY)
    assert cached is not None
    assert cached.tag == "etag-3"
    back = cached.answer
    for name in ("probability", "threshold", "activation_map"):
        np.testing.assert_array_equal(getattr(back, name), getattr(answer, name))
    for name in ("typicality", "revision", "preprocessing_version", "image_digest"):
        assert getattr(back, name) == getattr(answer, name)


@given(st.integers(0, len(ENTRY) * 8 - 1))
def test_an_entry_with_a_flipped_bit_is_a_miss(bit: int) -> None:
    """The checksum detects any single flipped bit."""
    flipped = bytearray(ENTRY)
    flipped[bit // 8] ^= 1 << bit % 8
    assert read_entry("key", bytes(flipped)) is None


@given(st.binary())
def test_other_bytes_are_a_miss(entry: bytes) -> None:
    """Bytes that we did not write are neither an answer nor a failure."""
    assert read_entry("key", entry) is None


@given(st.integers(0, len(ENTRY) - 1))
def test_a_cut_entry_is_a_miss(length: int) -> None:
    """An incomplete entry is not read."""
    assert read_entry("key", ENTRY[:length]) is None


def test_an_entry_under_another_key_is_a_miss() -> None:
    """An entry is valid only under the key for which it was written."""
    assert read_entry("other", ENTRY) is None


def test_keys_are_those_of_this_reader() -> None:
    """Another reader needs another ``READER_VERSION``: it may read a file that this one reads wrongly."""
    assert cache_key("object", "ward/r0.dcm") == (
        "pleura:answer:s2:564e1451703fdb4027c73df6a162fb414f13341c4e949c736652c4114f2f8ce7"
    )
    assert cache_key("file", "f" * 64) == (
        "pleura:answer:s2:f8f84d2c04d3e031ca4a4b95a3f3d7aaa09eb717b2d694249cb13e178bb6d53d"
    )


def test_entries_are_those_of_this_format() -> None:
    """Another format needs another ``FORMAT`` or ``READER_VERSION``, so that no version reads another's."""
    key = "pleura:answer:2:58381410d2d3e80edf879ee16327ffba2f049a66ae16d9d2422f4eee12f26925"
    entry = write_entry(key, CachedAnswer(make_answer(3), "etag-3"))
    written_by_reader_3 = "ce6953c89bbd86309d2121fbffdb009cb073f76ff2ba11b5cf78a93cba636a65"
    assert hashlib.sha256(entry).hexdigest() == written_by_reader_3
