"""The proxy as a process: tokens over HTTP, limits, life cycle."""

import asyncio
import signal
import socket

import httpx
import pytest

from pleura.local import token_issuer
from proof.lab.proxy import AUDIENCE, Issuer, Proxy, Upstream, wait_until
from tests.auth_proxy.conftest import Port, StartProxy

INFER = "/v2/models/chest-xray/infer"


def bearer(token: str) -> dict[str, str]:
    """Headers with a token."""
    return {"authorization": f"Bearer {token}"}


def test_without_a_good_token_nothing_is_forwarded(
    proxy: Proxy, upstream: Upstream, local_issuer: Issuer
) -> None:
    """Missing, expired, of another audience, in a cookie or a query: 401 with the challenge."""
    folder, url = local_issuer.folder, local_issuer.url
    expired = token_issuer.issue_token(folder, "a", token_issuer.SCOPES, -60, AUDIENCE, url)
    elsewhere = token_issuer.issue_token(folder, "a", token_issuer.SCOPES, 60, "elsewhere", url)
    for headers in (
        {},
        bearer(expired),
        bearer(elsewhere),
        bearer("x"),
        {"authorization": "Basic YTpi"},
        {"cookie": f"authorization=Bearer {local_issuer.issue_token()}"},
        {"x-authorization": f"Bearer {local_issuer.issue_token()}"},
    ):
        answer = httpx.post(proxy.url + INFER, content=b"{}", headers=headers)
        assert (answer.status_code, list(answer.json())) == (401, ["error"])
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert not upstream.requests


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [((), (403, 403)), (("model:read",), (403, 200)), (("radiograph:classify",), (200, 403))],
)
def test_a_scope_allows_its_routes_only(
    proxy: Proxy, local_issuer: Issuer, scopes: tuple[str, ...], expected: tuple[int, int]
) -> None:
    """Who may read may not classify, and the other way round."""
    headers = bearer(local_issuer.issue_token(scopes=scopes))
    classify = httpx.post(proxy.url + INFER, content=b"{}", headers=headers)
    read = httpx.get(f"{proxy.url}/model-info", headers=headers)
    assert (classify.status_code, read.status_code) == expected


def test_two_tokens_are_none(proxy: Proxy, local_issuer: Issuer) -> None:
    """Two ``Authorization`` headers are refused, whichever is good."""
    headers = [("authorization", "Bearer x"), ("authorization", f"Bearer {local_issuer.issue_token()}")]
    assert httpx.get(f"{proxy.url}/model-info", headers=headers).status_code == 400


def test_a_new_key_of_the_issuer_is_taken_up(proxy: Proxy, local_issuer: Issuer) -> None:
    """A token of a key that was not there at the start is believed, and the old ones still are."""
    old = local_issuer.issue_token()
    token_issuer.add_key(local_issuer.folder)
    for token in (local_issuer.issue_token(), old):
        assert httpx.get(f"{proxy.url}/model-info", headers=bearer(token)).status_code == 200


def test_a_principal_has_its_rate(start_proxy: StartProxy, upstream: Upstream, local_issuer: Issuer) -> None:
    """The burst is answered, the rest is told when to come back; another principal is not touched."""
    proxy = start_proxy(rate_per_s=0.01, burst=3)
    headers = bearer(local_issuer.issue_token())
    wait_until(lambda: httpx.get(f"{proxy.url}/readyz").status_code == 200)
    answers = [httpx.get(f"{proxy.url}/v2", headers=headers) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 100
    other = httpx.get(f"{proxy.url}/v2", headers=bearer(local_issuer.issue_token("another")))
    assert other.status_code == 200


async def test_what_is_in_flight_is_bounded(
    start_proxy: StartProxy, upstream: Upstream, local_issuer: Issuer
) -> None:
    """What comes on top is turned away at once, with Retry-After; health is answered all the same."""
    proxy = start_proxy(max_in_flight=2)
    await asyncio.to_thread(wait_until, lambda: httpx.get(f"{proxy.url}/readyz").status_code == 200)
    upstream.delay_s = 4
    async with httpx.AsyncClient(
        base_url=proxy.url, headers=bearer(local_issuer.issue_token()), timeout=60
    ) as client:
        asked = [asyncio.create_task(client.post(INFER, content=b"{}")) for _ in range(6)]
        health = await client.get("/healthz")
        answers = await asyncio.gather(*asked)
    assert health.status_code == 200
    assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503, 503, 503]
    assert {a.headers["retry-after"] for a in answers if a.status_code == 503} == {"1"}


def test_without_transformer_it_says_so(
    start_proxy: StartProxy, local_issuer: Issuer, free_port: Port
) -> None:
    """503 with Retry-After and no inner address; not ready, but alive."""
    port = free_port()
    proxy = start_proxy(transformer_url=f"http://127.0.0.1:{port}")
    headers = bearer(local_issuer.issue_token())
    wait_until(lambda: httpx.get(f"{proxy.url}/readyz").json()["keys"])
    for path in ("/v2", "/model-info"):
        answer = httpx.get(proxy.url + path, headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert str(port) not in answer.text
    assert httpx.get(f"{proxy.url}/readyz").json() == {"ready": False, "keys": True, "transformer": False}


def test_without_issuer_nobody_is_let_in(
    start_proxy: StartProxy, local_issuer: Issuer, free_port: Port
) -> None:
    """No key was ever known: 503, not ready."""
    proxy = start_proxy(jwks_url=f"http://127.0.0.1:{free_port()}/jwks.json")
    answer = httpx.get(f"{proxy.url}/v2", headers=bearer(local_issuer.issue_token()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert httpx.get(f"{proxy.url}/readyz").json()["keys"] is False


def test_sigterm_lets_what_is_in_flight_end(
    start_proxy: StartProxy, upstream: Upstream, local_issuer: Issuer
) -> None:
    """The request that runs is answered, then the process ends with 0."""
    proxy = start_proxy()
    wait_until(lambda: httpx.get(f"{proxy.url}/readyz").status_code == 200)
    upstream.delay_s = 1

    async def ask_and_stop() -> httpx.Response:
        async with httpx.AsyncClient(
            base_url=proxy.url, headers=bearer(local_issuer.issue_token())
        ) as client:
            asked = asyncio.create_task(client.post(INFER, content=b"{}", timeout=30))
            await asyncio.to_thread(wait_until, lambda: bool(upstream.requests))
            proxy.process.send_signal(signal.SIGTERM)
            return await asked

    assert asyncio.run(ask_and_stop()).status_code == 200
    assert proxy.process.wait(120) == 0


def test_a_wrong_setting_stops_the_start(start_proxy: StartProxy) -> None:
    """One line names it."""
    proxy = start_proxy(leeway_s=61)
    assert proxy.process.wait(120) == 2
    (line,) = proxy.log.read_text().splitlines()
    assert "PLEURA_LEEWAY_S" in line


@pytest.mark.parametrize("name", ["http_port", "grpc_port"])
def test_a_taken_port_stops_the_start(start_proxy: StartProxy, name: str) -> None:
    """One line names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        proxy = start_proxy(**{name: taken.getsockname()[1]})
        assert proxy.process.wait(120) == 2
    (line,) = [line for line in proxy.log.read_text().splitlines() if "start_refused" in line]
    assert f"PLEURA_{name.upper()}" in line
