"""Read and write whole objects of an S3 bucket. Every failure is one of three exceptions with one line."""

import contextlib
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError

from pleura.errors import StoreUnavailable
from pleura.settings import ObjectStoreSettings

_TIMEOUT_S: Final = 10.0
_ATTEMPTS: Final = 3
_CHUNK_BYTES: Final = 2**20
_PRESIGNED: Final = timedelta(minutes=10)
_PART_BYTES: Final = 2**26  # a smaller object is one request, which succeeds or fails as a whole
_SHA256: Final = "x-amz-meta-sha256"
_NOT_FOUND: Final = frozenset({"NoSuchKey", "NoSuchBucket", "ResourceNotFound"})
_SERVER_ERRORS: Final = (500, 502, 503, 504)
_RETRIES: Final = urllib3.Retry(total=_ATTEMPTS - 1, backoff_factor=0.5, status_forcelist=_SERVER_ERRORS)


class NoSuchObject(Exception):
    """The bucket does not hold the object, or there is no such bucket."""


class ChangedObject(Exception):
    """The object is not the one that was stored under that name."""


def connect(url: str, access_key: str, secret_key: str, region: str = "us-east-1") -> Minio:
    """Make a client that retries twice, for steps that run long and unattended."""
    parts = urlsplit(url)
    return Minio(
        parts.netloc,
        access_key,
        secret_key,
        secure=parts.scheme == "https",
        region=region,
        http_client=urllib3.PoolManager(maxsize=16, timeout=_TIMEOUT_S, retries=_RETRIES),
    )


def connect_from_settings(settings: ObjectStoreSettings) -> Minio:
    """Make a client from the settings of a process."""
    keys = settings.s3_access_key.get_secret_value(), settings.s3_secret_key.get_secret_value()
    return connect(settings.s3_url, *keys, settings.s3_region)


@contextlib.contextmanager
def _translate_errors(operand: str) -> Iterator[None]:
    """Translate the exceptions of the client, whose texts may contain a key that names a patient."""
    try:
        yield
    except S3Error as error:
        if error.code in _NOT_FOUND:
            # Without "from None" a traceback shows the client's own text, which names the key.
            raise NoSuchObject(f"{operand} is not in the object store") from None
        raise StoreUnavailable(f"the object store refuses {operand}: {error.code}") from None
    # ValueError and ParseError: an answer is not HTTP, or an error is not XML
    except (MinioException, HTTPError, ConnectionError, TimeoutError, ValueError, ParseError) as error:
        kind = type(error).__name__
        raise StoreUnavailable(f"the object store does not answer a request for {operand}: {kind}") from None


@dataclass(frozen=True)
class ObjectBucket:
    """A bucket and its client. Every method raises StoreUnavailable if the object store does not answer."""

    client: Minio
    bucket: str

    def uri(self, key: str) -> str:
        """The address of an object, or of all objects below a prefix."""
        return f"s3://{self.bucket}/{key}"

    def make_bucket(self) -> None:
        """Create the bucket if it is missing."""
        with _translate_errors(self.uri("")):
            if not self.client.bucket_exists(self.bucket):
                self.client.make_bucket(self.bucket)

    def list_names(self, prefix: str) -> frozenset[str]:
        """List the names of all objects below a prefix, relative to it. A missing bucket has none."""
        names = set()
        with contextlib.suppress(NoSuchObject), _translate_errors(self.uri(prefix)):
            for stored in self.client.list_objects(self.bucket, prefix, recursive=True):
                names.add(str(stored.object_name).removeprefix(prefix))
        return frozenset(names)

    def contains(self, key: str, sha256: str) -> bool:
        """Whether the object is there and was put with this digest. Its bytes are not read."""
        try:
            with _translate_errors(self.uri(key)):
                metadata: Any = self.client.stat_object(self.bucket, key).metadata
        except NoSuchObject:
            return False
        # Header names have no case, and servers write them differently.
        recorded = {name.lower(): value for name, value in (metadata or {}).items()}.get(_SHA256)
        return bool(recorded == sha256)

    def put_file(self, key: str, path: Path, sha256: str) -> None:
        """Put a file and record its digest."""
        with _translate_errors(self.uri(key)):
            self.client.fput_object(
                self.bucket, key, str(path), metadata={"sha256": sha256}, part_size=_PART_BYTES
            )

    def put(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        """Put bytes and record their digest."""
        digest = hashlib.sha256(content).hexdigest()
        with _translate_errors(self.uri(key)):
            self.client.put_object(
                self.bucket, key, io.BytesIO(content), len(content), content_type, {"sha256": digest}
            )

    def put_if_absent(self, key: str, content: bytes, content_type: str) -> bool:
        """Put bytes unless the object is there. Of several processes at once, exactly one succeeds.

        Returns:
            Whether the bytes were put. If not, the object is unchanged.

        Source:
            RFC 9110 section 13.1.2, which S3 follows for PutObject. The client has no call with this header.
        """
        headers = {"If-None-Match": "*", "Content-Type": content_type}
        # 409: another process is writing the same object; a retry tells which of them succeeded
        retries = _RETRIES.new(status_forcelist=(HTTPStatus.CONFLICT, *_SERVER_ERRORS))
        with _translate_errors(self.uri(key)):
            url = self.client.presigned_put_object(self.bucket, key, _PRESIGNED)
            response = urllib3.request(
                "PUT", url, body=content, headers=headers, timeout=_TIMEOUT_S, retries=retries
            )
        if response.status not in (HTTPStatus.OK, HTTPStatus.PRECONDITION_FAILED):
            raise StoreUnavailable(f"the object store refuses {self.uri(key)}: {response.status}")
        return response.status == HTTPStatus.OK

    def download(self, key: str, path: Path) -> str:
        """Download an object into a file.

        Returns:
            SHA-256 of the downloaded bytes, in hex.

        Raises:
            NoSuchObject: The bucket does not hold it.
        """
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for chunk in self._read_chunks(key):
                file.write(chunk)
                digest.update(chunk)
        return digest.hexdigest()

    def read(self, key: str, limit_bytes: int = 2**24, named: str = "") -> bytes:
        """Read a small object.

        Args:
            key: The key of the object.
            limit_bytes: The largest size that is read.
            named: The name for errors, if the key may name a patient.

        Raises:
            NoSuchObject: The bucket does not hold it.
            ChangedObject: The object is larger than the limit.
        """
        content = bytearray()
        for chunk in self._read_chunks(key, named):
            content += chunk
            if len(content) > limit_bytes:
                raise ChangedObject(f"{named or self.uri(key)} is larger than {limit_bytes} bytes")
        return bytes(content)

    def read_verified(self, uri: str, sha256: str) -> bytes:
        """Read a small object and verify its digest.

        Raises:
            NoSuchObject: The bucket does not hold it, or the URI names another bucket.
            ChangedObject: The object has another digest.
        """
        if not uri.startswith(self.uri("")):
            raise NoSuchObject(f"{uri} is not in the bucket {self.bucket}")
        content = self.read(uri.removeprefix(self.uri("")))
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ChangedObject(f"{uri} is not the recorded object: its digest differs")
        return content

    def _read_chunks(self, key: str, named: str = "") -> Iterator[bytes]:
        response: Any = None
        try:
            with _translate_errors(named or self.uri(key)):
                response = self.client.get_object(self.bucket, key)
                yield from response.stream(_CHUNK_BYTES)
        finally:
            if response is not None:
                # MinIO's client leaves this to its caller: otherwise
                # the connection never returns to the pool.
                response.close()
                response.release_conn()
