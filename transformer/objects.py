"""The object store: what may be asked of it, for how long, and how much it may send."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import structlog
import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from pleura.deadline import Deadline
from pleura.errors import RadiographNotFound, StoreUnavailable, TooLarge
from transformer.object_id import ObjectId as ObjectId
from transformer.objects_http import bounded_pool, until

log = structlog.get_logger(__name__)

_CHUNK_BYTES: Final = 2**18
_ALIVE_TIMEOUT_S: Final = 2.0
_NOT_FOUND: Final = frozenset({"NoSuchKey", "NoSuchVersion", "ResourceNotFound"})


class RadiographChanged(StoreUnavailable):
    """The object was replaced between asking for its ETag and reading it."""

    retry_after_s = 1


@dataclass(frozen=True)
class Stat:
    """What the store says of an object without sending it."""

    etag: str
    size: int


@dataclass(frozen=True)
class Content:
    """An object and the ETag that really belongs to it."""

    etag: str
    file: bytes


class Objects:
    """A bucket of radiographs, read through blocking calls that never take longer than they may.

    Args:
        url: ``http://host:port`` of any S3 server.
        access_key: Its access key.
        secret_key: Its secret key.
        bucket: The bucket; nothing outside of it is ever asked for.
        region: Its region, so that the client need not ask.
        timeout_s: The longest that one call may take, connecting, waiting and reading together.
        connections: Connections that are kept open.
    """

    def __init__(
        self,
        url: str,
        access_key: str,
        secret_key: str,
        bucket: str,
        region: str = "us-east-1",
        timeout_s: float = 5.0,
        connections: int = 16,
    ) -> None:
        parts = urlsplit(url)
        self._bucket, self._timeout_s = bucket, timeout_s
        is_tls = parts.scheme == "https"
        self._pool = bounded_pool(connections, timeout_s, is_tls)
        self._client = Minio(
            parts.netloc,
            access_key=access_key,
            secret_key=secret_key,
            region=region,
            secure=is_tls,
            http_client=self._pool,
        )

    def stat(self, object_id: ObjectId, deadline: Deadline | None = None) -> Stat:
        """Ask for an object's ETag and size.

        Raises:
            RadiographNotFound: There is no such object.
            StoreUnavailable: The store does not answer in time, or not sensibly.
        """
        try:
            with until(self._deadline(deadline)):
                found = self._client.stat_object(self._bucket, object_id.key)
        except _FAILURES as error:
            raise _translated(error) from error
        # without an ETag, another radiograph under the same id would be answered from the cache
        if not found.etag or found.size is None:
            raise StoreUnavailable("the object store does not answer sensibly")
        return Stat(found.etag, found.size)

    def read(
        self, object_id: ObjectId, etag: str, limit_bytes: int, deadline: Deadline | None = None
    ) -> bytes:
        """Read an object, provided it is still the one with that ETag.

        Raises:
            RadiographNotFound: There is no such object any more.
            RadiographChanged: There is another one under that id by now.
            TooLarge: It has more than ``limit_bytes``; it is not read further than its header.
            StoreUnavailable: The store does not send it in time.
        """
        response: Any = None
        try:
            with until(self._deadline(deadline)):
                response = self._client.get_object(
                    self._bucket, object_id.key, request_headers={"If-Match": f'"{etag}"'}
                )
                return _body(response, limit_bytes)
        except _FAILURES as error:
            raise _translated(error) from error
        finally:
            if response is not None:
                response.close()
                response.release_conn()

    def fetch(self, object_id: ObjectId, limit_bytes: int, deadline: Deadline | None = None) -> Content:
        """Read an object of unknown ETag; one that changes meanwhile is asked for once more.

        Raises:
            RadiographNotFound, RadiographChanged, TooLarge, StoreUnavailable: As ``stat`` and ``read``.
        """
        for is_last in (False, True):
            stat = self.stat(object_id, deadline)
            if stat.size > limit_bytes:
                raise _too_large(limit_bytes)
            try:
                return Content(stat.etag, self.read(object_id, stat.etag, limit_bytes, deadline))
            except RadiographChanged:
                if is_last:
                    raise
        raise AssertionError

    def is_alive(self) -> bool:
        """Say whether the store answers, and has the bucket."""
        try:
            with until(Deadline.after(min(_ALIVE_TIMEOUT_S, self._timeout_s))):
                return self._client.bucket_exists(self._bucket)
        except _FAILURES:
            return False

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _deadline(self, deadline: Deadline | None) -> Deadline:
        ours = Deadline.after(self._timeout_s)
        if deadline is None:
            return ours
        return Deadline.after(min(deadline.remaining_s, ours.remaining_s))


# ValueError: http.client raises it on answers that are no HTTP; ParseError: minio, on errors that are no XML.
_FAILURES: Final = (MinioException, urllib3.exceptions.HTTPError, OSError, ValueError, ParseError)


def _translated(error: Exception) -> Exception:
    """A failure of the client in our words; the store's own go to the log only."""
    code = error.code if isinstance(error, S3Error) else None
    if code in _NOT_FOUND:
        return RadiographNotFound("no radiograph of that id")
    if code == "PreconditionFailed" or getattr(error, "_code", None) == 412:
        return RadiographChanged("the radiograph was replaced while it was read")
    log.warning("object_store_failed", reason=type(error).__name__, code=code)
    return StoreUnavailable("the object store does not answer")


def _body(response: Any, limit_bytes: int) -> bytes:
    """The bytes of an answer, all of them and not one more."""
    announced = int(response.headers.get("content-length", "-1"))
    if announced < 0 and not response.chunked:
        # a head that was cut short reads as a whole one, and the file that follows as empty
        raise StoreUnavailable("the object store broke off")
    if announced > limit_bytes:
        raise _too_large(limit_bytes)
    parts, length = [], 0
    # as stored: inflating a Content-Encoding would be a bomb, and not what the ETag stands for
    while part := response.read(_CHUNK_BYTES, decode_content=False):
        length += len(part)
        if length > limit_bytes:
            raise _too_large(limit_bytes)
        parts.append(part)
    if announced not in (-1, length):
        raise StoreUnavailable("the object store broke off")
    return b"".join(parts)


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"the radiograph's file is larger than {limit_bytes // 2**20} MB")
