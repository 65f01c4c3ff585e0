"""One S3 bucket, asked for whole objects: what fails is said in one line, whatever library raised it."""

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
_TRIES: Final = 3
_CHUNK_BYTES: Final = 2**20
_PRESIGNED: Final = timedelta(minutes=10)
_PART_BYTES: Final = 2**26  # up to here an object is one request, which happens as a whole or not at all
_SHA256: Final = "x-amz-meta-sha256"
_NOT_FOUND: Final = frozenset({"NoSuchKey", "NoSuchBucket", "ResourceNotFound"})
_UNWELL: Final = (500, 502, 503, 504)
_RETRIES: Final = urllib3.Retry(total=_TRIES - 1, backoff_factor=0.5, status_forcelist=_UNWELL)


class NoSuchObject(Exception):
    """The bucket holds no object of that name, or is not there itself."""


class ChangedObject(Exception):
    """The object is not the one that was kept under that name."""


def connect(url: str, access_key: str, secret_key: str, region: str = "us-east-1") -> Minio:
    """A client that asks three times before it gives up, for steps that run long and unattended."""
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
    """The client that a process's environment asks for."""
    secret = settings.s3_secret_key.get_secret_value()
    return connect(settings.s3_url, settings.s3_access_key, secret, settings.s3_region)


@contextlib.contextmanager
def _asked(what: str) -> Iterator[None]:
    """Turn what the client raises into this module's words; its own, which name the key, go no further."""
    try:
        yield
    except S3Error as error:
        if error.code in _NOT_FOUND:
            raise NoSuchObject(f"{what} is not in the object store") from None
        raise StoreUnavailable(f"the object store refuses {what}: {error.code}") from None
    # ValueError and ParseError: answers that are no HTTP, and errors that are no XML
    except (MinioException, HTTPError, ConnectionError, TimeoutError, ValueError, ParseError) as error:
        kind = type(error).__name__
        raise StoreUnavailable(f"the object store does not answer, asked for {what}: {kind}") from None


@dataclass(frozen=True)
class ObjectBucket:
    """A bucket and the client that reaches it; StoreUnavailable is raised where it does not answer."""

    client: Minio
    bucket: str

    def uri(self, key: str) -> str:
        """How an object, or all below a prefix, is named to others."""
        return f"s3://{self.bucket}/{key}"

    def make_bucket(self) -> None:
        """Make the bucket where it is missing."""
        with _asked(self.uri("")):
            if not self.client.bucket_exists(self.bucket):
                self.client.make_bucket(self.bucket)

    def names(self, prefix: str) -> frozenset[str]:
        """The names of all objects below a prefix, relative to it; none where the bucket is missing."""
        found = set()
        with contextlib.suppress(NoSuchObject), _asked(self.uri(prefix)):
            for each in self.client.list_objects(self.bucket, prefix, recursive=True):
                found.add(str(each.object_name).removeprefix(prefix))
        return frozenset(found)

    def holds(self, key: str, sha256: str) -> bool:
        """Whether the object is there and was put with this digest; its bytes are not read."""
        try:
            with _asked(self.uri(key)):
                metadata: Any = self.client.stat_object(self.bucket, key).metadata
        except NoSuchObject:
            return False
        recorded = {name.lower(): value for name, value in (metadata or {}).items()}.get(_SHA256)
        return bool(recorded == sha256)

    def put_file(self, key: str, path: Path, sha256: str) -> None:
        """Put a file, with the digest that it should have."""
        with _asked(self.uri(key)):
            self.client.fput_object(
                self.bucket, key, str(path), metadata={"sha256": sha256}, part_size=_PART_BYTES
            )

    def put(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        """Put some bytes."""
        digest = hashlib.sha256(content).hexdigest()
        with _asked(self.uri(key)):
            self.client.put_object(
                self.bucket, key, io.BytesIO(content), len(content), content_type, {"sha256": digest}
            )

    def put_new(self, key: str, content: bytes, content_type: str) -> bool:
        """Put some bytes where nothing is; of several who do so at once, one has put them.

        Returns:
            Whether it was so; otherwise what was there is there still.

        Source:
            RFC 9110 section 13.1.2, which S3 keeps for PutObject; the client's own call cannot say it.
        """
        headers = {"If-None-Match": "*", "Content-Type": content_type}
        # 409: another is writing the same object; asked again, S3 says whose it is
        retries = _RETRIES.new(status_forcelist=(HTTPStatus.CONFLICT, *_UNWELL))
        with _asked(self.uri(key)):
            url = self.client.presigned_put_object(self.bucket, key, _PRESIGNED)
            response = urllib3.request(
                "PUT", url, body=content, headers=headers, timeout=_TIMEOUT_S, retries=retries
            )
        if response.status not in (HTTPStatus.OK, HTTPStatus.PRECONDITION_FAILED):
            raise StoreUnavailable(f"the object store refuses {self.uri(key)}: {response.status}")
        return response.status == HTTPStatus.OK

    def fetch(self, key: str, path: Path) -> str:
        """Write an object into a file.

        Returns:
            SHA-256 of what came, in hex.

        Raises:
            NoSuchObject: It is not there.
        """
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for chunk in self._chunks(key):
                file.write(chunk)
                digest.update(chunk)
        return digest.hexdigest()

    def read(self, key: str, limit_bytes: int = 2**24, named: str = "") -> bytes:
        """The bytes of an object that is small enough.

        Args:
            key: Where it is.
            limit_bytes: How large it may be.
            named: What errors call it, where the key itself may name a patient.

        Raises:
            NoSuchObject: It is not there.
            ChangedObject: It is larger than anything that is kept under such a name.
        """
        content = bytearray()
        for chunk in self._chunks(key, named):
            content += chunk
            if len(content) > limit_bytes:
                raise ChangedObject(f"{named or self.uri(key)} is larger than {limit_bytes} bytes")
        return bytes(content)

    def read_as(self, uri: str, sha256: str) -> bytes:
        """The bytes of a small object, provided that they have this digest.

        Raises:
            NoSuchObject: It is not there, or the URI names another bucket.
            ChangedObject: It has another digest.
        """
        if not uri.startswith(self.uri("")):
            raise NoSuchObject(f"{uri} is not in the bucket {self.bucket}")
        content = self.read(uri.removeprefix(self.uri("")))
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ChangedObject(f"{uri} is not what was recorded: its digest is another")
        return content

    def _chunks(self, key: str, named: str = "") -> Iterator[bytes]:
        response: Any = None
        try:
            with _asked(named or self.uri(key)):
                response = self.client.get_object(self.bucket, key)
                yield from response.stream(_CHUNK_BYTES)
        finally:
            if response is not None:
                response.close()
                response.release_conn()
