"""A real proxy between servers that note everything: what the attacks of tests and proof are played on."""

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
from proof.lab.proxy import (
    AUDIENCE,
    DIGEST,
    Proxy,
    Upstream,
    answers,
    described,
    serve,
    start_proxy,
    stop,
    v2_answer,
    wait_until,
)
from proof.lab.recorder import RecordedRequest, RecordingServer, ok_response, recording_server

JWKS_PATH: Final = "/jwks.json"
INFER: Final = "/v2/models/chest-xray/infer"


@dataclass(frozen=True)
class AttackStage:
    """The proxy and who stands around it; the transformer is asked by REST, ``grpc`` by gRPC."""

    proxy: Proxy
    issuer: RecordingServer
    transformer: RecordingServer
    grpc: Upstream
    nobody: RecordingServer

    def forge(self) -> Forge:
        """Makes tokens for this proxy, now."""
        return Forge(self.issuer.url, AUDIENCE, int(time.time()), self.nobody.url, slack_s=20)

    def clear(self) -> None:
        """Forget what was noted."""
        self.transformer.clear()
        self.nobody.clear()
        self.grpc.grpc_calls.clear()

    @property
    def strange_fetches(self) -> int:
        """Connections to where nobody should ask, and requests to the issuer that are none for its keys."""
        odd = [each for each in self.issuer.requests if each.request_line != f"GET {JWKS_PATH}"]
        return self.nobody.connections + len(odd)


def as_transformer(request: RecordedRequest) -> Iterator[bytes]:
    """Answer as a transformer would, naming the request's id in the body."""
    request_id = request.value_of("x-request-id")
    if request.request_line == "GET /readyz":
        yield ok_response(b'{"ready": true}')
    elif request.request_line == "GET /model-info":
        yield ok_response(json.dumps({**described(), "id": request_id}).encode())
    elif request.request_line.endswith("/infer"):
        yield ok_response(json.dumps({**v2_answer(DIGEST), "id": request_id}).encode())
    else:
        yield ok_response(json.dumps({"id": request_id, "line": request.request_line}).encode())


def as_issuer(request: RecordedRequest) -> Iterator[bytes]:
    """Publish the forge's keys, whatever is asked; an attacker's server would offer as much."""
    yield ok_response(key_document())


@contextmanager
def grpc_upstream() -> Iterator[Upstream]:
    """A gRPC server in the transformer's place."""
    upstream, stopping = Upstream(free_port(), free_port()), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(serve(upstream, stopping)))
    thread.start()
    try:
        wait_until(lambda: answers(upstream.http_port))
        yield upstream
    finally:
        stopping.set()
        thread.join()


@contextmanager
def running_proxy(log: Path, issuer: RecordingServer, **settings: object) -> Iterator[Proxy]:
    """A proxy that limits hardly anything, once it can answer."""
    usual = {"issuer": issuer.url, "jwks_url": issuer.url + JWKS_PATH, "audience": AUDIENCE, "max_body_mb": 2}
    limits = {"rate_per_s": 100_000, "burst": 100_000, "timeout_s": 5}
    proxy = start_proxy(log, free_port, **{**usual, **limits, **settings})
    try:
        wait_until(lambda: httpx.get(f"{proxy.url}/readyz", trust_env=False).is_success)
        yield proxy
    finally:
        stop(proxy.process)


@contextmanager
def stage(folder: Path) -> Iterator[AttackStage]:
    """Start everybody."""
    with (
        recording_server(as_issuer) as issuer,
        recording_server(as_transformer) as transformer,
        recording_server(as_issuer) as nobody,
        grpc_upstream() as grpc,
        running_proxy(
            folder / "proxy.log",
            issuer,
            transformer_url=transformer.url,
            transformer_grpc=f"127.0.0.1:{grpc.grpc_port}",
        ) as proxy,
    ):
        yield AttackStage(proxy, issuer, transformer, grpc, nobody)
