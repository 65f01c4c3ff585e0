"""A client of the stack's object store that does not wait long, and the upload of samples."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import S3Error

_TIMEOUT_S = 5.0


def build_store_client(url: str, access_key: str, secret_key: str, timeout_s: float = _TIMEOUT_S) -> Minio:
    """Build a client that tries once and does not wait long."""
    parts = urlsplit(url)
    return Minio(
        parts.netloc,
        access_key,
        secret_key,
        secure=parts.scheme == "https",
        # without a region, the client would ask the server for it
        region="us-east-1",
        http_client=urllib3.PoolManager(timeout=timeout_s, retries=False),
    )


def upload_files(client: Minio, bucket: str, files: Sequence[Path]) -> None:
    """Put files into a bucket, each under its name; make the bucket if it is missing."""
    if not client.bucket_exists(bucket):
        client.make_bucket(bucket)
    for path in files:
        if not _is_uploaded(client, bucket, path):
            client.fput_object(bucket, path.name, str(path))


def _is_uploaded(client: Minio, bucket: str, path: Path) -> bool:
    try:
        return client.stat_object(bucket, path.name).size == path.stat().st_size
    except S3Error:
        return False
