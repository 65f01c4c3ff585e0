"""Health over REST needs no token."""

import httpx
import pytest

from proof.lab.module_process import wait_until
from proof.lab.proxy import Issuer, Proxy
from proof.lab.stand_in_transformer import Upstream

PATHS = {
    "/healthz": {"live": True, "keys": True},
    "/readyz": {"ready": True, "keys": True, "transformer": True},
    "/v2/health/live": {"live": True},
    "/v2/health/ready": {"ready": True},
    "/v2/models/chest-xray/ready": {"name": "chest-xray", "ready": True},
}


@pytest.mark.parametrize("path", PATHS)
def test_health_is_answered_without_a_token(proxy: Proxy, upstream: Upstream, path: str) -> None:
    """GET has a document, HEAD the same status and length without it, and the transformer gets no call."""
    answer = httpx.get(proxy.url + path)
    assert (answer.status_code, answer.json()) == (200, PATHS[path])
    head = httpx.head(proxy.url + path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == answer.headers["content-length"]
    assert not upstream.requests


@pytest.mark.parametrize("path", [path for path in PATHS if path.endswith(("ready", "readyz"))])
def test_an_unready_transformer_shows(proxy: Proxy, upstream: Upstream, path: str) -> None:
    """The status is 503 for GET and HEAD."""
    upstream.ready = False
    wait_until(lambda: httpx.head(proxy.url + path).status_code == 503, 10)
    assert httpx.get(proxy.url + path).json()["ready"] is False
    upstream.ready = True
    wait_until(lambda: httpx.head(proxy.url + path).status_code == 200, 10)


@pytest.mark.parametrize("path", ["/v2/models/chest-xray/versions/1.2.3/ready", "/v2/models/other/ready"])
def test_a_version_and_another_model_need_a_token(
    proxy: Proxy, upstream: Upstream, local_issuer: Issuer, path: str
) -> None:
    """Strangers cannot find out which version is served. A reader is answered by the transformer."""
    assert httpx.get(proxy.url + path).status_code == httpx.head(proxy.url + path).status_code == 401
    assert not upstream.requests
    token = {"authorization": f"Bearer {local_issuer.issue_token(scopes=['model:read'])}"}
    assert httpx.get(proxy.url + path, headers=token).json() == {"path": path}
    assert httpx.head(proxy.url + path, headers=token).status_code == 200


def test_other_routes_have_no_head(client: httpx.Client) -> None:
    """The error names the verbs of the path."""
    assert client.head("/model-info").headers["allow"] == "GET"
    assert client.post("/healthz").headers["allow"] == "GET, HEAD"
