"""One row of the journal: what was answered, to whom, on which radiograph, by which revision."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from pleura.errors import Conflict
from transformer.answer import Answer


@dataclass(frozen=True)
class Entry:
    """An answer to one radiograph of a request; ``latency_ms`` has the milliseconds of each stage."""

    principal: str
    request_id: str
    position: int
    image_id: str | None
    image_digest: str
    model_name: str
    model_version: str
    model_digest: str
    preprocessing_version: str
    probabilities: tuple[float, ...]
    thresholds: tuple[float, ...]
    findings: tuple[str, ...]
    typicality: float
    latency_ms: Mapping[str, float]
    cached: bool
    answered_at: datetime

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes the row one of its kind."""
        return (self.principal, self.request_id, self.position)


def line_of(entry: Entry) -> bytes:
    """The form that the spool keeps, in one line."""
    return orjson.dumps(entry)


def entry_from(line: bytes) -> Entry:
    """Read what ``line_of`` wrote."""
    values: dict[str, Any] = orjson.loads(line)
    for name in ("probabilities", "thresholds", "findings"):
        values[name] = tuple(values[name])
    values["answered_at"] = datetime.fromisoformat(values["answered_at"])
    return Entry(**values)


@dataclass(frozen=True)
class Asker:
    """Who asks, under which request id."""

    principal: str
    request_id: str


def entry_of(
    asker: Asker,
    position: int,
    image_id: str | None,
    answer: Answer,
    latency_ms: Mapping[str, float],
    cached: bool,
) -> Entry:
    """Make the row of an answer that is about to be given."""
    return Entry(
        asker.principal,
        asker.request_id,
        position,
        image_id,
        answer.image_digest,
        "chest-xray",
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


def same_answer_or_raise(entry: Entry, image_digest: str, model_digest: str) -> None:
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
