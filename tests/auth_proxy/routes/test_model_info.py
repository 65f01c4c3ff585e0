"""``GET /model-info`` and the open routes."""

import httpx
import pytest

from auth_proxy.routes.model_info import parse_model_info
from pleura.errors import InvalidAnswer
from proof.lab.module_process import wait_until
from proof.lab.proxy import Proxy
from proof.lab.stand_in_transformer import DIGEST, VERSION, Upstream


def test_the_model_is_described(client: httpx.Client) -> None:
    """It has findings with operating points, use, limits, data and metrics, but no inner paths."""
    info = client.get("/model-info").json()
    assert (info["name"], info["version"], info["digest"]) == ("chest-xray", VERSION, DIGEST)
    assert info["findings"][0]["operating_point"]["threshold"] == 0.5
    assert [f["name"] for f in info["findings"] if not f["measured"]] == ["Hernia"]
    for name in ("intended_use", "limitations", "training_data", "metrics"):
        assert info[name]
    assert "files" not in info


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"digest": "d", "description": []}', b'"x"'])
def test_a_malformed_description_is_an_error(document: bytes) -> None:
    """A malformed description is a 502."""
    with pytest.raises(InvalidAnswer):
        parse_model_info(document)


def test_health_is_open_to_everybody(proxy: Proxy, upstream: Upstream) -> None:
    """The process is alive. It is ready while the transformer is ready."""
    assert httpx.get(f"{proxy.url}/healthz").json() == {"live": True, "keys": True}
    upstream.ready = False
    wait_until(lambda: httpx.get(f"{proxy.url}/readyz").status_code == 503)
    answer = httpx.get(f"{proxy.url}/readyz").json()
    assert answer == {"ready": False, "keys": True, "transformer": False}
    upstream.ready = True
    wait_until(lambda: httpx.get(f"{proxy.url}/readyz").status_code == 200)
