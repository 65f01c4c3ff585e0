"""The journal row of an answer or a refusal, and the rule for a request id that comes twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pleura.contract import MODEL_NAME, PREPROCESSING_VERSION
from pleura.errors import Conflict
from pleura.identifiers import IDENTIFIER_NAMES
from pleura.journal_row import AnyRow, JournalRow, RefusedRow
from transformer.outcome import Reading, Refusal
from transformer.pseudonyms import Pseudonyms


@dataclass(frozen=True)
class RequestKey:
    """The principal that asks, and the id of the request."""

    principal: str
    request_id: str


@dataclass(frozen=True)
class StoredOutcome:
    """What the journal has under a key already."""

    image_digest: str
    model_digest: str | None
    is_refusal: bool


def make_journal_row(
    key: RequestKey, position: int, image_id: str | None, reading: Reading, latency_ms: Mapping[str, float]
) -> JournalRow:
    """Make the row of an answer before the answer is sent."""
    answer = reading.answer
    return JournalRow(
        key.principal,
        key.request_id,
        position,
        image_id,
        answer.image_digest,
        MODEL_NAME,
        answer.revision.version,
        answer.revision.digest,
        answer.preprocessing_version,
        tuple(answer.probability.tolist()),
        tuple(answer.threshold.tolist()),
        answer.findings(),
        answer.typicality,
        {**reading.latency_ms, **latency_ms},
        reading.cached,
        datetime.now(UTC),
        warnings=tuple(each.code for each in reading.judgement.warned),
        **_pseudonym_columns(reading.pseudonyms),
    )


def make_refused_row(
    key: RequestKey, position: int, image_id: str | None, refusal: Refusal, latency_ms: Mapping[str, float]
) -> RefusedRow:
    """Make the row of a refusal before the error is sent."""
    return RefusedRow(
        key.principal,
        key.request_id,
        position,
        image_id,
        refusal.image_digest,
        MODEL_NAME,
        refusal.revision.version if refusal.revision else None,
        refusal.revision.digest if refusal.revision else None,
        PREPROCESSING_VERSION,
        refusal.typicality,
        tuple(each.code for each in refusal.judgement.refused),
        tuple(each.code for each in refusal.judgement.warned),
        {**refusal.latency_ms, **latency_ms},
        refusal.cached,
        datetime.now(UTC),
        **_pseudonym_columns(refusal.pseudonyms),
    )


def _pseudonym_columns(pseudonyms: Pseudonyms) -> dict[str, str | None]:
    return {f"{name}_pseudonym": getattr(pseudonyms, name) for name in IDENTIFIER_NAMES}


def require_same_outcome(row: AnyRow, stored: StoredOutcome) -> None:
    """Require that a request id which the journal already has stands for the same answer or refusal.

    Args:
        row: The row of the answer or refusal that is about to be sent.
        stored: What the journal has under the same key.

    Raises:
        Conflict: The journal has another radiograph, another model's answer, or an answer where this is a
            refusal.
    """
    # two different answers under one id would contradict each other (docs/decisions/0033)
    is_refusal = isinstance(row, RefusedRow)
    before, now = ("refused", "answered") if stored.is_refusal else ("answered", "refused")
    if row.image_digest != stored.image_digest:
        raise Conflict(f"element {row.position}: the request id was already {before} for another radiograph")
    if is_refusal != stored.is_refusal:
        raise Conflict(f"element {row.position}: the request id was {before} before, and would be {now} now")
    # a refusal gives no findings, so those of two models do not contradict each other
    if not is_refusal and row.model_digest != stored.model_digest:
        raise Conflict(f"element {row.position}: the request id was already answered by another model")
