"""Send load to the proxy while the issuer changes its keys, or while strangers name unknown keys."""

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from auth_proxy.tokens.key_sources import HttpKeySource
from auth_proxy.tokens.keys import REFETCH_INTERVAL_S, KeyCache
from pleura.errors import Unauthenticated
from pleura.http_client import HttpClient, HttpFailed
from proof.attacks.forge import ALGORITHM, PRIVATE, Forge, b64, jwk
from proof.attacks.key_documents import EC, RSA, Send, document
from proof.lab.clock import ManualClock
from proof.lab.proxy import Proxy
from proof.lab.recorder import RecordedRequest, RecordingServer, ok_response, recording_server


@dataclass
class PublishedKeys:
    """The keys that an issuer publishes now, and the times of the requests for them."""

    key_ids: Sequence[str]
    requested_s: list[float] = field(default_factory=list)

    def answer(self, request: RecordedRequest) -> Iterator[bytes]:
        """Answer a request with the keys."""
        self.requested_s.append(time.monotonic())
        keys = [jwk(PRIVATE[n].public_key(), ALGORITHM[n], kid=n) for n in self.key_ids]
        yield ok_response(json.dumps({"keys": keys}).encode())


@dataclass
class TokenLoadResult:
    """The statuses and times of the answers to a steady load."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    @property
    def refused(self) -> int:
        """Number of answers other than 200."""
        return self.statuses.total() - self.statuses[200]

    @property
    def p99_ms(self) -> float:
        """The 99th percentile of the times."""
        return 1000 * sorted(self.seconds)[int(0.99 * len(self.seconds))]


async def send_load(
    proxy: Proxy, make_token: Callable[[], str], until: Awaitable[None], callers: int = 4
) -> TokenLoadResult:
    """Send requests, each with a token that is made for it, until ``until`` has ended."""
    client, result, done = HttpClient(proxy.url), TokenLoadResult(), asyncio.ensure_future(until)

    async def call() -> None:
        while not done.done():
            began_s = time.monotonic()
            headers = {"authorization": f"Bearer {make_token()}"}
            result.statuses[await _send_request(client, headers)] += 1
            result.seconds.append(time.monotonic() - began_s)
            await asyncio.sleep(0.005)

    await asyncio.gather(*(call() for _ in range(callers)))
    await done
    await client.close()
    return result


async def _send_request(client: HttpClient, headers: Mapping[str, str]) -> int:
    """Send a request, and return the status of the answer; 0 without an answer."""
    try:
        async with client.request("GET", "/v2", headers, b"") as response:
            async for _ in response.chunks():
                pass
    except HttpFailed:
        return 0
    return response.status_code


def build_unknown_key_requests(forge: Forge, first: int, number: int) -> bytes:
    """Build requests, each with a token of another unknown key."""
    claims, signature = b64(forge.claims()), b64(bytes(64))
    tokens = (f"{b64(forge.header(kid=f'unknown-{first + n}'))}.{claims}.{signature}" for n in range(number))
    return b"".join(
        f"GET /v2 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode() for token in tokens
    )


def flood(proxy: Proxy, forge: Forge, per_s: float, seconds: float) -> int:
    """Send tokens of unknown keys at a rate, if the proxy keeps up; return how many were refused."""
    batch, refused, began_s = 50, 0, time.monotonic()
    with socket.create_connection(("127.0.0.1", proxy.http_port), timeout=30) as connection:
        while (passed_s := time.monotonic() - began_s) < seconds:
            if refused > passed_s * per_s:
                time.sleep(0.01)
                continue
            connection.sendall(build_unknown_key_requests(forge, refused, batch))
            received = b""
            while received.count(b"HTTP/1.1 ") < batch or not received.endswith(b"}"):
                received += connection.recv(65536)
            assert received.count(b"HTTP/1.1 401 ") == batch, received[:200]
            refused += batch
    return refused


async def find_known_keys(cache: KeyCache) -> set[str]:
    """Return the keys that a cache knows after it has refetched as often as it may."""
    with suppress(Unauthenticated):
        # Only an unknown key makes the cache ask.
        await cache.find_key("there is none")
    return set(cache.keys)


async def find_keys_after(send: Send, evil: RecordingServer) -> set[str]:
    """Return the known keys after an issuer has published two good ones, and then what ``send`` sends."""

    def answer(request: RecordedRequest) -> Iterator[bytes]:
        return iter([ok_response(document(EC, RSA))]) if len(issuer.requests) == 1 else send(evil.url)

    clock = ManualClock()
    with recording_server(answer) as issuer:
        cache = KeyCache(HttpKeySource(f"{issuer.url}/jwks.json"), clock)
        await find_known_keys(cache)
        # Earlier the cache would not ask the issuer again.
        clock.now += REFETCH_INTERVAL_S
        keys = await find_known_keys(cache)
        assert len(issuer.requests) == 2
    return keys
