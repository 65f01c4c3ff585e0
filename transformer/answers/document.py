"""The JSON documents of stored answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pleura.findings import FINDINGS
from pleura.identifiers import IDENTIFIER_NAMES
from pleura.journal_row import AnyRow, JournalRow
from transformer.answers.stored_answers import AnswerPage


def make_request_document(rows: Sequence[AnyRow]) -> dict[str, Any]:
    """Make the document of one request. Its rows are not empty, and in the order of its radiographs."""
    first = rows[0]
    return {
        "request_id": first.request_id,
        "answered_to": first.principal,
        "radiographs": [_make_radiograph(row) for row in rows],
    }


def make_page_document(page: AnswerPage) -> dict[str, Any]:
    """Make the document of a page of answers."""
    return {
        "answers": [
            {"request_id": row.request_id, "answered_to": row.principal, **_make_radiograph(row)}
            for row in page.rows
        ],
        "next": None if page.next is None else page.next.to_text(),
        "complete": page.is_complete,
    }


def _make_radiograph(row: AnyRow) -> dict[str, Any]:
    return {
        "position": row.position,
        "answered_at": _format_time(row.answered_at),
        "image_id": row.image_id,
        "image_digest": row.image_digest,
        "identifiers": [name for name in IDENTIFIER_NAMES if getattr(row, f"{name}_pseudonym") is not None],
        "model": {"name": row.model_name, "version": row.model_version, "digest": row.model_digest},
        "preprocessing_version": row.preprocessing_version,
        "typicality": row.typicality,
        "cached": row.cached,
        "warnings": list(row.warnings),
        "refusal_reasons": list(row.refusal_reasons),
        "findings": _make_findings(row) if isinstance(row, JournalRow) else [],
    }


def _make_findings(row: JournalRow) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "probability": row.probabilities[position],
            "present": name in row.findings,
            "threshold": row.thresholds[position],
        }
        for position, name in enumerate(FINDINGS)
    ]


def _format_time(time: datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
