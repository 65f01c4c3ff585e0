"""Choose the radiographs that an audit asks radiologists to read.

Drift shows that something is different, not that something is wrong. A call rate rises with an epidemic as it
does with a broken detector. Nothing is rolled back; people look. Radiologists read blind: a request gives
neither the answer on a radiograph nor the reason why it was chosen, and its order reveals neither.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from scipy.stats import norm

from pipelines.drift.audit_request import AuditItem, AuditRequest, AuditRules, AuditStratum
from pipelines.drift.report import OPERATION, DriftReport, ModelDrift, QuantityComparison
from pipelines.drift.window import newest_per_radiograph
from pipelines.journal_reader import JournaledAnswer

_LOW_TYPICALITY: Final = 0.05


@dataclass(frozen=True)
class _Stratum:
    name: str
    contains: Callable[[JournaledAnswer], bool]


def required_sample_size(population: int, half_width: float, confidence: float) -> int:
    """Compute how many of a population must be read to know any share to within ``half_width``.

    Source:
        Cochran, "Sampling Techniques", 1977, 4.4: n0 = z^2 / 4 d^2, n = n0 / (1 + (n0 - 1) / N).
    """
    if not population:
        return 0
    unbounded = float(norm.isf((1 - confidence) / 2) / (2 * half_width)) ** 2
    return min(population, math.ceil(unbounded / (1 + (unbounded - 1) / population)))


def sample_half_width(sample: int, population: int, confidence: float) -> float | None:
    """Compute to within what a share is known, at worst, from a sample; None if the sample is empty."""
    if not sample:
        return None
    correction = (population - sample) / max(1, population - 1)
    return float(norm.isf((1 - confidence) / 2) * math.sqrt(0.25 / sample * correction))


def draw_rank(seed: int, image_digest: str) -> str:
    """Give a radiograph its rank in the draw: random, and independent of the rest of the window.

    Source:
        Ohlsson, "Coordination of samples using permanent random numbers", 1995.
    """
    return hashlib.sha256(f"{seed}:{image_digest}".encode()).hexdigest()


def build_audit_request(
    report: DriftReport, answers: Sequence[JournaledAnswer], rules: AuditRules, made_at: datetime
) -> AuditRequest | None:
    """Build the audit request of a window; the same window always gives the same id.

    Args:
        report: The drift report of the window.
        answers: The answers of the window. A radiograph that is not stored cannot be read a second time.
        rules: How many radiographs to ask for.
        made_at: The time of the request.

    Returns:
        None if no model drifted.
    """
    drifted = [model for model in report.models if model.word == "drift"]
    if not drifted:
        return None
    digests = {model.model_digest for model in drifted}
    candidates = [
        answer
        for answer in newest_per_radiograph(answers)
        if answer.model_digest in digests and answer.image_id is not None
    ]
    candidates.sort(key=lambda each: (draw_rank(rules.seed, each.image_digest), each.model_digest))
    strata, chosen = _draw_strata(candidates, list(_strata(drifted)), rules)
    return AuditRequest(
        id=_request_id(report),
        made_at=made_at,
        since=report.since,
        until=report.until,
        why=tuple(f"{m.model_version}: {each.measure}" for m in drifted for each in _reasons(m)),
        rules=rules,
        strata=tuple(strata),
        # In the order of digests: the order of the draw would tell the readers the strata.
        items=tuple(_item(answer) for answer in sorted(chosen, key=lambda each: each.image_digest)),
    )


def _reasons(model: ModelDrift) -> list[QuantityComparison]:
    """List what drifted, the most certain first."""
    found = (each for each in model.of_word("drift") if each.measure.kind != OPERATION)
    return sorted(found, key=lambda each: (each.p_adjusted or 0.0, -(each.psi or 0.0)))


def _strata(drifted: Sequence[ModelDrift]) -> Iterator[_Stratum]:
    yield _Stratum("control", lambda _: True)
    for model in drifted:
        reasons, version, digest = _reasons(model), model.model_version, model.model_digest
        findings = list(dict.fromkeys(each.measure.finding for each in reasons if each.measure.finding))
        if any(each.measure.kind in ("input", "features") for each in reasons):
            yield _Stratum(f"{version}: typicality below {_LOW_TYPICALITY}", _has_low_typicality(digest))
        for finding in findings:
            yield _Stratum(f"{version}: {finding} called present", _is_called(digest, finding, True))
            yield _Stratum(f"{version}: {finding} called absent", _is_called(digest, finding, False))


def _has_low_typicality(digest: str) -> Callable[[JournaledAnswer], bool]:
    return lambda answer: answer.model_digest == digest and answer.typicality < _LOW_TYPICALITY


def _is_called(digest: str, finding: str, present: bool) -> Callable[[JournaledAnswer], bool]:
    return lambda answer: answer.model_digest == digest and (finding in answer.findings) == present


def _draw_strata(
    ranked: Sequence[JournaledAnswer], strata: Sequence[_Stratum], rules: AuditRules
) -> tuple[list[AuditStratum], list[JournaledAnswer]]:
    chosen: dict[tuple[str, str], JournaledAnswer] = {}
    drawn = []
    for stratum in strata:
        inside = [answer for answer in ranked if stratum.contains(answer)]
        wanted = required_sample_size(len(inside), rules.half_width, rules.confidence)
        limit = rules.most if chosen else rules.most // 3
        asked = 0
        for answer in inside[:wanted]:
            key = (answer.model_digest, answer.image_digest)
            if key not in chosen and len(chosen) >= limit:
                break
            chosen[key] = answer
            asked += 1
        width = sample_half_width(asked, len(inside), rules.confidence)
        drawn.append(
            AuditStratum(
                name=stratum.name, population=len(inside), asked=asked, wanted=wanted, half_width=width
            )
        )
    return drawn, list(chosen.values())


def _item(answer: JournaledAnswer) -> AuditItem:
    return AuditItem(
        principal=answer.principal,
        request_id=answer.request_id,
        position=answer.position,
        image_id=answer.image_id or "",
        image_digest=answer.image_digest,
    )


def _request_id(report: DriftReport) -> str:
    # Of the window alone, so that a second run finds the request of the first one.
    return hashlib.sha256(f"{report.since.isoformat()}|{report.until.isoformat()}".encode()).hexdigest()[:16]
