"""Answers and journal rows for tests."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pleura.contract import PREPROCESSING_VERSION
from pleura.journal_row import JournalRow, RefusedRow
from pleura.radiograph.observations import RadiographObservation
from transformer.answer import Answer, Revision
from transformer.cache.entry import CachedAnswer

STABLE = Revision("1.0.0", "a" * 64)
CANARY = Revision("1.1.0", "b" * 64)


def make_answer(seed: int = 0, revision: Revision = STABLE) -> Answer:
    """Make a plausible answer, a different one for each seed."""
    random = np.random.default_rng(seed)
    return Answer(
        random.random(14, np.float32),
        np.full(14, 0.5, np.float32),
        0.75,
        random.normal(size=(14, 7, 7)).astype(np.float32),
        revision,
        PREPROCESSING_VERSION,
        hashlib.sha256(str(seed).encode()).hexdigest(),
        (RadiographObservation("untypical", "unlike the others"),) if seed % 2 else (),
    )


def make_cached_answer(seed: int = 0, revision: Revision = STABLE) -> CachedAnswer:
    """Make a cached answer for content of its own."""
    return CachedAnswer(make_answer(seed, revision), f"etag-{seed}")


def make_journal_row(**changes: Any) -> JournalRow:
    """Make a row of the journal with some fields changed."""
    row = JournalRow(
        principal="ward-3",
        request_id="request-1",
        position=0,
        image_id="some/radiograph.dcm",
        image_digest="d" * 64,
        model_name="chest-xray",
        model_version="1.0.0",
        model_digest="a" * 64,
        preprocessing_version=PREPROCESSING_VERSION,
        probabilities=(0.25,) * 14,
        thresholds=(0.5,) * 14,
        findings=("Effusion",),
        typicality=0.5,
        latency_ms={"fetch": 1.5, "predict": 40.0},
        cached=False,
        answered_at=datetime(2026, 11, 23, 12, 0, 0, 123456, UTC),
    )
    return replace(row, **changes)


def make_refused_row(**changes: Any) -> RefusedRow:
    """Make the row of a refusal with some fields changed."""
    row = RefusedRow(
        principal="ward-3",
        request_id="request-1",
        position=0,
        image_id="some/leg.dcm",
        image_digest="d" * 64,
        model_name="chest-xray",
        model_version=None,
        model_digest=None,
        preprocessing_version=PREPROCESSING_VERSION,
        typicality=None,
        refusal_reasons=("not_chest", "pediatric"),
        warnings=("lossy_compression",),
        latency_ms={"fetch": 1.5},
        cached=False,
        answered_at=datetime(2026, 11, 23, 12, 0, 0, 123456, UTC),
    )
    return replace(row, **changes)
