"""A cheap HTTP client for load: it sends prepared bytes, and reads only the status of an answer.

The client shares the machine with the services that it measures. ``proof.lab.load.Caller`` costs 0.4 ms of
processor time a call, more than a cache hit costs a service. This client costs about a tenth of that.
"""

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, cast
from urllib.parse import urlsplit

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RETRY_AFTER: Final = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)
# Clients connect one after the other, and the first requests are slower.
_WARM_UP_S: Final = 1.0
_TIMEOUT_S: Final = 60.0
_REFUSALS: Final = (429, 503)
BROKEN: Final = 0
"""The status of a request that got no answer."""


@dataclass(frozen=True)
class Reply:
    """One answer, the time when it was complete, and how long it took."""

    status: int
    at_s: float
    seconds: float
    retry_after_s: float
    body: bytes


class RawConnection(asyncio.Protocol):
    """A kept-alive connection that carries one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._needed: int | None = None
        self._reply: asyncio.Future[bytes] | None = None
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport to write to."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Collect the answer until it is complete."""
        self._received += data
        if self._needed is None:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(self._received, 0, end)
            if length is None:
                raise ConnectionError("the answer has no content-length")
            self._needed = end + 4 + int(length[1])
        if len(self._received) >= self._needed and self._reply and not self._reply.done():
            self._reply.set_result(bytes(self._received))

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the pending request. A server may close the connection after it has refused a request."""
        self.is_closed = True
        if self._reply and not self._reply.done():
            self._reply.set_exception(error or ConnectionError("the connection was closed"))

    async def send(self, request: bytes) -> Reply:
        """Send a request and wait for its answer. The status is ``BROKEN`` if no answer comes."""
        assert self._transport
        self._received.clear()
        self._needed, self._reply = None, asyncio.get_running_loop().create_future()
        began_s = time.perf_counter()
        self._transport.write(request)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                answer = await self._reply
        except OSError:  # includes TimeoutError; a late answer must not be read as the next one
            self.close()
            now_s = time.perf_counter()
            return Reply(BROKEN, now_s, now_s - began_s, 0.0, b"")
        at_s = time.perf_counter()
        head, _, body = answer.partition(b"\r\n\r\n")
        retry_after = _RETRY_AFTER.search(head)
        wait_s = float(retry_after[1]) if retry_after else 0.0
        return Reply(int(head[9:12]), at_s, at_s - began_s, wait_s, body)

    def close(self) -> None:
        """Close the connection."""
        self.is_closed = True
        if self._transport:
            self._transport.close()


async def open_connection(address: str) -> RawConnection:
    """Open a connection to ``http://host:port``."""
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or 80
    _, connection = await asyncio.get_running_loop().create_connection(RawConnection, host, port)
    return connection


@dataclass(frozen=True)
class LoadResult:
    """The replies to some load. The rate is taken between ``from_s`` and ``until_s``."""

    replies: Sequence[Reply]
    from_s: float
    until_s: float

    @property
    def answered(self) -> list[Reply]:
        """The replies that carry findings."""
        return [reply for reply in self.replies if reply.status == 200]

    @property
    def refused(self) -> list[Reply]:
        """The replies that refuse a request."""
        return [reply for reply in self.replies if reply.status in _REFUSALS]

    @property
    def unanswered(self) -> list[Reply]:
        """The replies that carry no findings."""
        return [reply for reply in self.replies if reply.status != 200]

    @property
    def per_s(self) -> float:
        """Answers a second between ``from_s`` and ``until_s``."""
        inside = sum(self.from_s <= reply.at_s < self.until_s for reply in self.answered)
        return inside / (self.until_s - self.from_s)

    @property
    def failed(self) -> list[Reply]:
        """The replies that neither carry findings nor refuse a request."""
        return [reply for reply in self.replies if reply.status not in (200, *_REFUSALS)]


def compute_quantile_ms(replies: Sequence[Reply], share: float) -> float:
    """Compute a quantile of the reply times, in milliseconds. ``share`` is between 0 and 1."""
    ordered = sorted(reply.seconds for reply in replies)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def send_one_by_one(address: str, requests: Iterator[bytes], number: int) -> list[Reply]:
    """Send ``number`` requests over one connection, one after the other."""
    connection = await open_connection(address)
    replies = [await connection.send(next(requests)) for _ in range(number)]
    connection.close()
    assert all(reply.status == 200 for reply in replies), replies[0]
    return replies


async def send_from_clients(
    address: str, requests: Iterator[bytes], clients: int, seconds: float
) -> LoadResult:
    """Let ``clients`` clients send one request after the other. A refused client waits for Retry-After.

    The rate leaves out the first second, in which some clients have not started yet.
    """
    from_s = time.perf_counter() + _WARM_UP_S
    until_s, replies = from_s + seconds, list[Reply]()

    async def send_requests() -> None:
        connection = await open_connection(address)
        while time.perf_counter() < until_s:
            reply = await connection.send(next(requests))
            replies.append(reply)
            # Refused clients that come back at once would lower the rate that is measured.
            if reply.status in _REFUSALS:
                await asyncio.sleep(reply.retry_after_s or 0.1)
            if connection.is_closed:
                connection = await open_connection(address)
        connection.close()

    await asyncio.gather(*(send_requests() for _ in range(clients)))
    return LoadResult(replies, from_s, until_s)


async def send_at_rate(address: str, requests: Iterator[bytes], per_s: float, seconds: float) -> LoadResult:
    """Send requests at a steady rate, without waiting for the answers."""
    idle, replies = list[RawConnection](), list[Reply]()
    began_s = time.perf_counter()

    async def send() -> None:
        # The server may have closed it meanwhile; a request on it would count as failed.
        while idle and idle[-1].is_closed:
            idle.pop()
        connection = idle.pop() if idle else await open_connection(address)
        replies.append(await connection.send(next(requests)))
        idle.append(connection)

    async with asyncio.TaskGroup() as calls:
        for number in count():
            if number / per_s >= seconds:
                break
            # Due times count from the start, so that a sleep that ends late does not lower the rate.
            await asyncio.sleep(max(0.0, began_s + number / per_s - time.perf_counter()))
            calls.create_task(send())
    for connection in idle:
        connection.close()
    return LoadResult(replies, began_s, began_s + seconds)
