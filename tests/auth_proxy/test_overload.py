"""The proxy before a transformer that is asked three times as much as it can answer."""

from collections.abc import Awaitable

import httpx

from proof.load import Answer, Caller, at_rate, by_callers, quantile_ms
from tests.auth_proxy.conftest import StartProxy
from tests.auth_proxy.servers import Issuer, Proxy, Upstream, exchange, wait_until

_ANSWERS_PER_S = 20.0
_TIMEOUT_S = 2.0


async def test_three_times_the_load_costs_no_goodput(
    start_proxy: StartProxy, upstream: Upstream, local_issuer: Issuer
) -> None:
    """What is let in is answered in time, as much as can be; the rest is told to come back.

    With as many in flight as settings allow, 64, each would wait longer than its time-out.
    """
    settings = {"rate_per_s": 10_000, "burst": 10_000, "timeout_s": _TIMEOUT_S, "patience_s": 0.5}
    proxy = start_proxy(**settings)
    wait_until(lambda: httpx.get(f"{proxy.url}/readyz").status_code == 200)
    upstream.one_at_a_time, upstream.delay_s = True, 1 / _ANSWERS_PER_S
    caller = Caller(proxy.url, local_issuer.token())

    def ask() -> Awaitable[Answer]:
        return caller.ask("a.png")

    alone = await by_callers(ask, 4, _TIMEOUT_S)
    rate_per_s = 3 * len(alone) / _TIMEOUT_S
    await at_rate(ask, rate_per_s, 2 * _TIMEOUT_S)  # the bound finds its place
    answers = await at_rate(ask, rate_per_s, 3 * _TIMEOUT_S)
    await caller.close()
    answered = [answer for answer in answers if answer.is_ok]
    refused = [answer for answer in answers if not answer.is_ok]
    assert len(answered) >= 0.7 * 3 * len(alone)
    assert {(answer.status, answer.retry_after) for answer in refused} == {(503, "1")}
    assert quantile_ms(refused, 0.5) < quantile_ms(answered, 0.5) / 2


def test_a_refusal_keeps_the_connection(proxy: Proxy) -> None:
    """A small body has come with its head, so nothing speaks against the next request; else it is closed."""

    def request(length: int, body: bytes) -> bytes:
        head = f"POST /classify HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n"
        return head.encode() + body

    small, cut = request(4, b"{  }"), request(2**20, b"{")
    told = exchange(proxy.http_port, small + small + cut + small)
    assert told.count(b"HTTP/1.1 401") == 3
    assert told.count(b"connection: close") == 1
