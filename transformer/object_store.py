"""The object store: what may be asked of it, for how long, and how much it may send.

The client of MinIO says where an object is and signs for it; the question goes over kept connections on the
event loop, since a cached answer waits for nothing longer.

Source:
    AWS Signature Version 4, in the header ``Authorization``: an address, which is logged, tells none of it.
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

_HOP_SHARE: Final = 0.9
_AT_ONCE: Final = 16
_MOST_ETAG: Final = 256
_MOST_SAID_BYTES: Final = 65_536
_SOME: Final = "a"
_CONTENT: Final = "x-amz-content-sha256"
_NO_BODY: Final = hashlib.sha256().hexdigest()
_OF_OBJECT: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.PRECONDITION_FAILED)
log = structlog.get_logger(__name__)


class RadiographChanged(StoreUnavailable):
    """The object was replaced after its ETag was asked for."""

    retry_after_s = 1


@dataclass(frozen=True)
class Fetched:
    """An object, and the ETag that it had when it was sent."""

    file: bytes = field(repr=False)
    etag: str


@dataclass(frozen=True)
class Bucket:
    """Where radiographs are: a bucket of any S3 server, and the keys to it.

    ``region`` is the server's, so that the client need not ask.
    """

    url: str
    access_key: str
    secret_key: str
    name: str
    region: str = "us-east-1"

    def client(self) -> Minio:
        """MinIO's client of the server, without keys: it is asked for addresses only."""
        parts = urlsplit(self.url)
        return Minio(parts.netloc, region=self.region, secure=parts.scheme == "https")


class ObjectStore:
    """A bucket of radiographs; nothing outside of it is ever asked for.

    Args:
        bucket: Which it is.
        limit_bytes: The most bytes that a radiograph's file may have.
        timeout_s: The longest that one call may take, connecting, waiting and reading together.

    Raises:
        ValueError: There can be no such bucket.
    """

    def __init__(self, bucket: Bucket, limit_bytes: int, timeout_s: float = 5.0) -> None:
        self._bucket, self._limit_bytes, self._timeout_s = bucket, limit_bytes, timeout_s
        self._client = bucket.client()
        self._credentials = Credentials(bucket.access_key, bucket.secret_key)
        some = self._address_of(_SOME)
        self._place = some._replace(path=some.path.removesuffix(f"/{_SOME}") or "/")
        self._http = HttpClient(f"{some.scheme}://{some.netloc}")
        self._calls = asyncio.Semaphore(_AT_ONCE)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    @property
    def place(self) -> str:
        """The bucket's address: on the server, or on a server of its own."""
        return self._place.geturl()

    async def etag_of(self, object_id: ObjectId, deadline: Deadline) -> str:
        """Ask which version of an object there is, without having it sent.

        Raises:
            RadiographNotFound: There is no such object.
            TooLarge: It is larger than a radiograph may be.
            StoreUnavailable: The store does not answer in time, or not sensibly.
        """
        async with self._asked("HEAD", self._address_of(object_id.key), {}, deadline) as response:
            self._require_small(response)
            return _etag_of(response)

    async def read(self, object_id: ObjectId, deadline: Deadline, etag: str | None = None) -> Fetched:
        """Fetch an object as it is now, or, with an ETag, provided that it is still the one with that.

        Raises:
            RadiographNotFound: There is no such object.
            RadiographChanged: There is another one under that id by now.
            TooLarge: It is larger than a radiograph may be; it is not read further than its header.
            StoreUnavailable: The store does not send it in time, or not sensibly.
        """
        # as stored: inflating a Content-Encoding would be a bomb, and not what the ETag stands for
        headers = {"accept-encoding": "identity"} | ({} if etag is None else {"if-match": f'"{etag}"'})
        async with self._asked("GET", self._address_of(object_id.key), headers, deadline) as response:
            sent = _etag_of(response)
            return Fetched(await self._body(response), sent)

    async def is_alive(self, limit_s: float) -> bool:
        """Say whether the store answers within ``limit_s``, and has the bucket."""
        until, beside = Deadline.after(limit_s), nullcontext()  # the calls may all be about radiographs
        try:
            async with self._asked("HEAD", self._place, {}, until, beside):
                return True
        except (RadiographNotFound, StoreUnavailable):
            return False

    def _address_of(self, key: str) -> SplitResult:
        return urlsplit(self._client.get_presigned_url("GET", self._bucket.name, key))  # signed with no keys

    def _signed(self, verb: str, address: SplitResult) -> dict[str, str]:
        """The headers that say who asks."""
        now = datetime.now(UTC)
        signed = sign_v4_s3(
            method=verb,
            url=address,
            region=self._bucket.region,
            headers={"host": address.netloc, "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}", _CONTENT: _NO_BODY},
            credentials=self._credentials,
            content_sha256=_NO_BODY,
            date=now,
        )
        return {name: str(value) for name, value in signed.items() if name != "host"}

    @asynccontextmanager
    async def _asked(
        self,
        verb: str,
        address: SplitResult,
        headers: dict[str, str],
        deadline: Deadline,
        turn: AbstractAsyncContextManager[None] | None = None,
    ) -> AsyncIterator[Response]:
        """Ask, and see to it that asking and reading end in time; every failure is one of ours.

        ``turn`` is waited for first: a place among the calls that may be under way, if it is not said.
        """
        # a part of the time is kept back: what fails here is told while the caller still listens
        seconds = min(deadline.remaining_s * _HOP_SHARE, self._timeout_s)
        headers = headers | self._signed(verb, address)
        try:
            async with (
                asyncio.timeout(seconds),
                turn or self._calls,
                self._http.request(verb, address.path, headers) as response,
            ):
                if response.status_code in _OF_OBJECT:
                    await _read_out(response)
                _require_ok(response)
                yield response
        except (HttpFailed, TimeoutError) as error:
            log.warning("object_store_failed", reason=type(error).__name__)
            raise StoreUnavailable("the object store does not answer in time") from error

    async def _body(self, response: Response) -> bytes:
        """The bytes of an answer, all of them and not one more."""
        self._require_small(response)
        file = io.BytesIO()  # a list would hold far more than the bytes, where they come in small parts
        async for part in response.chunks():
            if file.tell() + len(part) > self._limit_bytes:
                raise self._too_large()
            file.write(part)
        return file.getvalue()

    def _require_small(self, response: Response) -> None:
        """Let nothing pass that announces more than a radiograph may have."""
        announced = response.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced) > self._limit_bytes:
            raise self._too_large()

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the radiograph's file exceeds {self._limit_bytes} bytes")


async def _read_out(response: Response) -> None:
    """Read why the store sends no object; where that is short, the connection is kept."""
    size = 0
    async for part in response.chunks():
        size += len(part)
        if size > _MOST_SAID_BYTES:
            return


def _etag_of(response: Response) -> str:
    """The version of an object; without one, another under the same id would be answered from the cache."""
    etag = response.headers.get("etag", "").replace('"', "")
    if not 0 < len(etag) <= _MOST_ETAG:
        raise StoreUnavailable("the object store does not answer sensibly")
    return etag


def _require_ok(response: Response) -> None:
    """Let no other answer pass than the object; the store's own words go nowhere."""
    status = response.status_code
    if status == HTTPStatus.OK:
        return
    if status == HTTPStatus.NOT_FOUND:
        raise RadiographNotFound("no radiograph of that id")
    if status == HTTPStatus.PRECONDITION_FAILED:
        raise RadiographChanged("the radiograph was replaced while it was read")
    log.warning("object_store_failed", status=status)
    raise StoreUnavailable("the object store does not answer")
