"""Scripts of web pages: only listed origins may read answers."""

import httpx
import pytest

from proof.lab.module_process import wait_until
from proof.lab.proxy import Issuer, Proxy
from proof.lab.stand_in_transformer import Upstream
from tests.auth_proxy.conftest import StartProxy

VIEWER, OTHER = "https://viewer.hospital.example", "https://evil.example"
PREFLIGHT = {"origin": VIEWER, "access-control-request-method": "POST"}
INFER = "/v2/models/chest-xray/infer"


@pytest.fixture(scope="module")
def open_proxy(start_proxy: StartProxy) -> Proxy:
    """A proxy that lists two origins."""
    proxy = start_proxy(cors_origins=f"{VIEWER}, http://localhost:3000")
    wait_until(lambda: httpx.get(f"{proxy.url}/readyz").status_code == 200)
    return proxy


def read_cors(answer: httpx.Response) -> dict[str, str]:
    """Read the headers that browsers look at."""
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control")}


@pytest.mark.parametrize(
    ("path", "verbs"),
    [("/classify", "POST"), (INFER, "POST"), ("/model-info", "GET"), ("/healthz", "GET, HEAD")],
)
def test_a_preflight_is_answered_on_known_routes(
    open_proxy: Proxy, upstream: Upstream, path: str, verbs: str
) -> None:
    """No token is needed, nothing is forwarded, and no credentials are allowed."""
    answer = httpx.options(open_proxy.url + path, headers=PREFLIGHT)
    assert (answer.status_code, answer.content) == (204, b"")
    cors = read_cors(answer)
    assert cors["access-control-allow-origin"] == VIEWER
    assert cors["access-control-allow-methods"] == verbs
    assert "authorization" in cors["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in cors
    assert answer.headers["vary"].startswith("Origin")
    assert not upstream.requests


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/classify", PREFLIGHT | {"origin": OTHER}, 405),
        ("/classify", PREFLIGHT | {"origin": "null"}, 405),
        ("/classify", PREFLIGHT | {"origin": VIEWER + ".evil.example"}, 405),
        ("/classify", PREFLIGHT | {"origin": VIEWER.upper()}, 405),
        ("/classify", {"access-control-request-method": "POST"}, 405),
        ("/classify", {"origin": VIEWER}, 405),
        ("/nothing", PREFLIGHT, 404),
        ("/v2/models/a/b", PREFLIGHT, 404),
        ("/metrics", PREFLIGHT, 404),
    ],
)
def test_any_other_preflight_is_refused(
    open_proxy: Proxy, path: str, headers: dict[str, str], status: int
) -> None:
    """A verb that no route has is refused as ever."""
    answer = httpx.options(open_proxy.url + path, headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-methods" not in read_cors(answer)


def test_two_origins_are_none(open_proxy: Proxy) -> None:
    """A request that names two origins is treated like one of an origin that is not listed."""
    headers = [("origin", VIEWER), ("origin", VIEWER), ("access-control-request-method", "POST")]
    answer = httpx.options(f"{open_proxy.url}/classify", headers=headers)
    assert (answer.status_code, read_cors(answer)) == (405, {})


def test_a_listed_page_may_read_answers_and_errors(open_proxy: Proxy, local_issuer: Issuer) -> None:
    """It may read the request id, when to retry and which token is needed."""
    token = {"authorization": f"Bearer {local_issuer.issue_token()}"}
    for headers, status in ((token, 200), ({}, 401)):
        answer = httpx.get(f"{open_proxy.url}/model-info", headers=headers | {"origin": VIEWER})
        assert answer.status_code == status
        cors = read_cors(answer)
        assert cors["access-control-allow-origin"] == VIEWER
        assert {"x-request-id", "retry-after", "www-authenticate"} <= set(
            cors["access-control-expose-headers"].split(", ")
        )
        assert (answer.headers["vary"], "access-control-allow-credentials" in cors) == ("Origin", False)


@pytest.mark.parametrize("origin", [OTHER, "null", "*", ""])
def test_another_page_may_read_nothing(open_proxy: Proxy, local_issuer: Issuer, origin: str) -> None:
    """The answer is the same for it, except that its browser keeps it back. Caches keep both apart."""
    token = {"authorization": f"Bearer {local_issuer.issue_token()}", "origin": origin}
    answer = httpx.get(f"{open_proxy.url}/model-info", headers=token)
    assert (answer.status_code, read_cors(answer), answer.headers["vary"]) == (200, {}, "Origin")


def test_by_default_there_is_no_cors(proxy: Proxy) -> None:
    """No header of CORS is sent, and a preflight is a verb that no route has."""
    answer = httpx.options(f"{proxy.url}/classify", headers=PREFLIGHT)
    assert (answer.status_code, read_cors(answer), "vary" in answer.headers) == (405, {}, False)
