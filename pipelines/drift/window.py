"""From the answers of the journal, or of a labelled split, to the quantities that may drift."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from pipelines.drift.image_statistics import ImageStatistics
from pipelines.drift.reference import DriftSample, Floats, Measure, ModelName, Share
from pipelines.journal_reader import JournaledAnswer
from pleura.findings import FINDINGS

STAGES: Final = ("fetch", "decode", "predict", "whole")
TYPICALITY: Final = Measure(kind="features", name="typicality")


def finding_measures(
    probabilities: Floats, thresholds: Floats
) -> tuple[dict[Measure, Floats], dict[Measure, Share]]:
    """Give the scores (N, 14) by finding, and the call rates at thresholds (14,) or (N, 14)."""
    called = (probabilities >= thresholds).sum(axis=0)
    scores = {
        Measure(kind="score", name="score", finding=finding): probabilities[:, column]
        for column, finding in enumerate(FINDINGS)
    }
    calls = {
        Measure(kind="call rate", name="call rate", finding=finding): Share(
            hits=int(hits), n=len(probabilities)
        )
        for finding, hits in zip(FINDINGS, called, strict=True)
    }
    return scores, calls


def image_measures(images: Sequence[ImageStatistics]) -> dict[Measure, Floats]:
    """Give the statistics of the radiographs by quantity."""
    if not images:
        return {}
    names = ("mean", "contrast", "entropy", "aspect")
    columns = {name: np.array([getattr(each, name) for each in images]) for name in names}
    return {Measure(kind="input", name=f"image {name}"): values for name, values in columns.items()}


def refusal_measures(refusals: Mapping[str, int], answers: int) -> dict[Measure, Share]:
    """Give the share of each refusal reason among all requested radiographs."""
    requested = answers + sum(refusals.values())
    return {
        Measure(kind="refusal", name=f"share of {reason}"): Share(hits=count, n=requested)
        for reason, count in refusals.items()
    }


def newest_per_radiograph(answers: Sequence[JournaledAnswer]) -> list[JournaledAnswer]:
    """Keep the newest answer for each model and radiograph.

    Ten answers on one radiograph are one piece of evidence, not ten.
    """
    newest: dict[tuple[str, str], JournaledAnswer] = {}
    for answer in sorted(answers, key=lambda each: each.answered_at):
        newest[answer.model_digest, answer.image_digest] = answer
    return list(newest.values())


def group_by_model(answers: Sequence[JournaledAnswer]) -> dict[ModelName, list[JournaledAnswer]]:
    """Group answers by the model that gave them; each model is compared with its own reference."""
    parts: dict[ModelName, list[JournaledAnswer]] = {}
    for answer in answers:
        parts.setdefault(ModelName(answer.model_version, answer.model_digest), []).append(answer)
    return parts


def sample_of_answers(
    model: ModelName,
    answers: Sequence[JournaledAnswer],
    images: Sequence[ImageStatistics] = (),
    refused: Mapping[Measure, Share] | None = None,
) -> DriftSample:
    """Make the sample of one model from all its answers in a window, repeated ones included."""
    once = newest_per_radiograph(answers)
    probabilities = np.array([answer.probabilities for answer in once]).reshape(-1, len(FINDINGS))
    thresholds = np.array([answer.thresholds for answer in once]).reshape(-1, len(FINDINGS))
    scores, calls = finding_measures(probabilities, thresholds)
    typicality = {TYPICALITY: np.array([answer.typicality for answer in once])}
    values = scores | typicality | image_measures(images) | _latency(answers)
    return DriftSample(model, len(answers), len(once), values, {**calls, **(refused or {})})


def _latency(answers: Sequence[JournaledAnswer]) -> dict[Measure, Floats]:
    latencies = [answer.latency_ms for answer in answers if not answer.cached]
    stages = {stage: [each[stage] for each in latencies if stage in each] for stage in STAGES}
    return {
        Measure(kind="operation", name=f"{stage} time"): np.array(values) / 1000
        for stage, values in stages.items()
        if values
    }
