"""Where the protocol is asked: through the proxy, and at the services behind it."""

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import grpc

from pleura.local.pleura_services import Service

SERVICE = "/inference.GRPCInferenceService/"
_TIMEOUT_S = 60.0
_MAX_MESSAGE_BYTES = 80 * 2**20


@dataclass(frozen=True)
class HttpAnswer:
    """An answer over HTTP; header names are in lower case."""

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
    """An answer over gRPC; ``details`` is the error's text, empty where there is none."""

    code: grpc.StatusCode
    details: str
    trailing: Mapping[str, str]
    message: bytes = b""


@dataclass(frozen=True)
class Hop:
    """One server of V2, and what a caller must bring."""

    name: str
    service: Service
    token: str | None = None

    @property
    def metadata(self) -> dict[str, str]:
        """The headers, or the gRPC metadata, that say who asks."""
        return {"authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def address(self) -> str:
        """host:port of REST."""
        return self.service.url.removeprefix("http://")

    @cached_property
    def channel(self) -> grpc.Channel:
        """A channel to its gRPC."""
        options = [
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.enable_retries", 0),
        ]
        return grpc.insecure_channel(self.service.grpc_address, options)

    def ask(
        self,
        verb: str,
        path: str,
        body: bytes | None = None,
        headers: Sequence[tuple[str, str]] = (),
        authorized: bool = True,
    ) -> HttpAnswer:
        """Send exactly this over a connection of its own; a length is added where there is a body."""
        connection = http.client.HTTPConnection(self.address, timeout=_TIMEOUT_S)
        try:
            connection.putrequest(verb, path, skip_accept_encoding=True)
            mine = [*headers, *(self.metadata.items() if authorized else ())]
            if body is not None:
                mine.append(("content-length", str(len(body))))
            for name, value in mine:
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
        """Send a message as it is; a method without a slash is one of V2's."""
        ask = self.channel.unary_unary(method if "/" in method else SERVICE + method)
        all_metadata = [*self.metadata.items(), *metadata]
        try:
            answer, call = ask.with_call(
                message, timeout=timeout_s, metadata=all_metadata, compression=compression
            )
        except grpc.RpcError as error:
            return _refusal(error)
        return GrpcAnswer(call.code(), "", _texts(call.trailing_metadata()), answer)


def _refusal(error: Any) -> GrpcAnswer:
    return GrpcAnswer(error.code(), error.details() or "", _texts(error.trailing_metadata()))


def _texts(metadata: Any) -> dict[str, str]:
    return {name: value for name, value in metadata or () if isinstance(value, str)}


@dataclass(frozen=True)
class Hops:
    """The servers by name, and what none of their errors may name."""

    by_name: Mapping[str, Hop]
    inner: Sequence[str] = field(default=())

    def __getitem__(self, name: str) -> Hop:
        return self.by_name[name]
