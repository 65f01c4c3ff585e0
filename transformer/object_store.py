"""Client of the object store, with limits for the time and the size of every answer.

MinIO's client computes addresses and signatures. The calls themselves run on the event loop over open
connections, since even a cached answer needs one of them.

Source:
    AWS Signature Version 4, in the header ``Authorization``, so that a logged address has no signature.
"""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import SplitResult, urlsplit

import structlog
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.signer import sign_v4_s3

from pleura.deadline import Deadline
from pleura.errors import RadiographNotFound, StoreUnavailable, TooLarge
from pleura.http_client import HttpClient, HttpFailed, Response
from transformer.object_id import ObjectId

_SHARE_OF_TIME: Final = 0.9
_ETAGS_AT_ONCE: Final = 16
_FILES_AT_ONCE: Final = 16
_MAX_ETAG_LENGTH: Final = 256
_MAX_ERROR_BYTES: Final = 65_536
_ANY_KEY: Final = "a"
_CONTENT_HEADER: Final = "x-amz-content-sha256"
_EMPTY_DIGEST: Final = hashlib.sha256().hexdigest()
_ABOUT_OBJECT: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.PRECONDITION_FAILED)
NO_SUCH_RADIOGRAPH: Final = (
    "no radiograph of that id in the object store (a file is sent itself, as the input 'image')"
)
log = structlog.get_logger(__name__)


class RadiographChanged(StoreUnavailable):
    """The object was replaced after its ETag was read."""

    retry_after_s = 1


@dataclass(frozen=True)
class FetchedObject:
    """The file of an object, and the ETag of exactly this content."""

    file: bytes = field(repr=False)
    etag: str


@dataclass(frozen=True)
class Bucket:
    """The bucket of the radiographs on any S3 server, and the keys to the server.

    ``region`` is the server's region. With it the client need not ask the server.
    """

    url: str
    access_key: str
    secret_key: str
    name: str
    region: str = "us-east-1"

    def client(self) -> Minio:
        """Make MinIO's client without keys, since it computes addresses only."""
        parts = urlsplit(self.url)
        return Minio(parts.netloc, region=self.region, secure=parts.scheme == "https")


class RadiographStore:
    """The bucket of the radiographs. Nothing outside the bucket is ever read.

    Args:
        bucket: The bucket and its keys.
        limit_bytes: Most bytes of a radiograph's file.
        timeout_s: Seconds that one call may take, from connecting to the last byte.

    Raises:
        ValueError: S3 does not allow the address or the name of the bucket.
    """

    def __init__(self, bucket: Bucket, limit_bytes: int, timeout_s: float = 5.0) -> None:
        self._bucket, self._limit_bytes, self._timeout_s = bucket, limit_bytes, timeout_s
        self._client = bucket.client()
        self._credentials = Credentials(bucket.access_key, bucket.secret_key)
        address = self._object_address(_ANY_KEY)
        self._bucket_address = address._replace(path=address.path.removesuffix(f"/{_ANY_KEY}") or "/")
        self._http = HttpClient(f"{address.scheme}://{address.netloc}")
        # two limits: no file waits behind a thousand ETags, and no ETag behind files (docs/decisions/0011)
        self._etag_turn = asyncio.Semaphore(_ETAGS_AT_ONCE)
        self._file_turn = asyncio.Semaphore(_FILES_AT_ONCE)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    @property
    def address(self) -> str:
        """The bucket's address: a path of the server, or the bucket's own host name."""
        return self._bucket_address.geturl()

    async def read_etag(self, object_id: ObjectId, deadline: Deadline) -> str:
        """Read the ETag of an object, without its content.

        Raises:
            RadiographNotFound: The bucket has no such object.
            TooLarge: The object is larger than a radiograph may be.
            StoreUnavailable: The store does not give a valid answer in time.
        """
        address = self._object_address(object_id.key)
        async with self._call("HEAD", address, {}, deadline, self._etag_turn) as response:
            self._require_small(response)
            return _require_etag(response)

    async def read(self, object_id: ObjectId, deadline: Deadline, etag: str | None = None) -> FetchedObject:
        """Fetch an object as it is now. With an ETag, fetch it only if it still has that ETag.

        Raises:
            RadiographNotFound: The bucket has no such object.
            RadiographChanged: The object has another ETag now.
            TooLarge: The object is larger than a radiograph may be. Its content is not read.
            StoreUnavailable: The store does not give a valid answer in time.
        """
        # a decompressed Content-Encoding could be a bomb, and would not be the content of the ETag
        headers = {"accept-encoding": "identity"} | ({} if etag is None else {"if-match": f'"{etag}"'})
        address = self._object_address(object_id.key)
        async with self._call("GET", address, headers, deadline, self._file_turn) as response:
            sent_etag = _require_etag(response)
            return FetchedObject(await self._read_file(response), sent_etag)

    async def is_alive(self, limit_s: float) -> bool:
        """Tell whether the store answers within ``limit_s`` and has the bucket."""
        deadline, no_turn = Deadline.after(limit_s), nullcontext()  # radiographs may take all turns
        try:
            async with self._call("HEAD", self._bucket_address, {}, deadline, no_turn):
                return True
        except (RadiographNotFound, StoreUnavailable):
            return False

    def _object_address(self, key: str) -> SplitResult:
        # without keys, the client gives a plain address
        return urlsplit(self._client.get_presigned_url("GET", self._bucket.name, key))

    def _sign(self, verb: str, address: SplitResult) -> dict[str, str]:
        """Make the headers of a signed request."""
        now = datetime.now(UTC)
        signed = sign_v4_s3(
            method=verb,
            url=address,
            region=self._bucket.region,
            headers={
                "host": address.netloc,
                "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}",
                _CONTENT_HEADER: _EMPTY_DIGEST,
            },
            credentials=self._credentials,
            content_sha256=_EMPTY_DIGEST,
            date=now,
        )
        return {name: str(value) for name, value in signed.items() if name != "host"}  # aiohttp sends it

    @asynccontextmanager
    async def _call(
        self,
        verb: str,
        address: SplitResult,
        headers: dict[str, str],
        deadline: Deadline,
        turn: AbstractAsyncContextManager[None],
    ) -> AsyncIterator[Response]:
        """Wait for the turn, send a request, and limit the time of the whole block.

        Every failure becomes an error of our family.
        """
        # a part of the time is left, so that the caller gets the error before its own deadline
        seconds = min(deadline.remaining_s * _SHARE_OF_TIME, self._timeout_s)
        headers = headers | self._sign(verb, address)
        try:
            # a call costs 0.3 ms of processor time here, and 0.7 in a thread (docs/decisions/0023)
            async with (
                asyncio.timeout(seconds),
                turn,
                self._http.request(verb, address.path, headers) as response,
            ):
                if response.status_code in _ABOUT_OBJECT:
                    await _read_error(response)
                _require_ok(response)
                yield response
        except (HttpFailed, TimeoutError) as error:
            log.warning("object_store_failed", reason=type(error).__name__)
            raise StoreUnavailable("the object store does not answer in time") from error

    async def _read_file(self, response: Response) -> bytes:
        self._require_small(response)
        file = io.BytesIO()  # a list of many small parts would need far more memory than the file
        async for part in response.chunks():
            # a server may send more than it announced, or announce nothing
            if file.tell() + len(part) > self._limit_bytes:
                raise self._too_large()
            file.write(part)
        return file.getvalue()

    def _require_small(self, response: Response) -> None:
        """Refuse an answer whose announced length is more than a radiograph may have."""
        announced = response.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced) > self._limit_bytes:
            raise self._too_large()

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the radiograph's file exceeds {self._limit_bytes} bytes")


async def _read_error(response: Response) -> None:
    """Read a short error document, so that the connection can be used again."""
    size = 0
    async for part in response.chunks():
        size += len(part)
        if size > _MAX_ERROR_BYTES:
            return


def _require_etag(response: Response) -> str:
    """Give the ETag. Without one, the cache could answer with earlier content of the object."""
    etag = response.headers.get("etag", "").replace('"', "")
    if not 0 < len(etag) <= _MAX_ETAG_LENGTH:
        raise StoreUnavailable("the object store does not give a valid answer")
    return etag


def _require_ok(response: Response) -> None:
    """Raise the error of any status but 200. No error quotes the store's text."""
    status = response.status_code
    if status == HTTPStatus.OK:
        return
    if status == HTTPStatus.NOT_FOUND:
        raise RadiographNotFound(NO_SUCH_RADIOGRAPH)
    if status == HTTPStatus.PRECONDITION_FAILED:
        raise RadiographChanged("the radiograph was replaced while it was read")
    log.warning("object_store_failed", status=status)
    raise StoreUnavailable("the object store does not answer")
