"""A real proxy between a real issuer and a server that notes what reaches it."""

import asyncio
import subprocess
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from proof.lab import proxy as servers
from proof.lab.module_process import is_answering, stop_process, wait_until
from proof.lab.proxy import AUDIENCE, Issuer, Proxy
from proof.lab.stand_in_transformer import DIGEST, Upstream, serve_upstream

Port = Callable[[], int]


@pytest.fixture(scope="session")
def shared_upstream(free_port: Port) -> Iterator[Upstream]:
    """The only server in the transformer's place."""
    upstream, stopping = Upstream(free_port(), free_port()), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(serve_upstream(upstream, stopping)))
    thread.start()
    wait_until(lambda: is_answering(upstream.http_port))
    yield upstream
    stopping.set()
    thread.join()


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Iterator[Upstream]:
    """The server in the transformer's place, without recorded requests."""
    shared_upstream.requests.clear()
    shared_upstream.grpc_calls.clear()
    yield shared_upstream
    shared_upstream.error, shared_upstream.delay_s = None, 0.0
    shared_upstream.digest, shared_upstream.ready = DIGEST, True


StartProxy = Callable[..., Proxy]


@pytest.fixture(scope="session")
def start_proxy(
    free_port: Port,
    shared_upstream: Upstream,
    local_issuer: Issuer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[StartProxy]:
    """A function that starts a proxy with given settings."""
    started: list[subprocess.Popen[bytes]] = []

    surroundings = {
        "transformer_url": f"http://127.0.0.1:{shared_upstream.http_port}",
        "transformer_grpc": f"127.0.0.1:{shared_upstream.grpc_port}",
        "issuer": local_issuer.url,
        "audience": AUDIENCE,
        "jwks_url": f"{local_issuer.url}/jwks.json",
    }

    def start_one(**settings: object) -> Proxy:
        log = tmp_path_factory.mktemp("proxy") / "log"
        proxy = servers.start_proxy(log, free_port, **{**surroundings, **settings})
        started.append(proxy.process)
        return proxy

    yield start_one
    for process in started:
        if process.poll() is None:
            stop_process(process)


@pytest.fixture(scope="session")
def shared_proxy(start_proxy: StartProxy) -> Proxy:
    """A proxy with very wide limits."""
    proxy = start_proxy(rate_per_s=10000, burst=10000, max_body_mb=2, timeout_s=5)
    wait_until(lambda: httpx.get(f"{proxy.url}/readyz").status_code == 200)
    return proxy


@pytest.fixture
def proxy(shared_proxy: Proxy, upstream: Upstream) -> Proxy:
    """A proxy in front of an upstream without recorded requests."""
    return shared_proxy


@pytest.fixture
def client(proxy: Proxy, local_issuer: Issuer) -> Iterator[httpx.Client]:
    """An HTTP client of the proxy with a good token."""
    headers = {"authorization": f"Bearer {local_issuer.issue_token()}"}
    with httpx.Client(base_url=proxy.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client
