"""The proxy under attack, between servers that record every request. Tests and the campaign share it."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from pleura.local.dependencies import free_port
from proof.attacks.forge import Forge, key_document
from proof.lab.module_process import is_answering, stop_process, wait_until
from proof.lab.proxy import AUDIENCE, Proxy, start_proxy
from proof.lab.recorder import RecordedRequest, RecordingServer, ok_response, recording_server
from proof.lab.stand_in_transformer import DIGEST, Upstream, build_v2_answer, describe_model, serve_upstream

JWKS_PATH: Final = "/jwks.json"
INFER: Final = "/v2/models/chest-xray/infer"


@dataclass(frozen=True)
class AttackedProxy:
    """The proxy under attack and the servers around it.

    Args:
        transformer: Takes the transformer's place for REST.
        grpc: Takes the transformer's place for gRPC.
        outsider: A server that no program should ever call.
    """

    proxy: Proxy
    issuer: RecordingServer
    transformer: RecordingServer
    grpc: Upstream
    outsider: RecordingServer

    def forge(self) -> Forge:
        """Return a forge that makes tokens for this proxy, valid now."""
        # The clock goes on between the making of a token and its verification, hence the slack.
        return Forge(self.issuer.url, AUDIENCE, int(time.time()), self.outsider.url, slack_s=20)

    def clear(self) -> None:
        """Forget the recorded requests."""
        self.transformer.clear()
        self.outsider.clear()
        self.grpc.grpc_calls.clear()

    @property
    def unexpected_fetches(self) -> int:
        """Connections to the outsider, and requests to the issuer for something other than its keys."""
        others = [request for request in self.issuer.requests if request.request_line != f"GET {JWKS_PATH}"]
        return self.outsider.connections + len(others)


def answer_as_transformer(request: RecordedRequest) -> Iterator[bytes]:
    """Answer as a transformer does, with the request id in the body."""
    # The id in the answer shows whether a caller gets the answer to its own request.
    request_id = request.get_header("x-request-id")
    if request.request_line == "GET /readyz":
        yield ok_response(b'{"ready": true}')
    elif request.request_line == "GET /model-info":
        yield ok_response(json.dumps({**describe_model(), "id": request_id}).encode())
    elif request.request_line.endswith("/infer"):
        yield ok_response(json.dumps({**build_v2_answer(DIGEST), "id": request_id}).encode())
    else:
        yield ok_response(json.dumps({"id": request_id, "line": request.request_line}).encode())


def publish_keys(request: RecordedRequest) -> Iterator[bytes]:
    """Answer every request with the keys of the forge, as an attacker's server would do."""
    yield ok_response(key_document())


@contextmanager
def start_grpc_upstream() -> Iterator[Upstream]:
    """Start a gRPC server that takes the transformer's place."""
    upstream, stopping = Upstream(free_port(), free_port()), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(serve_upstream(upstream, stopping)))
    thread.start()
    try:
        wait_until(lambda: is_answering(upstream.http_port))
        yield upstream
    finally:
        stopping.set()
        thread.join()


@contextmanager
def start_attack_proxy(log: Path, issuer: RecordingServer, **settings: object) -> Iterator[Proxy]:
    """Start a proxy with very wide limits, and wait until it is ready."""
    addresses = {
        "issuer": issuer.url,
        "jwks_url": issuer.url + JWKS_PATH,
        "audience": AUDIENCE,
        "max_body_mb": 2,
    }
    # So wide that no attack is refused for its rate instead of its content.
    limits = {"rate_per_s": 100_000, "burst": 100_000, "timeout_s": 5}
    proxy = start_proxy(log, free_port, **{**addresses, **limits, **settings})
    try:
        wait_until(lambda: httpx.get(f"{proxy.url}/readyz", trust_env=False).is_success)
        yield proxy
    finally:
        stop_process(proxy.process)


@contextmanager
def start_attacked_proxy(folder: Path) -> Iterator[AttackedProxy]:
    """Start the proxy and the servers around it."""
    with (
        recording_server(publish_keys) as issuer,
        recording_server(answer_as_transformer) as transformer,
        recording_server(publish_keys) as outsider,
        start_grpc_upstream() as grpc,
        start_attack_proxy(
            folder / "proxy.log",
            issuer,
            transformer_url=transformer.url,
            transformer_grpc=f"127.0.0.1:{grpc.grpc_port}",
        ) as proxy,
    ):
        yield AttackedProxy(proxy, issuer, transformer, grpc, outsider)
