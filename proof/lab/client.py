"""A client that costs next to nothing: requests are bytes made beforehand, answers are counted, not read.

The client shares the machine with what it measures. ``proof.lab.load.Caller`` costs 0.4 ms of processor time
a call, more than a cache hit does in either of our services; this one costs about a tenth of that.
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
_LEAD_S: Final = 1.0
_GIVES_UP_S: Final = 60.0
_REFUSALS: Final = (429, 503)
BROKEN: Final = 0
"""The status of a request that got no answer."""


@dataclass(frozen=True)
class Reply:
    """What came back, when it had all come, and how long that took."""

    status: int
    at_s: float
    seconds: float
    retry_after_s: float
    body: bytes


class RawConnection(asyncio.Protocol):
    """One kept connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._needed: int | None = None
        self._reply: asyncio.Future[bytes] | None = None
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what one writes to."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take what comes, until the answer is whole."""
        self._received += data
        if self._needed is None:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(self._received, 0, end)
            if length is None:
                raise ConnectionError("an answer without content-length")
            self._needed = end + 4 + int(length[1])
        if len(self._received) >= self._needed and self._reply and not self._reply.done():
            self._reply.set_result(bytes(self._received))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits; a server may close after it has turned a request away."""
        self.is_closed = True
        if self._reply and not self._reply.done():
            self._reply.set_exception(error or ConnectionError("the connection was closed"))

    async def ask(self, request: bytes) -> Reply:
        """Send a request and wait for its answer; where none comes, the status says so."""
        assert self._transport
        self._received.clear()
        self._needed, self._reply = None, asyncio.get_running_loop().create_future()
        began_s = time.perf_counter()
        self._transport.write(request)
        try:
            async with asyncio.timeout(_GIVES_UP_S):
                answer = await self._reply
        except OSError:  # TimeoutError is one; what comes late must not be taken for the next answer
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
    _, wire = await asyncio.get_running_loop().create_connection(RawConnection, host, port)
    return wire


@dataclass(frozen=True)
class LoadResult:
    """What came of some load; the rate is that of the window from ``from_s`` to ``until_s``."""

    replies: Sequence[Reply]
    from_s: float
    until_s: float

    @property
    def answered(self) -> list[Reply]:
        """The replies that carry findings."""
        return [reply for reply in self.replies if reply.status == 200]

    @property
    def refused(self) -> list[Reply]:
        """The replies that turn a request away."""
        return [reply for reply in self.replies if reply.status in _REFUSALS]

    @property
    def unanswered(self) -> list[Reply]:
        """The replies that carry no findings."""
        return [reply for reply in self.replies if reply.status != 200]

    @property
    def per_s(self) -> float:
        """Answers a second within the window."""
        inside = sum(self.from_s <= reply.at_s < self.until_s for reply in self.answered)
        return inside / (self.until_s - self.from_s)

    @property
    def failed(self) -> list[Reply]:
        """The replies that are neither: they should not be."""
        return [reply for reply in self.replies if reply.status not in (200, *_REFUSALS)]


def compute_quantile_ms(replies: Sequence[Reply], share: float) -> float:
    """The time within which so large a share of the replies came, in milliseconds."""
    ordered = sorted(reply.seconds for reply in replies)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def send_one_by_one(address: str, requests: Iterator[bytes], number: int) -> list[Reply]:
    """Ask so many times, one after the other."""
    wire = await open_connection(address)
    replies = [await wire.ask(next(requests)) for _ in range(number)]
    wire.close()
    assert all(reply.status == 200 for reply in replies), replies[0]
    return replies


async def send_from_clients(
    address: str, requests: Iterator[bytes], clients: int, seconds: float
) -> LoadResult:
    """Let so many clients ask one question after the other; who is turned away waits as told.

    What is answered in the first second counts for nothing: then all of them have begun.
    """
    from_s = time.perf_counter() + _LEAD_S
    until_s, replies = from_s + seconds, list[Reply]()

    async def ask_on() -> None:
        wire = await open_connection(address)
        while time.perf_counter() < until_s:
            reply = await wire.ask(next(requests))
            replies.append(reply)
            if reply.status in _REFUSALS:
                await asyncio.sleep(reply.retry_after_s or 0.1)
            if wire.is_closed:
                wire = await open_connection(address)
        wire.close()

    await asyncio.gather(*(ask_on() for _ in range(clients)))
    return LoadResult(replies, from_s, until_s)


async def send_at_rate(address: str, requests: Iterator[bytes], per_s: float, seconds: float) -> LoadResult:
    """Ask at a steady rate whatever the answers do, as strangers would."""
    idle, replies = list[RawConnection](), list[Reply]()
    began_s = time.perf_counter()

    async def ask() -> None:
        while idle and idle[-1].is_closed:
            idle.pop()
        wire = idle.pop() if idle else await open_connection(address)
        replies.append(await wire.ask(next(requests)))
        idle.append(wire)

    async with asyncio.TaskGroup() as calls:
        for number in count():
            if number / per_s >= seconds:
                break
            await asyncio.sleep(max(0.0, began_s + number / per_s - time.perf_counter()))
            calls.create_task(ask())
    for wire in idle:
        wire.close()
    return LoadResult(replies, began_s, began_s + seconds)
