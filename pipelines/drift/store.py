"""Where references, reports and audit requests lie: two buckets, since the requests name radiographs."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from pipelines.drift.audit import AuditRequest
from pipelines.drift.drift import DriftReport
from pipelines.drift.reference import DriftReference

_ABSENT: Final = ("NoSuchKey", "NoSuchBucket")


class DriftStoreUnavailable(Exception):
    """The object store does not answer, or refuses; the text names the kind of failure, no object."""


class DriftStore:
    """References and reports in one bucket, audit requests in another that only those may read who audit.

    Args:
        client: Of the S3 server.
        reports: The bucket of references and reports.
        audits: The bucket of audit requests.
    """

    def __init__(self, client: Minio, reports: str, audits: str) -> None:
        self._client, self._reports, self._audits = client, reports, audits

    def put_reference(self, reference: DriftReference) -> str:
        """Keep a reference, in place of the model's former one; give its key."""
        key = _reference_key(reference.model_digest)
        self._put(self._reports, key, reference.to_json())
        return key

    def reference_of(self, model_digest: str) -> DriftReference | None:
        """The reference of a model, or None.

        Raises:
            InvalidReference: What lies there is none.
        """
        document = self._get(self._reports, _reference_key(model_digest))
        return DriftReference.from_json(document) if document is not None else None

    def put_report(self, report: DriftReport, page: str) -> str:
        """Keep a report as JSON and as a page; give the key of the page."""
        stem = f"reports/{_stamp(report.since)}_{_stamp(report.until)}"
        self._put(self._reports, f"{stem}.json", report.model_dump_json(indent=1).encode())
        self._put(self._reports, f"{stem}.html", page.encode(), "text/html; charset=utf-8")
        return f"{stem}.html"

    def raise_audit(self, request: AuditRequest) -> bool:
        """Keep an audit request, unless there is one of that id; say whether it is new."""
        key = f"requests/{request.id}.json"
        if self._get(self._audits, key) is not None:
            return False
        self._put(self._audits, key, request.to_json())
        return True

    def audits(self) -> list[AuditRequest]:
        """All audit requests, the oldest first.

        Raises:
            InvalidAudit: One of them is none.
        """
        with _translated():
            found = self._client.list_objects(self._audits, prefix="requests/", recursive=True)
            keys = [each.object_name for each in found] if self._client.bucket_exists(self._audits) else []
        documents = [self._get(self._audits, key) for key in keys]
        requests = [AuditRequest.from_json(document) for document in documents if document is not None]
        return sorted(requests, key=lambda each: each.made_at)

    def _get(self, bucket: str, key: str) -> bytes | None:
        with _translated():
            try:
                response = self._client.get_object(bucket, key)
            except S3Error as error:
                if error.code in _ABSENT:
                    return None
                raise
            try:
                return bytes(response.data)
            finally:
                response.close()
                response.release_conn()

    def _put(self, bucket: str, key: str, content: bytes, kind: str = "application/json") -> None:
        with _translated():
            if not self._client.bucket_exists(bucket):
                self._client.make_bucket(bucket)
            self._client.put_object(bucket, key, io.BytesIO(content), len(content), content_type=kind)


def store_client(url: str, access_key: str, secret_key: str, region: str) -> Minio:
    """A client of any S3 server that gives up within seconds."""
    parts = urlsplit(url)
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=2, read=10), retries=urllib3.Retry(total=2, backoff_factor=0.2)
    )
    return Minio(
        parts.netloc,
        access_key=access_key,
        secret_key=secret_key,
        region=region,
        secure=parts.scheme == "https",
        http_client=pool,
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (MinioException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise DriftStoreUnavailable(f"the object store does not answer: {type(error).__name__}") from error


def _reference_key(model_digest: str) -> str:
    return f"references/{model_digest}.json"


def _stamp(at: datetime) -> str:
    return at.strftime("%Y%m%dT%H%M%SZ")
