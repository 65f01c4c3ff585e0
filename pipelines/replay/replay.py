"""Compare a challenger with the champion's journaled answers on the same radiographs.

The journal holds no patient identity. Therefore each radiograph counts as one of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from pipelines.gate.decision import ModelIdentity
from pipelines.gate.protocol import GateProtocol
from pipelines.journal_reader import JournaledAnswer
from pipelines.replay.accuracy import Calls, compare_accuracy
from pipelines.replay.replay_report import FindingReplay, RateWithBounds, ReplayLatency, ReplayReport
from pipelines.replay.rescoring import ReadRadiograph, RescoredAnswers, ScoreTensors, rescore_answers
from pipelines.replay.verdict import judge_finding, judge_replay
from pipelines.statistics.holm import adjust_by_holm
from pipelines.statistics.paired import share_difference
from pipelines.statistics.shift import measure_shift


@dataclass(frozen=True)
class ReplayedModel:
    """A challenger that answers journaled radiographs; ``thresholds`` are in the order of ``findings``."""

    identity: ModelIdentity
    findings: tuple[str, ...]
    thresholds: tuple[float, ...]
    score: ScoreTensors


@dataclass(frozen=True)
class RadiographArchive:
    """Where the radiographs are read, and how many pixels one may have."""

    read: ReadRadiograph
    max_pixels: int


def replay_challenger(
    answers: Sequence[JournaledAnswer],
    champion_digest: str,
    challenger: ReplayedModel,
    archive: RadiographArchive,
    protocol: GateProtocol,
) -> ReplayReport:
    """Let a challenger answer the champion's journaled radiographs, newest first, and compare the answers.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    rescored = rescore_answers(answers, champion_digest, archive.read, challenger.score, archive.max_pixels)
    valid = _find_valid(rescored, len(challenger.findings))
    invalid = int((~valid).sum())
    findings = tuple(_compare_findings(rescored, valid, challenger, protocol)) if valid.any() else ()
    verdict, reasons = judge_replay(rescored, invalid, findings, protocol)
    return ReplayReport(
        champion_digest=champion_digest,
        challenger=challenger.identity,
        protocol_digest=protocol.digest,
        radiographs=len(rescored.answers),
        left_out=rescored.left_out,
        invalid=invalid,
        latency_ms=_measure_latency(rescored),
        findings=findings,
        verdict=verdict,
        reasons=reasons,
    )


def _find_valid(rescored: RescoredAnswers, findings: int) -> Calls:
    probabilities = rescored.probabilities
    if probabilities.shape[1] != findings:
        return np.zeros(len(rescored.answers), bool)
    with np.errstate(invalid="ignore"):
        return np.asarray(((probabilities >= 0) & (probabilities <= 1)).all(axis=1))


def _compare_findings(
    rescored: RescoredAnswers, valid: Calls, challenger: ReplayedModel, protocol: GateProtocol
) -> list[FindingReplay]:
    answers = [answer for answer, is_valid in zip(rescored.answers, valid, strict=True) if is_valid]
    # FP32, because the service answers in FP32 and the journal keeps that.
    old_probabilities = np.array([answer.probabilities for answer in answers], np.float32)
    new_probabilities = rescored.probabilities[valid].astype(np.float32)
    comparisons = []
    for index, finding in enumerate(challenger.findings):
        old = np.array([finding in answer.findings for answer in answers], bool)
        new = new_probabilities[:, index] >= np.float32(challenger.thresholds[index])
        shift = measure_shift(old_probabilities[:, index], new_probabilities[:, index])
        comparison = FindingReplay(
            finding=finding,
            champion_calls=int(old.sum()),
            challenger_calls=int(new.sum()),
            disagreement=_bound_share(int((old != new).sum()), len(old), protocol.confidence),
            call_rate_change=_bound_change(old, new, protocol.confidence),
            psi=shift.psi,
            ks=shift.ks,
            blind=compare_accuracy(answers, finding, old, new, after_seeing=False),
            after_seeing=compare_accuracy(answers, finding, old, new, after_seeing=True),
            verdict="passed",
            reason="",
        )
        comparisons.append(comparison)
    adjusted = adjust_by_holm([comparison.blind.p_worse for comparison in comparisons])
    return [
        judge_finding(comparison, float(p_worse), protocol)
        for comparison, p_worse in zip(comparisons, adjusted, strict=True)
    ]


def _bound_share(count: int, total: int, confidence: float) -> RateWithBounds:
    # Two-sided at this level, so that each bound alone holds at the protocol's confidence.
    interval = binomtest(count, total).proportion_ci(2 * confidence - 1, method="wilson")
    return RateWithBounds(value=count / total, low=float(interval.low), high=float(interval.high))


def _bound_change(old: Calls, new: Calls, confidence: float) -> RateWithBounds:
    estimate = share_difference(old, new, np.arange(len(old)))
    return RateWithBounds(
        value=float(new.mean() - old.mean()), low=estimate.low(confidence), high=estimate.high(confidence)
    )


def _measure_latency(rescored: RescoredAnswers) -> ReplayLatency:
    champion_ms = [
        answer.latency_ms["predict"]
        for answer in rescored.answers
        if not answer.cached and "predict" in answer.latency_ms
    ]
    champion, challenger = (
        np.percentile(ms, (50, 95)) if len(ms) else (None, None)
        for ms in (champion_ms, rescored.seconds * 1e3)
    )
    return ReplayLatency(
        champion_median=champion[0],
        champion_p95=champion[1],
        challenger_median=challenger[0],
        challenger_p95=challenger[1],
    )
