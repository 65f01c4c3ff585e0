"""Load on a running stack: a client that costs little, at a steady rate or by so many callers at once."""

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
from typing import Any, Final

from minio import Minio

from pleura.http_client import HttpClient, HttpFailed
from pleura.local.access import BUCKET
from pleura.local.state_folder import StackRecord
from proof.lab.radiographs import make_fresh_radiographs

BROKEN: Final = 0
"""The status of a call whose connection was refused or broke."""
LATE: Final = -1
"""The status of a call that had no answer when the caller gave up."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0
_PATIENCE_S: Final = 120.0
_FORM: Final = "multipart/form-data; boundary=proof"
_FORM_BEGIN: Final = b'--proof\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
_FORM_END: Final = b"\r\n--proof--\r\n"


@dataclass(frozen=True)
class CallResult:
    """What came of one call; times are of the monotonic clock."""

    request_id: str
    status: int
    sent_s: float
    seconds: float
    retry_after: str | None = None
    document: Any = None
    image_id: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether findings came back."""
        return self.status == 200


class Caller:
    """Asks the proxy's ``/classify`` over kept connections."""

    def __init__(self, address: str, token: str, gives_up_s: float = 30.0) -> None:
        self._client, self._token, self._gives_up_s = HttpClient(address), token, gives_up_s

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def ask(
        self, image_id: str, request_id: str | None = None, timeout_ms: int | None = None
    ) -> CallResult:
        """Ask about one stored radiograph; never raises."""
        headers = {"content-type": "application/json"}
        if timeout_ms is not None:
            headers["x-request-timeout-ms"] = str(timeout_ms)
        return await self._ask(image_id, request_id, headers, json.dumps({"image_id": image_id}).encode())

    async def send(self, image_id: str, file: bytes, request_id: str | None = None) -> CallResult:
        """Ask about the radiograph that a file holds; never raises.

        Args:
            image_id: What the answer is to be known by; it is not sent.
            file: The radiograph.
            request_id: The request's id; a new one where none is given.
        """
        body = _FORM_BEGIN + file + _FORM_END
        return await self._ask(image_id, request_id, {"content-type": _FORM}, body)

    async def _ask(
        self, image_id: str, request_id: str | None, headers: dict[str, str], body: bytes
    ) -> CallResult:
        request_id, began_s = request_id or str(uuid.uuid4()), time.monotonic()
        headers |= {"authorization": f"Bearer {self._token}", "x-request-id": request_id}
        try:
            async with (
                asyncio.timeout(self._gives_up_s),
                self._client.request("POST", "/classify", headers, body) as response,
            ):
                content = b"".join([chunk async for chunk in response.chunks()])
        except HttpFailed:
            return CallResult(request_id, BROKEN, began_s, time.monotonic() - began_s, image_id=image_id)
        except TimeoutError:
            return CallResult(request_id, LATE, began_s, time.monotonic() - began_s, image_id=image_id)
        seconds, retry_after = time.monotonic() - began_s, response.headers.get("retry-after")
        document = json.loads(content or b"null")
        return CallResult(request_id, response.status_code, began_s, seconds, retry_after, document, image_id)


@dataclass
class RetryingCaller:
    """Callers who ask until they are answered, ever less often, each under one request id.

    ``answers`` are those to all calls; ``tries`` has those of each caller who is through, the last one last.
    """

    caller: Caller
    answers: list[CallResult] = field(default_factory=list)
    tries: list[Sequence[CallResult]] = field(default_factory=list)

    async def ask_once(self, image_id: str, request_id: str | None = None) -> CallResult:
        """Ask once."""
        answer = await self.caller.ask(image_id, request_id)
        self.answers.append(answer)
        return answer

    async def ask(self, image_id: str) -> CallResult:
        """Ask until there is an answer, or two minutes have gone by."""
        tries = [await self.ask_once(image_id)]
        end_s, pause_s = time.monotonic() + _PATIENCE_S, _FIRST_PAUSE_S
        while not tries[-1].is_ok and time.monotonic() < end_s:
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            tries.append(await self.ask_once(image_id, tries[0].request_id))
        self.tries.append(tries)
        return tries[-1]

    @property
    def given_up(self) -> list[Sequence[CallResult]]:
        """The tries of each caller who was never answered."""
        return [tries for tries in self.tries if not tries[-1].is_ok]


Ask = Callable[[], Awaitable[CallResult]]


async def call_at_rate(ask: Ask, per_s: float, seconds: float) -> list[CallResult]:
    """Call at a steady rate whatever the answers do, as strangers would, and wait for the last answer."""
    calls: list[asyncio.Future[CallResult]] = []
    began_s = time.monotonic()
    for number in count():
        due_s = began_s + number / per_s
        if due_s - began_s >= seconds:
            break
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        calls.append(asyncio.ensure_future(ask()))
    return list(await asyncio.gather(*calls))


async def call_until(stop: asyncio.Event, ask: Ask, per_s: float) -> list[CallResult]:
    """Call at a steady rate until told to stop, and wait for the last answer."""
    calls: list[asyncio.Future[CallResult]] = []
    began_s = time.monotonic()
    while not stop.is_set():
        calls.append(asyncio.ensure_future(ask()))
        due_s = began_s + len(calls) / per_s
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
    return list(await asyncio.gather(*calls))


@dataclass(frozen=True)
class SteadyCalls:
    """What came of the calls so far, and when those were made that have no answer yet."""

    answers: list[CallResult]
    waiting: dict[int, float]


@asynccontextmanager
async def call_steadily(ask: Ask, per_s: float) -> AsyncIterator[SteadyCalls]:
    """Call at a steady rate while the ``async with`` lasts; the answers are all there at its end."""
    steady = SteadyCalls([], {})

    async def call(number: int) -> None:
        steady.waiting[number] = time.monotonic()
        steady.answers.append(await ask())
        del steady.waiting[number]

    async def call_on() -> None:
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as calls:
            for number in count():
                await asyncio.sleep(max(0.0, began_s + number / per_s - time.monotonic()))
                if stopping.is_set():
                    return
                calls.create_task(call(number))

    stopping = asyncio.Event()
    calling = asyncio.create_task(call_on())
    try:
        yield steady
    finally:
        stopping.set()
        await calling


async def call_from_many(ask: Ask, callers: int, seconds: float) -> list[CallResult]:
    """Let so many callers ask one question after the other."""
    end_s, answers = time.monotonic() + seconds, []

    async def call() -> None:
        while time.monotonic() < end_s:
            answers.append(await ask())

    await asyncio.gather(*(call() for _ in range(callers)))
    return answers


def upload_files(recorded: StackRecord, files: Sequence[bytes], prefix: str = "proof") -> list[str]:
    """Put files into the stack's object store, and give their ids."""
    store = recorded.store
    address = store["url"].removeprefix("http://")
    client = Minio(address, store["access_key"], store["secret_key"], secure=False)
    names = [f"{prefix}/{number}.png" for number in range(len(files))]
    for name, file in zip(names, files, strict=True):
        client.put_object(BUCKET, name, io.BytesIO(file), len(file))
    return names


def upload_fresh_ids(recorded: StackRecord, number: int, size_px: int = 256) -> Iterator[str]:
    """Upload so many radiographs that nobody has asked about, and give their ids, again and again."""
    names = upload_files(
        recorded, make_fresh_radiographs(number, seed=time.time_ns() % 2**32, size_px=size_px)
    )
    while True:
        yield from names


def compute_quantile_ms(answers: Sequence[CallResult], share: float) -> float:
    """The time within which so large a share of the answers came, in milliseconds."""
    ordered = sorted(answer.seconds for answer in answers)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]
