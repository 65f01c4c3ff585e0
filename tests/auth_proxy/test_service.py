"""The proxy as a process: tokens over HTTP, limits, start and end."""

import asyncio
import signal
import socket

import httpx
import pytest

from pleura.local import token_issuer
from proof.lab.module_process import wait_until
from proof.lab.proxy import AUDIENCE, Issuer, Proxy
from proof.lab.stand_in_transformer import Upstream
from tests.auth_proxy.conftest import Port, StartProxy
from tests.support.errors import check_error

INFER = "/v2/models/chest-xray/infer"


def bearer(token: str) -> dict[str, str]:
    """Build headers with a token."""
    return {"authorization": f"Bearer {token}"}


def test_without_a_good_token_nothing_is_forwarded(
    proxy: Proxy, upstream: Upstream, local_issuer: Issuer
) -> None:
    """A token that is missing, expired, for another audience or in another header gets a 401."""
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
        assert answer.status_code == 401
        check_error(answer.json(), code="unauthenticated", request_id=answer.headers["x-request-id"])
        has_token = headers.get("authorization", "").startswith("Bearer")
        challenge = 'Bearer realm="pleura"' + (', error="invalid_token"' if has_token else "")
        assert answer.headers["www-authenticate"] == challenge
    assert not upstream.requests


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [((), (403, 403)), (("model:read",), (403, 200)), (("radiograph:classify",), (200, 403))],
)
def test_a_scope_allows_its_routes_only(
    proxy: Proxy, local_issuer: Issuer, scopes: tuple[str, ...], expected: tuple[int, int]
) -> None:
    """A scope to read does not allow to classify, and the reverse."""
    headers = bearer(local_issuer.issue_token(scopes=scopes))
    classify = httpx.post(proxy.url + INFER, content=b"{}", headers=headers)
    read = httpx.get(f"{proxy.url}/model-info", headers=headers)
    assert (classify.status_code, read.status_code) == expected
    for answer, scope in ((classify, "radiograph:classify"), (read, "model:read")):
        challenge = f'Bearer realm="pleura", error="insufficient_scope", scope="{scope}"'
        assert answer.headers.get("www-authenticate") == (challenge if answer.status_code == 403 else None)


def test_two_tokens_are_refused(proxy: Proxy, local_issuer: Issuer) -> None:
    """Two ``Authorization`` headers are refused, although one is good."""
    headers = [("authorization", "Bearer x"), ("authorization", f"Bearer {local_issuer.issue_token()}")]
    assert httpx.get(f"{proxy.url}/model-info", headers=headers).status_code == 400


def test_a_new_key_of_the_issuer_is_accepted(proxy: Proxy, local_issuer: Issuer) -> None:
    """A token of a key that was published after the start is accepted, and old tokens are still accepted."""
    old = local_issuer.issue_token()
    token_issuer.add_key(local_issuer.folder)
    for token in (local_issuer.issue_token(), old):
        assert httpx.get(f"{proxy.url}/model-info", headers=bearer(token)).status_code == 200


def test_a_principal_has_its_rate(start_proxy: StartProxy, upstream: Upstream, local_issuer: Issuer) -> None:
    """Requests beyond the burst get 429 with Retry-After. Another principal is not affected."""
    proxy = start_proxy(rate_per_s=0.01, burst=3)
    headers = bearer(local_issuer.issue_token())
    wait_until(lambda: httpx.get(f"{proxy.url}/readyz").status_code == 200)
    answers = [httpx.get(f"{proxy.url}/v2", headers=headers) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 100
    other = httpx.get(f"{proxy.url}/v2", headers=bearer(local_issuer.issue_token("another")))
    assert other.status_code == 200


async def test_requests_in_flight_are_limited(
    start_proxy: StartProxy, upstream: Upstream, local_issuer: Issuer
) -> None:
    """Requests beyond the limit get 503 with Retry-After at once. Health is still answered."""
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


def test_without_a_transformer_the_proxy_is_not_ready(
    start_proxy: StartProxy, local_issuer: Issuer, free_port: Port
) -> None:
    """The answer is 503 with Retry-After and without an inner address. The proxy is alive, but not ready."""
    port = free_port()
    proxy = start_proxy(transformer_url=f"http://127.0.0.1:{port}")
    headers = bearer(local_issuer.issue_token())
    wait_until(lambda: httpx.get(f"{proxy.url}/readyz").json()["keys"])
    for path in ("/v2", "/model-info"):
        answer = httpx.get(proxy.url + path, headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert str(port) not in answer.text
    assert httpx.get(f"{proxy.url}/readyz").json() == {"ready": False, "keys": True, "transformer": False}


def test_without_an_issuer_no_token_is_accepted(
    start_proxy: StartProxy, local_issuer: Issuer, free_port: Port
) -> None:
    """Without any key the answer is 503, and the proxy is not ready."""
    proxy = start_proxy(jwks_url=f"http://127.0.0.1:{free_port()}/jwks.json")
    answer = httpx.get(f"{proxy.url}/v2", headers=bearer(local_issuer.issue_token()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert httpx.get(f"{proxy.url}/readyz").json()["keys"] is False


def test_sigterm_lets_requests_in_flight_end(
    start_proxy: StartProxy, upstream: Upstream, local_issuer: Issuer
) -> None:
    """The request in flight is answered, then the process ends with code 0."""
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
    """One log line names the setting."""
    proxy = start_proxy(leeway_s=61)
    assert proxy.process.wait(120) == 2
    (line,) = proxy.log.read_text().splitlines()
    assert "PLEURA_LEEWAY_S" in line


def test_an_unknown_variable_stops_the_start(start_proxy: StartProxy) -> None:
    """One log line names the variable and the setting that was meant."""
    proxy = start_proxy(leeway=5)
    assert proxy.process.wait(120) == 2
    (line,) = proxy.log.read_text().splitlines()
    assert "PLEURA_LEEWAY: there is no such setting; the nearest is PLEURA_LEEWAY_S" in line


@pytest.mark.parametrize("name", ["http_port", "grpc_port"])
def test_a_taken_port_stops_the_start(start_proxy: StartProxy, name: str) -> None:
    """One log line names the setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        proxy = start_proxy(**{name: taken.getsockname()[1]})
        assert proxy.process.wait(120) == 2
    (line,) = [line for line in proxy.log.read_text().splitlines() if "start_refused" in line]
    assert f"PLEURA_{name.upper()}" in line
