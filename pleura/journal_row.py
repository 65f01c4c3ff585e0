"""Rows of the journal: an answer or a refusal, its principal, its radiograph and its revision."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, Final

import orjson

_TUPLES: Final = ("probabilities", "thresholds", "findings", "warnings", "refusal_reasons")


@dataclass(frozen=True)
class JournalRow:
    """The answer for one radiograph of a request. ``latency_ms`` has the milliseconds of each stage.

    ``warnings`` are the codes of what the answer told besides the findings. The pseudonyms are None where an
    identifier is not known, and in rows of earlier versions.
    """

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
    warnings: tuple[str, ...] = field(default=(), kw_only=True)
    accession_number_pseudonym: str | None = field(default=None, kw_only=True)
    study_instance_uid_pseudonym: str | None = field(default=None, kw_only=True)
    sop_instance_uid_pseudonym: str | None = field(default=None, kw_only=True)
    refusal_reasons: ClassVar[tuple[str, ...]] = ()

    @property
    def key(self) -> tuple[str, str, int]:
        """The unique key of the row."""
        return (self.principal, self.request_id, self.position)


@dataclass(frozen=True)
class RefusedRow:
    """The refusal of one radiograph of a request. It has no findings, and stands in the same table.

    ``model_version``, ``model_digest`` and ``typicality`` are None where no model saw the radiograph.
    """

    principal: str
    request_id: str
    position: int
    image_id: str | None
    image_digest: str
    model_name: str
    model_version: str | None
    model_digest: str | None
    preprocessing_version: str
    typicality: float | None
    refusal_reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    latency_ms: Mapping[str, float]
    cached: bool
    answered_at: datetime
    accession_number_pseudonym: str | None = field(default=None, kw_only=True)
    study_instance_uid_pseudonym: str | None = field(default=None, kw_only=True)
    sop_instance_uid_pseudonym: str | None = field(default=None, kw_only=True)
    probabilities: ClassVar[None] = None
    thresholds: ClassVar[None] = None
    findings: ClassVar[None] = None

    @property
    def key(self) -> tuple[str, str, int]:
        """The unique key of the row."""
        return (self.principal, self.request_id, self.position)


AnyRow = JournalRow | RefusedRow


def row_to_line(row: AnyRow) -> bytes:
    """Write a row as one line of JSON, as the spool keeps it.

    Later columns without a value are left out, so that the version before reads the line too.
    """
    values = {each.name: (getattr(row, each.name), each.default) for each in fields(row)}
    return orjson.dumps({name: value for name, (value, default) in values.items() if value != default})


def row_from_line(line: bytes) -> AnyRow:
    """Read a row from the line that ``row_to_line`` writes, in this version or an earlier one."""
    values: dict[str, Any] = orjson.loads(line)
    for name in _TUPLES:
        if name in values:
            values[name] = tuple(values[name])
    values["answered_at"] = datetime.fromisoformat(values["answered_at"])
    return RefusedRow(**values) if "refusal_reasons" in values else JournalRow(**values)
