"""What would have been answered otherwise: a challenger on journaled radiographs, beside the stored answers.

The journal knows no patients, so that every radiograph counts as one of its own here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

from pipelines.gate.decision import GateVerdict, ModelIdentity
from pipelines.gate.protocol import GateProtocol
from pipelines.journal_reader import JournaledAnswer
from pipelines.replay.accuracy import Calls, PairedAccuracy, compare_accuracy
from pipelines.replay.rescoring import (
    LeftOutAnswers,
    ReadRadiograph,
    RescoredAnswers,
    ScoreTensors,
    rescore_answers,
)
from pipelines.statistics.paired import share_difference
from pipelines.statistics.shift import measure_shift
from pipelines.value import Value


class RateWithBounds(Value):
    """A figure with its one-sided bounds at the protocol's confidence."""

    value: float
    low: float
    high: float


class FindingReplay(Value):
    """One finding; rates are shares of the replayed radiographs, ``psi`` and ``ks`` of the probabilities.

    ``blind`` is what readers said who had not seen the answer; ``after_seeing`` is told, and never counts.
    """

    finding: str
    champion_calls: int
    challenger_calls: int
    disagreement: RateWithBounds
    call_rate_change: RateWithBounds
    psi: float
    ks: float
    blind: PairedAccuracy
    after_seeing: PairedAccuracy
    verdict: GateVerdict
    reason: str


class ReplayLatency(Value):
    """Milliseconds; the champion's as journaled with queue and network, the challenger's in this process."""

    champion_median: float | None
    champion_p95: float | None
    challenger_median: float | None
    challenger_p95: float | None


class ReplayReport(Value):
    """What a replay showed; ``invalid`` counts radiographs on which the challenger gave no probabilities."""

    format: Literal[1] = 1
    champion_digest: str
    challenger: ModelIdentity
    protocol_digest: str
    radiographs: int
    left_out: LeftOutAnswers
    invalid: int
    latency_ms: ReplayLatency
    findings: tuple[FindingReplay, ...]
    verdict: GateVerdict
    reasons: tuple[str, ...]

    def to_json(self) -> bytes:
        """The bytes that are stored."""
        return (self.model_dump_json(indent=1) + "\n").encode()


@dataclass(frozen=True)
class ReplayedModel:
    """A model that is put before journaled radiographs; thresholds in the order of its findings."""

    identity: ModelIdentity
    findings: tuple[str, ...]
    thresholds: tuple[float, ...]
    score: ScoreTensors


@dataclass(frozen=True)
class RadiographArchive:
    """Where the radiographs lie, and how large one may be."""

    read: ReadRadiograph
    max_pixels: int


def replay_challenger(
    answers: Sequence[JournaledAnswer],
    champion_digest: str,
    challenger: ReplayedModel,
    archive: RadiographArchive,
    protocol: GateProtocol,
) -> ReplayReport:
    """Put the champion's journaled answers, newest first, before a challenger and compare.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    replayed = rescore_answers(answers, champion_digest, archive.read, challenger.score, archive.max_pixels)
    width = len(challenger.findings)
    valid = _valid(replayed, width)
    findings = tuple(_compare(replayed, valid, challenger, protocol)) if valid.any() else ()
    verdict, reasons = _judge(replayed, int((~valid).sum()), findings, protocol)
    return ReplayReport(
        champion_digest=champion_digest,
        challenger=challenger.identity,
        protocol_digest=protocol.digest,
        radiographs=len(replayed.answers),
        left_out=replayed.left_out,
        invalid=int((~valid).sum()),
        latency_ms=_latency(replayed),
        findings=findings,
        verdict=verdict,
        reasons=reasons,
    )


def _valid(replayed: RescoredAnswers, width: int) -> Calls:
    probabilities = replayed.probabilities
    if probabilities.shape[1] != width:
        return np.zeros(len(replayed.answers), bool)
    with np.errstate(invalid="ignore"):
        return np.asarray(((probabilities >= 0) & (probabilities <= 1)).all(axis=1))


def _compare(
    replayed: RescoredAnswers, valid: Calls, challenger: ReplayedModel, protocol: GateProtocol
) -> list[FindingReplay]:
    answers = [answer for answer, is_valid in zip(replayed.answers, valid, strict=True) if is_valid]
    # As FP32, which is what the service answers and the journal keeps.
    before = np.array([answer.probabilities for answer in answers], np.float32)
    now = replayed.probabilities[valid].astype(np.float32)
    compared = []
    for index, finding in enumerate(challenger.findings):
        old = np.array([finding in answer.findings for answer in answers], bool)
        new = now[:, index] >= np.float32(challenger.thresholds[index])
        moved = measure_shift(before[:, index], now[:, index])
        found = FindingReplay(
            finding=finding,
            champion_calls=int(old.sum()),
            challenger_calls=int(new.sum()),
            disagreement=_wilson(int((old != new).sum()), len(old), protocol.confidence),
            call_rate_change=_change(old, new, protocol.confidence),
            psi=moved.psi,
            ks=moved.ks,
            blind=compare_accuracy(answers, finding, old, new, after_seeing=False),
            after_seeing=compare_accuracy(answers, finding, old, new, after_seeing=True),
            verdict="passed",
            reason="",
        )
        compared.append(found)
    holm = multipletests([found.blind.p_worse for found in compared], method="holm")[1]
    return [_judged(found, float(p), protocol) for found, p in zip(compared, holm, strict=True)]


def _wilson(count: int, total: int, confidence: float) -> RateWithBounds:
    interval = binomtest(count, total).proportion_ci(2 * confidence - 1, method="wilson")
    return RateWithBounds(value=count / total, low=float(interval.low), high=float(interval.high))


def _change(old: Calls, new: Calls, confidence: float) -> RateWithBounds:
    estimate = share_difference(old, new, np.arange(len(old)))
    return RateWithBounds(
        value=float(new.mean() - old.mean()), low=estimate.low(confidence), high=estimate.high(confidence)
    )


def _judged(found: FindingReplay, p_worse: float, protocol: GateProtocol) -> FindingReplay:
    limits, change = protocol.replay, found.call_rate_change
    failed, open_ = [], []
    apart = f"they disagree on {found.disagreement.value:.1%}, {limits.disagreement_at_most:.0%} is allowed"
    moved = f"calls change by {change.value:+.1%}, {limits.call_rate_change_at_most:.0%} is allowed"
    if found.disagreement.value > limits.disagreement_at_most:
        failed.append(apart)
    elif found.disagreement.high > limits.disagreement_at_most:
        open_.append(f"{apart}, and it may be {found.disagreement.high:.1%}")
    if abs(change.value) > limits.call_rate_change_at_most:
        failed.append(moved)
    elif max(-change.low, change.high) > limits.call_rate_change_at_most:
        open_.append(f"{moved}, and it may be {change.low:+.1%} or {change.high:+.1%}")
    if p_worse <= protocol.alpha:
        failed.append(
            f"readers agree with the champion alone {found.blind.champion_only} times, "
            f"with the challenger alone {found.blind.challenger_only}"
        )
    verdict: GateVerdict = "failed" if failed else "cannot be shown" if open_ else "passed"
    return found.model_copy(update={"verdict": verdict, "reason": "; ".join(failed or open_)})


def _judge(
    replayed: RescoredAnswers, invalid: int, findings: tuple[FindingReplay, ...], protocol: GateProtocol
) -> tuple[GateVerdict, tuple[str, ...]]:
    limits, count, lost = protocol.replay, len(replayed.answers), replayed.left_out.lost
    failed = [f"{each.finding}: {each.reason}" for each in findings if each.verdict == "failed"]
    if invalid:
        failed.insert(0, f"the challenger gave no probabilities on {invalid} of {count} radiographs")
    unshown = [f"{each.finding}: {each.reason}" for each in findings if each.verdict == "cannot be shown"]
    if count < limits.minimum_radiographs:
        unshown.insert(0, f"{count} radiographs, where {limits.minimum_radiographs} are needed")
    if lost > limits.left_out_at_most * (count + lost):
        unshown.insert(0, f"{lost} of {count + lost} radiographs could not be replayed")
    verdict: GateVerdict = "failed" if failed else "cannot be shown" if unshown else "passed"
    return verdict, tuple(failed + unshown)


def _latency(replayed: RescoredAnswers) -> ReplayLatency:
    before = [a.latency_ms["predict"] for a in replayed.answers if not a.cached and "predict" in a.latency_ms]
    old, new = (
        np.percentile(x, (50, 95)) if len(x) else (None, None) for x in (before, replayed.seconds * 1e3)
    )
    return ReplayLatency(
        champion_median=old[0], champion_p95=old[1], challenger_median=new[0], challenger_p95=new[1]
    )
