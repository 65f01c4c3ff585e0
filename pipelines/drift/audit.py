"""Which radiographs radiologists shall read because something has drifted, and what has come back.

Drift tells that something is different, not that something is wrong: a call rate rises with an epidemic as it
does with a broken detector. So nothing is rolled back here; people look. They read blind: a request names
radiographs in no telling order, and neither what was answered on them nor why each was drawn.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field
from scipy.stats import norm

from pipelines.drift.drift import OPERATION, DriftReport, ModelDrift, QuantityComparison
from pipelines.drift.window import newest_per_radiograph
from pipelines.journal_reader import JournaledAnswer
from pipelines.value import Document, Value

_OUTLYING: Final = 0.05


class AuditRules(Value):
    """How much shall be read: shares to within ``half_width`` at ``confidence``, ``most`` radiographs in all.

    A third of them at most are controls.
    """

    half_width: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    most: Annotated[int, Field(ge=3)] = 400
    seed: int = 0


class AuditItem(Value):
    """One radiograph to be read: the answer's key in the journal, and where the radiograph lies."""

    principal: str
    request_id: str
    position: int
    image_id: str
    image_digest: str


class AuditStratum(Value):
    """A part of the window: how many radiographs it has, how many shall be read, how many precision wants.

    ``half_width`` is what the share of it will be known to within; None where none is read.
    """

    name: str
    population: int
    asked: int
    wanted: int
    half_width: float | None


class AuditRequest(Document):
    """What shall be read and why; only those who audit may see it, since keys of objects may hold names.

    A stratum's sample are the ``asked`` radiographs of lowest ``rank`` in it, so that one radiograph serves
    all strata that it is in.
    """

    id: str
    made_at: datetime
    since: datetime
    until: datetime
    why: tuple[str, ...]
    rules: AuditRules
    strata: tuple[AuditStratum, ...]
    items: tuple[AuditItem, ...]


def required_sample_size(population: int, half_width: float, confidence: float) -> int:
    """How many of a population must be read to know a share, whatever it is, to within ``half_width``.

    Source:
        Cochran, "Sampling Techniques", 1977, 4.4: n0 = z^2 / 4 d^2, n = n0 / (1 + (n0 - 1) / N).
    """
    if not population:
        return 0
    unbounded = float(norm.isf((1 - confidence) / 2) / (2 * half_width)) ** 2
    return min(population, math.ceil(unbounded / (1 + (unbounded - 1) / population)))


def sample_half_width(asked: int, population: int, confidence: float) -> float | None:
    """To within what a share is known, at worst, when so many are read; None for none."""
    if not asked:
        return None
    left = (population - asked) / max(1, population - 1)
    return float(norm.isf((1 - confidence) / 2) * math.sqrt(0.25 / asked * left))


def draw_rank(seed: int, image_digest: str) -> str:
    """A radiograph's place in the draw: as good as random, and the same whatever else is in the window.

    Source:
        Ohlsson, "Coordination of samples using permanent random numbers", 1995.
    """
    return hashlib.sha256(f"{seed}:{image_digest}".encode()).hexdigest()


@dataclass(frozen=True)
class _Part:
    name: str
    holds: Callable[[JournaledAnswer], bool]


def build_audit_request(
    report: DriftReport, answers: Sequence[JournaledAnswer], rules: AuditRules, made_at: datetime
) -> AuditRequest | None:
    """Ask for an audit where a window shows drift; the same window always gives the same id.

    Args:
        report: What the window showed.
        answers: Its answers; those on radiographs that lie in no store cannot be read again.
        rules: How much shall be read.
        made_at: Now.

    Returns:
        None where no drift was seen.
    """
    drifted = [model for model in report.models if model.word == "drift"]
    if not drifted:
        return None
    digests = {model.model_digest for model in drifted}
    readable = [
        a for a in newest_per_radiograph(answers) if a.model_digest in digests and a.image_id is not None
    ]
    readable.sort(key=lambda each: (draw_rank(rules.seed, each.image_digest), each.model_digest))
    strata, chosen = _drawn(readable, list(_parts(drifted)), rules)
    return AuditRequest(
        id=_id_of(report),
        made_at=made_at,
        since=report.since,
        until=report.until,
        why=tuple(f"{m.model_version}: {each.measure}" for m in drifted for each in _reasons(m)),
        rules=rules,
        strata=tuple(strata),
        items=tuple(_item(answer) for answer in sorted(chosen, key=lambda each: each.image_digest)),
    )


def _reasons(model: ModelDrift) -> list[QuantityComparison]:
    """What drifted, the surest first."""
    found = (each for each in model.of_word("drift") if each.measure.kind != OPERATION)
    return sorted(found, key=lambda each: (each.p_adjusted or 0.0, -(each.psi or 0.0)))


def _parts(drifted: Sequence[ModelDrift]) -> Iterator[_Part]:
    yield _Part("control", lambda _: True)
    for model in drifted:
        reasons, version = _reasons(model), model.model_version
        findings = list(dict.fromkeys(each.measure.finding for each in reasons if each.measure.finding))
        if any(each.measure.kind in ("input", "features") for each in reasons):
            yield _Part(f"{version}: typicality below {_OUTLYING}", _outlying(model.model_digest))
        for finding in findings:
            for is_called in (True, False):
                words = "present" if is_called else "absent"
                yield _Part(
                    f"{version}: {finding} called {words}", _called(model.model_digest, finding, is_called)
                )


def _outlying(digest: str) -> Callable[[JournaledAnswer], bool]:
    return lambda answer: answer.model_digest == digest and answer.typicality < _OUTLYING


def _called(digest: str, finding: str, is_called: bool) -> Callable[[JournaledAnswer], bool]:
    return lambda answer: answer.model_digest == digest and (finding in answer.findings) == is_called


def _drawn(
    ranked: Sequence[JournaledAnswer], parts: Sequence[_Part], rules: AuditRules
) -> tuple[list[AuditStratum], list[JournaledAnswer]]:
    chosen: dict[tuple[str, str], JournaledAnswer] = {}
    strata = []
    for part in parts:
        inside = [answer for answer in ranked if part.holds(answer)]
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
        strata.append(
            AuditStratum(name=part.name, population=len(inside), asked=asked, wanted=wanted, half_width=width)
        )
    return strata, list(chosen.values())


def _item(answer: JournaledAnswer) -> AuditItem:
    return AuditItem(
        principal=answer.principal,
        request_id=answer.request_id,
        position=answer.position,
        image_id=answer.image_id or "",
        image_digest=answer.image_digest,
    )


def _id_of(report: DriftReport) -> str:
    return hashlib.sha256(f"{report.since.isoformat()}|{report.until.isoformat()}".encode()).hexdigest()[:16]
