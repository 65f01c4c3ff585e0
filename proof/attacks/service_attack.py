"""What a user of the machine, or a web page on it, can do to transformer, predictor and metrics."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import grpc
import httpx

from pleura.local.access import make_token
from pleura.service_key import SERVICE_KEY_HEADER
from proof.lab.report import ClaimRow
from proof.lab.running_stack import RunningStack

_AS_READER: Final = {"x-pleura-principal": "dr-a", "x-pleura-reads-all": "1"}
_WRONG: Final = {SERVICE_KEY_HEADER: "a-key-of-the-right-length-but-wrong"}
_EVIL: Final = {"host": "evil.example", "origin": "https://evil.example"}
_MODEL: Final = "/v2/models/chest-xray"
_CALLS: Final = (
    ("POST", f"{_MODEL}/infer"),
    ("POST", "/feedback"),
    ("POST", "/answers/find"),
    ("POST", "/answers/show"),
    ("POST", "/answers/overlay"),
    ("GET", "/model-info"),
    ("GET", "/v2"),
    ("GET", "/v2/models"),
    ("GET", _MODEL),
    ("GET", f"{_MODEL}/versions/1.1.0/ready"),
)
_OPEN: Final = ("/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready", f"{_MODEL}/ready")
_METHODS: Final = (
    "/inference.GRPCInferenceService/ModelInfer",
    "/inference.GRPCInferenceService/ModelMetadata",
    "/inference.GRPCInferenceService/ModelReady",
    "/inference.GRPCInferenceService/ServerMetadata",
    "/pleura.Model/Describe",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
)
_FROM_PAGES: Final = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a")
_UNAUTHENTICATED: Final = 401
_UNKNOWN_HOST: Final = 421
_WRONG_MEDIA_TYPE: Final = 415


class ServiceAttack:
    """Calls of the inner ports of a stack. Each method counts its calls, and names those that got in."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self._ports: dict[str, int] = json.loads((stack.state.path / "ports.json").read_text())
        self._key = stack.service_key

    def call_without_key(self, client: httpx.Client) -> tuple[int, list[str]]:
        """Call every route as another principal: without a key, with a wrong one, and in other headers."""
        spelt = {SERVICE_KEY_HEADER.replace("-", "_"): self._key, "authorization": f"Bearer {self._key}"}
        calls = [
            (url, verb, path, {**_AS_READER, **headers})
            for url in self._model_servers()
            for verb, path in _CALLS
            for headers in ({}, _WRONG, _EVIL, spelt)
        ]
        found = []
        for url, verb, path, headers in calls:
            status = client.request(verb, url + path, headers=headers, **_body(verb)).status_code
            if status not in (_UNAUTHENTICATED, _UNKNOWN_HOST):
                found.append(f"{verb} {path}: {status}")
        return len(calls), found

    def call_grpc_without_key(self) -> tuple[int, list[str]]:
        """Call every method: at transformer, predictor and the split of the traffic."""
        metadata = ((), tuple(_WRONG.items()), tuple(_AS_READER.items()))
        found = []
        for part in ("transformer_grpc", "predictor_grpc", "envoy"):
            with grpc.insecure_channel(f"127.0.0.1:{self._ports[part]}") as channel:
                for method in _METHODS:
                    for each in metadata:
                        try:
                            channel.unary_unary(method)(b"", metadata=each, timeout=10)
                        except grpc.RpcError as error:
                            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                                continue
                        found.append(f"{part} {method}")
        return 3 * len(_METHODS) * len(metadata), found

    def call_under_another_name(self, client: httpx.Client) -> tuple[int, list[str]]:
        """Read health and metrics as a page whose name resolves to the machine (DNS rebinding)."""
        urls = [url + path for url in self._model_servers() for path in _OPEN]
        urls += [f"http://127.0.0.1:{self._ports['auth_proxy_metrics']}/metrics"]
        urls += [self._stack.record.address + path for path in ("/healthz", "/readyz", "/openapi.json")]
        found = [url for url in urls if client.get(url, headers=_EVIL).status_code != _UNKNOWN_HOST]
        return len(urls), found

    def send_as_a_page(self, client: httpx.Client) -> tuple[int, list[str]]:
        """Send what a browser sends without asking the server, with the right key."""
        calls = [
            (url + path, kind)
            for url in self._model_servers()
            for verb, path in _CALLS
            if verb == "POST"
            for kind in _FROM_PAGES
        ]
        found = []
        for url, kind in calls:
            headers = {SERVICE_KEY_HEADER: self._key, "content-type": kind}
            status = client.post(url, content=b"{}", headers=headers).status_code
            if status != _WRONG_MEDIA_TYPE:
                found.append(f"{url} {kind}: {status}")
        return len(calls), found

    def find_key(self) -> tuple[int, list[str]]:
        """Look for the key in the environments and command lines of the parts, and in every log."""
        places = dict(self._read_places())
        return len(places), [name for name, content in places.items() if self._key.encode() in content]

    def find_principals(self, client: httpx.Client, principal: str) -> tuple[int, list[str]]:
        """Look for a principal that was answered, and for the key, in the metrics."""
        urls = list(self._stack.record.metrics.values())
        found = []
        for url in urls:
            text = client.get(url).text
            found += [url for word in (principal, self._key) if word in text]
        return len(urls), found

    def _model_servers(self) -> Sequence[str]:
        return [f"http://127.0.0.1:{self._ports[part]}" for part in ("transformer_http", "predictor_http")]

    def _read_places(self) -> Iterator[tuple[str, bytes]]:
        for name, part in self._stack.record.parts.items():
            for file in ("environ", "cmdline"):
                yield f"{name} {file}", Path(f"/proc/{part.process.pid}/{file}").read_bytes()
        for log in (self._stack.log, *self._stack.state.path.rglob("*.log")):
            yield str(log), log.read_bytes()


def _body(verb: str) -> Mapping[str, Any]:
    return {"json": {"id": "a", "inputs": []}} if verb == "POST" else {}


def attack_services(stack: RunningStack) -> list[ClaimRow]:
    """Run every attack of this module."""
    attack, principal = ServiceAttack(stack), "principal-planted-4711"
    token = make_token(stack.state.path, stack.record.issuer, subject=principal)
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(timeout=30, trust_env=False) as client:
        client.get(f"{stack.record.address}/model-info", headers=headers).raise_for_status()
        results = (
            (
                "calls of transformer and predictor without the service key, answered",
                attack.call_without_key(client),
            ),
            ("such calls by gRPC, answered", attack.call_grpc_without_key()),
            (
                "calls of health and metrics under a page's own name, answered",
                attack.call_under_another_name(client),
            ),
            ("requests that a page sends without asking, answered", attack.send_as_a_page(client)),
            ("environments, command lines and logs that hold the service key", attack.find_key()),
            ("metrics that name a principal or hold the key", attack.find_principals(client, principal)),
        )
    return [
        ClaimRow(f"of {tried} {claim}", "0", ", ".join(found[:5]) or "0", tried > 0 and not found)
        for claim, (tried, found) in results
    ]
