"""What comes of reading one radiograph: an answer with its warnings, a refusal, or an error."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from pleura.errors import PleuraError, RefusalReason, RefusedRadiograph
from transformer.answer import Answer, Revision
from transformer.pseudonyms import NO_PSEUDONYMS, IdentifierMismatch, Pseudonyms, merge_pseudonyms
from transformer.refusal_policy import NOTHING_NOTICED, Judgement, RefusalPolicy


@dataclass(frozen=True, eq=False)
class Reading:
    """An answer, the content that it is about, whether it was cached, and the milliseconds of each stage."""

    answer: Answer
    tag: str
    cached: bool
    latency_ms: Mapping[str, float]
    judgement: Judgement = NOTHING_NOTICED
    """What the policy says of what was noticed."""
    pseudonyms: Pseudonyms = NO_PSEUDONYMS
    """The pseudonyms of the radiograph's identifiers."""

    def after(self, latency_ms: Mapping[str, float]) -> "Reading":
        """Give the same reading with the milliseconds of earlier stages added."""
        return replace(self, latency_ms={**latency_ms, **self.latency_ms})


@dataclass(frozen=True, eq=False)
class Refusal:
    """A radiograph that was read, and is refused. The journal gets a row without findings.

    ``revision`` and ``typicality`` are None where the file alone was enough to refuse it.
    """

    judgement: Judgement
    image_digest: str
    cached: bool
    latency_ms: Mapping[str, float]
    revision: Revision | None = None
    typicality: float | None = None
    pseudonyms: Pseudonyms = NO_PSEUDONYMS

    @property
    def error(self) -> RefusedRadiograph:
        """The error that the caller gets. It names every reason."""
        reasons = self.judgement.refused
        text = "; ".join(f"{each.text} ({each.code})" for each in reasons)
        return RefusedRadiograph(text, reason=cast("RefusalReason", reasons[0].code))

    def after(self, latency_ms: Mapping[str, float]) -> "Refusal":
        """Give the same refusal with the milliseconds of earlier stages added."""
        return replace(self, latency_ms={**latency_ms, **self.latency_ms})


Outcome = Reading | Refusal | PleuraError
"""The reading of a radiograph, or why there is none."""


def judge_outcome(outcome: Outcome, policy: RefusalPolicy) -> Outcome:
    """Judge a reading, new or cached, by what was noticed: it gets its warnings, or becomes a refusal."""
    if not isinstance(outcome, Reading):
        return outcome
    answer, judgement = outcome.answer, policy.judge(outcome.answer.observations)
    if not judgement.refused:
        return replace(outcome, judgement=judgement)
    return Refusal(
        judgement,
        answer.image_digest,
        outcome.cached,
        outcome.latency_ms,
        answer.revision,
        answer.typicality,
        outcome.pseudonyms,
    )


def merge_with_header(given: Pseudonyms, outcome: Outcome) -> Outcome:
    """Add the identifiers of the request to an outcome. If the file's header contradicts, give the error."""
    if isinstance(outcome, PleuraError):
        return outcome
    try:
        return replace(outcome, pseudonyms=merge_pseudonyms(given, outcome.pseudonyms))
    except IdentifierMismatch as error:
        return error
