"""An entry is read only if it can be an answer."""

import hashlib
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.transformer_values import STABLE, make_answer
from transformer.answer import Revision
from transformer.cache.entry import CachedAnswer, write_entry
from transformer.cache.entry_checks import read_checked_entry

GOOD = make_answer(3)


def _read(**changes: Any) -> CachedAnswer | None:
    return read_checked_entry("key", write_entry("key", CachedAnswer(replace(GOOD, **changes), "etag-3")))


def test_a_good_entry_is_read() -> None:
    """An entry that was written is read."""
    assert _read() is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"probability": np.full(14, np.nan)},
        {"probability": np.full(14, 1.001)},
        {"threshold": np.full(14, -0.001)},
        {"threshold": np.full(13, 0.5)},
        {"activation_map": np.full((14, 7, 7), np.inf)},
        {"typicality": 1.5},
        {"typicality": float("nan")},
        {"typicality": "high"},
        {"image_digest": 5},
        {"image_digest": "x\0y"},
        {"revision": Revision("1\0", STABLE.digest)},
        {"revision": Revision("1.0.0", "digest")},
        {"preprocessing_version": None},
    ],
    ids=str,
)
def test_an_entry_that_cannot_be_an_answer_is_a_miss(changes: dict[str, Any]) -> None:
    """Values that no predictor may give are in no answer from the cache either."""
    assert _read(**changes) is None


@given(st.recursive(st.none() | st.booleans() | st.integers(-5, 5) | st.text(), st.lists) | st.binary())
def test_any_document_is_a_miss(document: Any) -> None:
    """A document of another form is not a failure."""
    json = document if isinstance(document, bytes) else orjson.dumps(document)
    content = struct.pack("<H", len(json)) + json + write_entry("key", CachedAnswer(GOOD, ""))[-2856:]
    checksum = hashlib.blake2b(b"key\0" + content, digest_size=16).digest()
    assert read_checked_entry("key", b"PLA2" + checksum + content) is None
