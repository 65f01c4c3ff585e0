"""Samples and answers for the tests of drift."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from pipelines.drift.comparison import compare_samples
from pipelines.drift.image_statistics import ImageStatistics
from pipelines.drift.reference import DriftReference, DriftSample, ModelName, build_reference
from pipelines.drift.report import DriftReport, DriftRules
from pipelines.drift.window import TYPICALITY, finding_measures, image_measures, refusal_measures
from pipelines.journal_reader import JournaledAnswer
from pleura.contract import PREPROCESSING_VERSION
from pleura.findings import FINDINGS

MODEL = ModelName("1.0.0", "a" * 64)
OTHER = ModelName("1.1.0", "b" * 64)
UNTIL = datetime(2026, 11, 23, tzinfo=UTC)
SINCE = UNTIL - timedelta(days=7)
THRESHOLDS = np.full(len(FINDINGS), 0.25)


def probabilities(random: np.random.Generator, n: int, shift: float = 0.0) -> NDArray[np.floating]:
    """Scores of n radiographs, correlated between findings as real ones are; shifted in logits."""
    shared, own = random.normal(size=(n, 1)), random.normal(size=(n, len(FINDINGS)))
    scores: NDArray[np.floating] = expit(0.85 * shared + 0.85 * own - 2 + shift)
    return scores


def images(random: np.random.Generator, n: int, contrast: float = 1.0) -> list[ImageStatistics]:
    """What n radiographs look like."""
    means, contrasts = random.normal(0.5, 0.05, n), contrast * random.normal(0.24, 0.03, n)
    entropies, aspects = random.normal(7.5, 0.2, n), random.choice([0.8, 1.0, 1.2], n)
    rows = zip(means, contrasts, entropies, aspects, strict=True)
    return [ImageStatistics(*map(float, row)) for row in rows]


def sample(
    seed: int, n: int, shift: float = 0.0, contrast: float = 1.0, model: ModelName = MODEL
) -> DriftSample:
    """A week of one model."""
    random = np.random.default_rng(seed)
    scores, calls = finding_measures(probabilities(random, n, shift), THRESHOLDS)
    values = scores | {TYPICALITY: random.uniform(size=n)} | image_measures(images(random, n, contrast))
    refused = refusal_measures({"refused_radiograph": int(random.binomial(n, 0.02))}, n)
    return DriftSample(model, n, n, values, {**calls, **refused})


def reference(seed: int = 1000, n: int = 300) -> DriftReference:
    """What windows are compared with."""
    return build_reference(sample(seed, n), "the first weeks", SINCE)


def report_of(*samples: DriftSample) -> DriftReport:
    """What a window of these shows against the reference."""
    models = compare_samples(samples, {MODEL.digest: reference()}, DriftRules())
    return DriftReport(since=SINCE, until=UNTIL, made_at=UNTIL, rules=DriftRules(), models=models)


def answer(number: int, scores: Sequence[float] = (0.1,) * 14, **changes: Any) -> JournaledAnswer:
    """One row of the journal, on another radiograph for each number."""
    plain = JournaledAnswer(
        principal="ward-3",
        request_id=f"request-{number}",
        position=0,
        image_id=f"Doe^Jane/{number}.png",
        image_digest=hashlib.sha256(str(number).encode()).hexdigest(),
        model_name="chest-xray",
        model_version=MODEL.version,
        model_digest=MODEL.digest,
        preprocessing_version=PREPROCESSING_VERSION,
        probabilities=tuple(scores),
        thresholds=tuple(THRESHOLDS.tolist()),
        findings=tuple(name for name, score in zip(FINDINGS, scores, strict=True) if score >= 0.25),
        typicality=0.5,
        latency_ms={"predict": 40.0},
        cached=False,
        answered_at=SINCE + timedelta(minutes=number),
        verdicts=(),
    )
    return replace(plain, **changes)


def answers(seed: int, n: int, shift: float = 0.0) -> list[JournaledAnswer]:
    """A week of the journal."""
    random = np.random.default_rng(seed)
    typicality = random.uniform(size=n)
    rows = probabilities(random, n, shift).tolist()
    return [answer(i, row, typicality=float(typicality[i])) for i, row in enumerate(rows)]
