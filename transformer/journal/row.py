"""The journal row of an answer, and the rule for a request id that comes twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pleura.contract import MODEL_NAME
from pleura.errors import Conflict
from pleura.journal_row import JournalRow
from transformer.answer import Answer


@dataclass(frozen=True)
class RequestKey:
    """The principal that asks, and the id of the request."""

    principal: str
    request_id: str


def make_journal_row(
    key: RequestKey,
    position: int,
    image_id: str | None,
    answer: Answer,
    latency_ms: Mapping[str, float],
    cached: bool,
) -> JournalRow:
    """Make the row of an answer before the answer is sent."""
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
        latency_ms,
        cached,
        datetime.now(UTC),
    )


def require_same_answer(row: JournalRow, image_digest: str, model_digest: str) -> None:
    """Require that a request id which the journal already has stands for the same answer.

    Args:
        row: The row of the answer that is about to be sent.
        image_digest: The radiograph that the journal has under the same key.
        model_digest: The model whose answer the journal has under the same key.

    Raises:
        Conflict: The journal has another radiograph, or another model's answer.
    """
    # two different answers under one id would contradict each other (docs/decisions/0033)
    if row.model_digest != model_digest:
        raise Conflict(f"element {row.position}: the request id was already answered by another model")
    if row.image_digest != image_digest:
        raise Conflict(f"element {row.position}: the request id was already answered for another radiograph")
