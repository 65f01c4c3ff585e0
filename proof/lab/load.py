"""Load on a running stack, at a steady rate or from a number of callers at once."""

import asyncio
import io
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Self

from minio import Minio

from pleura.http_client import HttpClient, HttpFailed
from pleura.local.access import BUCKET
from pleura.local.state_folder import StackRecord
from proof.lab.radiographs import make_fresh_radiographs

BROKEN: Final = 0
"""The status of a call whose connection was refused or broke."""
LATE: Final = -1
"""The status of a call that had no answer within the caller's timeout."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0
_RETRY_TIMEOUT_S: Final = 120.0
_FORM: Final = "multipart/form-data; boundary=proof"
_FORM_BEGIN: Final = b'--proof\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
_FORM_END: Final = b"\r\n--proof--\r\n"


@dataclass(frozen=True)
class CallResult:
    """The result of one call. Times are those of the monotonic clock."""

    request_id: str
    status: int
    sent_s: float
    seconds: float
    retry_after: str | None = None
    document: Any = None
    image_id: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether the answer carries findings."""
        return self.status == 200


class Caller:
    """Sends requests to the proxy's ``/classify`` over kept-alive connections."""

    def __init__(self, address: str, token: str, timeout_s: float = 30.0) -> None:
        # Not httpx: its TLS context alone once took longer than the time that was measured.
        self._client, self._token, self._timeout_s = HttpClient(address), token, timeout_s

    async def __aenter__(self) -> Self:
        """Return the caller, whose connections close at the end of the block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def send_id(
        self, image_id: str, request_id: str | None = None, timeout_ms: int | None = None
    ) -> CallResult:
        """Request the findings of one stored radiograph. Never raises."""
        headers = {"content-type": "application/json"}
        if timeout_ms is not None:
            headers["x-request-timeout-ms"] = str(timeout_ms)
        return await self._post(image_id, request_id, headers, json.dumps({"image_id": image_id}).encode())

    async def send_file(self, image_id: str, file: bytes, request_id: str | None = None) -> CallResult:
        """Request the findings of a file. Never raises.

        Args:
            image_id: A name for the answer. It is not sent.
            file: The radiograph.
            request_id: The request's id. None makes a new one.
        """
        body = _FORM_BEGIN + file + _FORM_END
        return await self._post(image_id, request_id, {"content-type": _FORM}, body)

    async def _post(
        self, image_id: str, request_id: str | None, headers: dict[str, str], body: bytes
    ) -> CallResult:
        request_id, began_s = request_id or str(uuid.uuid4()), time.monotonic()
        headers |= {"authorization": f"Bearer {self._token}", "x-request-id": request_id}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.request("POST", "/classify", headers, body) as response,
            ):
                content = b"".join([chunk async for chunk in response.chunks()])
        except HttpFailed:
            return CallResult(request_id, BROKEN, began_s, time.monotonic() - began_s, image_id=image_id)
        except TimeoutError:
            return CallResult(request_id, LATE, began_s, time.monotonic() - began_s, image_id=image_id)
        seconds, retry_after = time.monotonic() - began_s, response.headers.get("retry-after")
        # An error from outside Pleura may have no body.
        document = json.loads(content or b"null")
        return CallResult(request_id, response.status_code, began_s, seconds, retry_after, document, image_id)


@dataclass
class RetryingCaller:
    """Callers that repeat a request under the same request id until it is answered, with growing pauses.

    ``answers`` has the answers to all calls. ``tries`` has the answers to each finished caller, in order.
    """

    caller: Caller
    answers: list[CallResult] = field(default_factory=list)
    tries: list[Sequence[CallResult]] = field(default_factory=list)

    async def send_once(self, image_id: str, request_id: str | None = None) -> CallResult:
        """Send one request."""
        answer = await self.caller.send_id(image_id, request_id)
        self.answers.append(answer)
        return answer

    async def send_until_answered(self, image_id: str) -> CallResult:
        """Repeat a request until it is answered, or two minutes have passed."""
        tries = [await self.send_once(image_id)]
        end_s, pause_s = time.monotonic() + _RETRY_TIMEOUT_S, _FIRST_PAUSE_S
        while not tries[-1].is_ok and time.monotonic() < end_s:
            # At random, so that callers that failed together do not come back together.
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            # docs/decisions/0033: the same id, so that two tries that both succeed give one row.
            tries.append(await self.send_once(image_id, tries[0].request_id))
        self.tries.append(tries)
        return tries[-1]

    @property
    def given_up(self) -> list[Sequence[CallResult]]:
        """The tries of each caller that got no findings."""
        return [tries for tries in self.tries if not tries[-1].is_ok]


Send = Callable[[], Awaitable[CallResult]]


async def call_at_rate(send: Send, per_s: float, seconds: float) -> list[CallResult]:
    """Call at a steady rate, without waiting for the answers. Then wait for the last answer."""
    calls: list[asyncio.Future[CallResult]] = []
    began_s = time.monotonic()
    for number in count():
        # From the start of the load, so that a sleep that ends late does not lower the rate.
        due_s = began_s + number / per_s
        if due_s - began_s >= seconds:
            break
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        calls.append(asyncio.ensure_future(send()))
    return list(await asyncio.gather(*calls))


async def call_until(stop: asyncio.Event, send: Send, per_s: float) -> list[CallResult]:
    """Call at a steady rate until ``stop`` is set. Then wait for the last answer."""
    calls: list[asyncio.Future[CallResult]] = []
    began_s = time.monotonic()
    while not stop.is_set():
        calls.append(asyncio.ensure_future(send()))
        due_s = began_s + len(calls) / per_s
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
    return list(await asyncio.gather(*calls))


@dataclass(frozen=True)
class SteadyCalls:
    """The answers so far, and the start times of the calls that have no answer yet."""

    answers: list[CallResult]
    waiting: dict[int, float]


@asynccontextmanager
async def call_steadily(send: Send, per_s: float) -> AsyncIterator[SteadyCalls]:
    """Call at a steady rate during the ``async with``. At its end all answers have arrived."""
    steady = SteadyCalls([], {})

    async def call(number: int) -> None:
        steady.waiting[number] = time.monotonic()
        steady.answers.append(await send())
        del steady.waiting[number]

    async def start_calls() -> None:
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as calls:
            for number in count():
                await asyncio.sleep(max(0.0, began_s + number / per_s - time.monotonic()))
                if stopping.is_set():
                    return
                calls.create_task(call(number))

    stopping = asyncio.Event()
    calling = asyncio.create_task(start_calls())
    try:
        yield steady
    finally:
        stopping.set()
        await calling


async def call_from_many(send: Send, callers: int, seconds: float) -> list[CallResult]:
    """Let ``callers`` callers send one request after the other."""
    end_s, answers = time.monotonic() + seconds, []

    async def call() -> None:
        while time.monotonic() < end_s:
            answers.append(await send())

    await asyncio.gather(*(call() for _ in range(callers)))
    return answers


def upload_files(record: StackRecord, files: Sequence[bytes], prefix: str = "proof") -> list[str]:
    """Upload files to the stack's object store, and return their ids."""
    store = record.store
    address = store["url"].removeprefix("http://")
    client = Minio(address, store["access_key"], store["secret_key"], secure=False)
    names = [f"{prefix}/{number}.png" for number in range(len(files))]
    for name, file in zip(names, files, strict=True):
        client.put_object(BUCKET, name, io.BytesIO(file), len(file))
    return names


def upload_fresh_ids(record: StackRecord, number: int, size_px: int = 256) -> Iterator[str]:
    """Upload ``number`` radiographs that no cache knows, and yield their ids in turn without end."""
    names = upload_files(record, make_fresh_radiographs(number, seed=time.time_ns() % 2**32, size_px=size_px))
    while True:
        yield from names


def compute_quantile_ms(answers: Sequence[CallResult], share: float) -> float:
    """Compute a quantile of the answer times, in milliseconds. ``share`` is between 0 and 1."""
    ordered = sorted(answer.seconds for answer in answers)
    # The next higher value, not between two: a bound must not be met by interpolation.
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]
