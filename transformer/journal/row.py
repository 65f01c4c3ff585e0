"""The journal row of an answer, and what a repeated request id may stand for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pleura.contract import MODEL_NAME
from pleura.errors import Conflict
from pleura.journal_row import JournalRow
from transformer.answer import Answer


@dataclass(frozen=True)
class RequestKey:
    """Who asks, under which request id."""

    principal: str
    request_id: str


def make_journal_row(
    asker: RequestKey,
    position: int,
    image_id: str | None,
    answer: Answer,
    latency_ms: Mapping[str, float],
    cached: bool,
) -> JournalRow:
    """Make the row of an answer that is about to be given."""
    return JournalRow(
        asker.principal,
        asker.request_id,
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


def require_same_answer(entry: JournalRow, image_digest: str, model_digest: str) -> None:
    """Let a repeated request pass, and no other under its id.

    Args:
        entry: The row of the answer that is about to be given.
        image_digest: The radiograph that the journal has under the same key.
        model_digest: The model that answered then.

    Raises:
        Conflict: The id stands for another radiograph, or for another model's answer.
    """
    if entry.model_digest != model_digest:
        raise Conflict(f"element {entry.position}: the request id was already answered by another model")
    if entry.image_digest != image_digest:
        raise Conflict(
            f"element {entry.position}: the request id was already answered for another radiograph"
        )
