"""Host names by which the proxy and its metrics may be called."""

from collections.abc import Callable

import httpx
import pytest

from proof.lab.module_process import is_answering, wait_until
from tests.auth_proxy.conftest import StartProxy
from tests.support.errors import check_error

EVIL = {"host": "evil.example"}


@pytest.fixture(scope="module")
def ports(start_proxy: StartProxy, free_port: Callable[[], int]) -> tuple[int, int]:
    """The ports of REST and metrics of a proxy that may be called as ``pleura.hospital.example``."""
    metrics = free_port()
    proxy = start_proxy(allowed_hosts="pleura.hospital.example", metrics_port=metrics)
    wait_until(lambda: is_answering(metrics))
    return proxy.http_port, metrics


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/v2/models"])
def test_a_page_of_another_name_reads_nothing(ports: tuple[int, int], path: str) -> None:
    """A page whose name resolves to the proxy's address sends its own name."""
    refused = httpx.get(f"http://127.0.0.1:{ports[0]}{path}", headers=EVIL, trust_env=False)
    assert refused.status_code == 421
    check_error(refused.json(), code="unknown_host")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "pleura.hospital.example"])
def test_addresses_and_listed_names_are_answered(ports: tuple[int, int], host: str) -> None:
    """With the port that the caller used, or without."""
    answer = httpx.get(f"http://127.0.0.1:{ports[0]}/healthz", headers={"host": host}, trust_env=False)
    assert answer.status_code == 200


def test_without_a_list_the_proxy_answers_to_any_name(client: httpx.Client) -> None:
    """Behind a gateway it has the gateway's name, and every route but health needs a token."""
    assert client.get("/healthz", headers=EVIL).status_code == 200


def test_the_port_of_metrics_is_for_allowed_names(ports: tuple[int, int]) -> None:
    """Prometheus names an address or a Service. No header lets a page read the answer."""
    url = f"http://127.0.0.1:{ports[1]}/metrics"
    refused = httpx.get(url, headers=EVIL, trust_env=False)
    assert refused.status_code == 421
    check_error(refused.json(), code="unknown_host")
    answer = httpx.get(url, headers={"host": "proxy.pleura.svc:9000", "origin": "https://a"}, trust_env=False)
    assert (answer.status_code, answer.headers["x-content-type-options"]) == (200, "nosniff")
    assert "pleura_requests_total" in answer.text
    assert not any(name.startswith("access-control") for name in answer.headers)
