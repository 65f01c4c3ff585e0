"""Checks a cached answer as completely as the predictor's response, before any part of it is used."""

import math
import re
import struct
from typing import Any, Final

import numpy as np

from transformer.answer import Answer
from transformer.cache.entry import CachedAnswer, read_entry

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,63}")
_FAILURES: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error)


def read_checked_entry(key: str, entry: bytes) -> CachedAnswer | None:
    """Decode an entry. Give None for bytes that are no entry, and for an entry that cannot be an answer."""
    try:
        cached = read_entry(key, entry)
    except _FAILURES:
        return None
    return cached if cached and isinstance(cached.tag, str) and _is_answer(cached.answer) else None


def _is_answer(answer: Answer) -> bool:
    return (
        _are_shares(answer.probability)
        and _are_shares(answer.threshold)
        and bool(np.isfinite(answer.activation_map).all())
        and _is_share(answer.typicality)
        and _matches(_VERSION, answer.revision.version)
        and _matches(_DIGEST, answer.revision.digest)
        and _matches(_DIGEST, answer.image_digest)
        and isinstance(answer.preprocessing_version, str)
    )


def _are_shares(values: Any) -> bool:
    # NaN fails both comparisons
    return bool((values >= 0.0).all() and (values <= 1.0).all())


def _is_share(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value) and 0.0 <= value <= 1.0


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
