"""One row of the journal: an answer, its principal, its radiograph and its revision."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson


@dataclass(frozen=True)
class JournalRow:
    """The answer for one radiograph of a request. ``latency_ms`` has the milliseconds of each stage."""

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
        """The unique key of the row."""
        return (self.principal, self.request_id, self.position)


def row_to_line(row: JournalRow) -> bytes:
    """Write a row as one line of JSON, as the spool keeps it."""
    return orjson.dumps(row)


def row_from_line(line: bytes) -> JournalRow:
    """Read a row from the line that ``row_to_line`` writes."""
    values: dict[str, Any] = orjson.loads(line)
    for name in ("probabilities", "thresholds", "findings"):
        values[name] = tuple(values[name])
    values["answered_at"] = datetime.fromisoformat(values["answered_at"])
    return JournalRow(**values)
