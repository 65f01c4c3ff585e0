"""The store of references, reports and audit requests: two buckets, because the requests name radiographs."""

from datetime import datetime
from typing import Final

from minio import Minio

from pipelines.drift.audit_request import AuditRequest
from pipelines.drift.reference import DriftReference
from pipelines.drift.report import DriftReport
from pleura.object_bucket import NoSuchObject, ObjectBucket

_JSON: Final = "application/json"
_REQUESTS: Final = "requests/"


class DriftStore:
    """References and reports in one bucket; audit requests in another one that only auditors may read.

    Every method raises StoreUnavailable if the object store does not answer or refuses.

    Args:
        client: The client of the S3 server.
        reports: The bucket of references and reports.
        audits: The bucket of audit requests.
    """

    def __init__(self, client: Minio, reports: str, audits: str) -> None:
        self._reports, self._audits = ObjectBucket(client, reports), ObjectBucket(client, audits)

    def put_reference(self, reference: DriftReference) -> str:
        """Store a reference in place of the model's former one, and return its key."""
        key = _reference_key(reference.model_digest)
        _write(self._reports, key, reference.to_json())
        return key

    def reference_of(self, model_digest: str) -> DriftReference | None:
        """Read the reference of a model; None if there is none.

        Raises:
            InvalidDocument: The stored object is not a reference.
        """
        document = _read(self._reports, _reference_key(model_digest))
        return DriftReference.from_json(document) if document is not None else None

    def put_report(self, report: DriftReport, page: str) -> str:
        """Store a report as JSON and as a page of HTML, and return the key of the page."""
        stem = f"reports/{_stamp(report.since)}_{_stamp(report.until)}"
        _write(self._reports, f"{stem}.json", report.to_json())
        _write(self._reports, f"{stem}.html", page.encode(), "text/html; charset=utf-8")
        return f"{stem}.html"

    def raise_audit(self, request: AuditRequest) -> bool:
        """Store an audit request unless its id is stored already, and return whether it is new."""
        # A second run for a window must not ask radiologists a second time.
        key = f"{_REQUESTS}{request.id}.json"
        if _read(self._audits, key) is not None:
            return False
        _write(self._audits, key, request.to_json())
        return True

    def audits(self) -> list[AuditRequest]:
        """Read all audit requests, the oldest first.

        Raises:
            InvalidDocument: A stored object is not an audit request.
        """
        names = sorted(self._audits.list_names(_REQUESTS))
        documents = [_read(self._audits, f"{_REQUESTS}{name}") for name in names]
        requests = [AuditRequest.from_json(document) for document in documents if document is not None]
        return sorted(requests, key=lambda each: each.made_at)


def _read(objects: ObjectBucket, key: str) -> bytes | None:
    try:
        return objects.read(key)
    except NoSuchObject:
        return None


def _write(objects: ObjectBucket, key: str, content: bytes, kind: str = _JSON) -> None:
    objects.make_bucket()
    objects.put(key, content, kind)


def _reference_key(model_digest: str) -> str:
    return f"references/{model_digest}.json"


def _stamp(at: datetime) -> str:
    return at.strftime("%Y%m%dT%H%M%SZ")
