"""The servers that speak V2: the proxy and the services behind it."""

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import grpc

from pleura.local.pleura_services import Service
from proof.lab.service_key import HEADERS

SERVICE = "/inference.GRPCInferenceService/"
_TIMEOUT_S = 60.0
_MAX_MESSAGE_BYTES = 80 * 2**20


@dataclass(frozen=True)
class HttpAnswer:
    """An answer over HTTP. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The JSON part of the body."""
        length = self.headers.get("inference-header-content-length")
        return json.loads(self.body[: int(length)] if length else self.body)


@dataclass(frozen=True)
class GrpcAnswer:
    """An answer over gRPC. ``details`` is the error text, or empty."""

    code: grpc.StatusCode
    details: str
    trailing: Mapping[str, str]
    message: bytes = b""


@dataclass(frozen=True)
class V2Server:
    """One V2 server, with the token that it requires; without one it requires the service key."""

    name: str
    service: Service
    token: str | None = None

    @property
    def metadata(self) -> dict[str, str]:
        """The HTTP headers or gRPC metadata that identify the caller."""
        # a copy, because NVIDIA's client adds to it
        return {"authorization": f"Bearer {self.token}"} if self.token else dict(HEADERS)

    @property
    def address(self) -> str:
        """The host and port of REST."""
        return self.service.url.removeprefix("http://")

    @cached_property
    def channel(self) -> grpc.Channel:
        """A channel to the server's gRPC port."""
        options = [
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.enable_retries", 0),
        ]
        return grpc.insecure_channel(self.service.grpc_address, options)

    def send(
        self,
        verb: str,
        path: str,
        body: bytes | None = None,
        headers: Sequence[tuple[str, str]] = (),
        authorized: bool = True,
    ) -> HttpAnswer:
        """Send these bytes unchanged over a new connection. A body gets a content length."""
        connection = http.client.HTTPConnection(self.address, timeout=_TIMEOUT_S)
        try:
            connection.putrequest(verb, path, skip_accept_encoding=True)
            all_headers = [*headers, *(self.metadata.items() if authorized else ())]
            if body is not None:
                all_headers.append(("content-length", str(len(body))))
            for name, value in all_headers:
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return HttpAnswer(
                response.status, {n.lower(): v for n, v in response.getheaders()}, response.read()
            )
        finally:
            connection.close()

    def call(
        self,
        method: str,
        message: bytes,
        metadata: Sequence[tuple[str, str]] = (),
        timeout_s: float = _TIMEOUT_S,
        compression: grpc.Compression | None = None,
    ) -> GrpcAnswer:
        """Send a message unchanged. A method without a slash is a method of V2."""
        method_call = self.channel.unary_unary(method if "/" in method else SERVICE + method)
        all_metadata = [*self.metadata.items(), *metadata]
        try:
            answer, call = method_call.with_call(
                message, timeout=timeout_s, metadata=all_metadata, compression=compression
            )
        except grpc.RpcError as error:
            return _read_error(error)
        return GrpcAnswer(call.code(), "", _select_texts(call.trailing_metadata()), answer)


def _read_error(error: Any) -> GrpcAnswer:
    return GrpcAnswer(error.code(), error.details() or "", _select_texts(error.trailing_metadata()))


def _select_texts(metadata: Any) -> dict[str, str]:
    return {name: value for name, value in metadata or () if isinstance(value, str)}


@dataclass(frozen=True)
class V2Servers:
    """The servers by name, and the internal addresses that no error may contain."""

    by_name: Mapping[str, V2Server]
    internal_addresses: Sequence[str] = field(default=())

    def __getitem__(self, name: str) -> V2Server:
        return self.by_name[name]
