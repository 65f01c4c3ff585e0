"""Send a token to the proxy by REST and by gRPC, and record the outcome."""

import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import grpc

from auth_proxy.allow_list import CLASSIFY_SCOPE
from auth_proxy.tokens.key_set import Keys
from auth_proxy.tokens.trust import Principal, Trust
from auth_proxy.tokens.verification import parse_bearer, read_issuer, read_key_id, verify
from pleura.errors import Unauthenticated
from proof.attacks.attacked_proxy import AttackedProxy
from proof.attacks.token_carriers import request
from proof.lab.proxy import exchange

METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
_REFUSALS: Final = frozenset(
    {"UNAUTHENTICATED", "PERMISSION_DENIED", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "TRAILERS"}
)
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_ENDINGS: Final = {3: "RST_STREAM", 7: "GOAWAY"}


@dataclass(frozen=True)
class TokenOutcome:
    """The outcome of one attempt: an HTTP status or gRPC code, and whether the request was forwarded."""

    outcome: str
    is_forwarded: bool

    @property
    def is_let_in(self) -> bool:
        """Whether the caller got what needs a good token."""
        return self.is_forwarded or self.outcome in ("200", "OK")

    @property
    def is_fault(self) -> bool:
        """Whether the proxy failed or gave no answer, instead of a refusal."""
        is_refusal = self.outcome[:1] == "4" or self.outcome in _REFUSALS
        return not self.is_let_in and not is_refusal


def raw_rest(attacked: AttackedProxy, raw: bytes) -> TokenOutcome:
    """Send the bytes of a request by REST."""
    before = len(attacked.transformer.requests)
    status = exchange(attacked.proxy.http_port, raw)[9:12].decode("latin-1")
    return TokenOutcome(status, len(attacked.transformer.requests) > before)


def by_rest(attacked: AttackedProxy, token: str) -> TokenOutcome:
    """Send an inference request by REST."""
    return raw_rest(attacked, request(f"Authorization: Bearer {token}"))


def by_grpc(attacked: AttackedProxy, channel: grpc.Channel, *authorizations: str) -> TokenOutcome:
    """Send an inference request by gRPC."""
    before = len(attacked.grpc.grpc_calls)
    metadata = [("authorization", value) for value in authorizations]
    # gRPC's client refuses to send such values.
    if not all(value.isascii() and value.isprintable() for value in authorizations):
        return raw_grpc(attacked, [value.encode("latin-1") for value in authorizations])
    try:
        channel.unary_unary(METHOD)(b"a", metadata=metadata, timeout=20)
        outcome = "OK"
    except grpc.RpcError as error:
        outcome = error.code().name
    return TokenOutcome(outcome, len(attacked.grpc.grpc_calls) > before)


def raw_grpc(attacked: AttackedProxy, authorizations: list[bytes]) -> TokenOutcome:
    """Send an inference request as hand-written HTTP/2, with values that no client would send."""
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", METHOD.encode()),
        (b":authority", b"a"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *((b"authorization", value) for value in authorizations),
    ]
    block = b"".join(b"\x00" + _encode_string(name) + _encode_string(value) for name, value in fields)
    message = b"\0" + struct.pack(">I", 1) + b"a"
    frames = (
        _build_frame(_SETTINGS, 0, 0, b"")
        + _build_frame(_HEADERS, 4, 1, block)
        + _build_frame(_DATA, 1, 1, message)
    )
    before = len(attacked.grpc.grpc_calls)
    outcome = _read_ending(attacked.proxy.grpc_port, _PREFACE + frames)
    return TokenOutcome(outcome, len(attacked.grpc.grpc_calls) > before)


def _encode_string(value: bytes) -> bytes:
    """Encode a string for HPACK, without Huffman coding (RFC 7541 section 5.2)."""
    if len(value) < 127:
        return bytes([len(value)]) + value
    rest, length = len(value) - 127, b"\x7f"
    while rest >= 128:
        length, rest = length + bytes([rest % 128 + 128]), rest // 128
    return length + bytes([rest]) + value


def _build_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    # The length of an HTTP/2 frame has three bytes (RFC 9113 section 4.1).
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _read_ending(port: int, sent: bytes) -> str:
    """Send frames. Return OK for a message, TRAILERS for an error, else how the stream ended."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        stream = connection.makefile("rb")
        while len(head := stream.read(9)) == 9:
            stream.read(int.from_bytes(head[:3], "big"))
            if head[3] == _DATA:
                return "OK"
            if head[3] == _HEADERS and head[4] & 1:
                return "TRAILERS"
            if head[3] in _ENDINGS:
                return _ENDINGS[head[3]]
    return "EOF"


@dataclass(frozen=True)
class OfflineVerification:
    """Verifies a token as the proxy does, but without a network.

    Args:
        issuers: What is trusted of each issuer, with its keys.
    """

    issuers: Sequence[tuple[Trust, Keys]]
    now_s: float

    def lets_in(self, token: str) -> bool:
        """Return whether the token allows an inference."""
        principal = self.find_principal(token)
        return principal is not None and CLASSIFY_SCOPE in principal.scopes

    def find_principal(self, token: str) -> Principal | None:
        """Return the principal of a valid token, and None for another token."""
        issuers = {trust.issuer: (trust, keys) for trust, keys in self.issuers}
        try:
            bearer = parse_bearer(f"Bearer {token}")
            trust, keys = issuers.get(read_issuer(bearer), (None, {}))
            key = keys.get(read_key_id(bearer, trust.algorithms)) if trust else None
            return verify(bearer, key, trust, self.now_s) if key and trust else None
        except Unauthenticated:
            return None

    def cpu_ms(self, token: str, tries: int = 5) -> float:
        """Measure the processor time of a verification: the best of some tries."""
        # Other work of the machine can only add to a try.
        return 1000 * min(self._cpu_s(token) for _ in range(tries))

    def _cpu_s(self, token: str) -> float:
        started_s = time.process_time()
        self.lets_in(token)
        return time.process_time() - started_s
