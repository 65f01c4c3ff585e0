"""Send an attack over a raw socket, between two good requests, and check every answer."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Final

from pleura.service_key import SERVICE_KEY_HEADER
from proof.attacks.attacked_proxy import INFER, AttackedProxy
from proof.lab.recorder import RecordedRequest
from proof.lab.service_key import KEY

_READ: Final = ("/v2", "/v2/models", "/v2/models/chest-xray", "/model-info")
_ROUTES: Final = frozenset({f"POST {INFER}", *(f"GET {path}" for path in _READ)})
_HEADERS: Final = frozenset(
    {"host", "accept", "accept-encoding", "content-type", "content-encoding", "content-length"}
    | {"transfer-encoding", "inference-header-content-length", "x-request-id", "x-request-timeout-ms"}
    | {"x-pleura-principal", SERVICE_KEY_HEADER, "traceparent", "tracestate"}
)
_PATIENCE_S: Final = 20.0
_serial: Final = count()

ExpectedAnswer = tuple[int, str | None]


@dataclass(frozen=True)
class Case:
    """The bytes of an attack, and the expected answers.

    Args:
        raw: The bytes to send. ``@token@`` stands for a good token, ``@attack@`` and others for request ids.
        answers: Status and request id of each answer. The id is None where the proxy cannot know it.
        forwarded: Ids of the requests that reach the transformer whole.
        ends: Whether the proxy closes the connection after the attack.
        body: The body that reaches the transformer with a request of the attack.
    """

    raw: bytes
    answers: tuple[ExpectedAnswer, ...] = ((400, None),)
    forwarded: tuple[str, ...] = ()
    ends: bool = True
    body: bytes = b"{}"


@dataclass(frozen=True)
class ReceivedAnswer:
    """One answer from the raw socket."""

    status: int
    request_id: str
    body: bytes


@dataclass(frozen=True)
class CaseResult:
    """The faults that a case found. It is false when there are none."""

    bypasses: tuple[str, ...]
    desynchronised: tuple[str, ...]
    faults: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.bypasses or self.desynchronised or self.faults)


def build_good_request(request_id: bytes, *lines: bytes) -> bytes:
    """Build a request that the proxy answers with 200."""
    head = [f"POST {INFER} HTTP/1.1".encode(), b"Host: a", b"Authorization: Bearer @token@"]
    head += [b"X-Request-Id: " + request_id, b"Content-Length: 2", *lines]
    return b"\r\n".join(head) + b"\r\n\r\n{}"


def run_case(attacked: AttackedProxy, case: Case) -> CaseResult:
    """Run a case, and check the answers and the forwarded requests."""
    attacked.clear()
    # Each case has ids of its own, because a request of the case before may still arrive.
    serial = f"c{next(_serial)}-"
    raw = build_good_request(b"@before@") + case.raw + build_good_request(b"@after@", b"Connection: close")
    raw = raw.replace(b"@token@", attacked.forge().good().encode())
    raw = re.sub(rb"@([a-z]+\d*)@", lambda match: serial.encode() + match[1], raw)
    is_head = case.raw.startswith(b"HEAD ")
    try:
        received = [*parse_answers(_exchange(attacked.proxy.http_port, raw), serial, is_head)]
        desynchronised = _find_unpaired(case, received)
    except ValueError as error:
        received, desynchronised = [], [f"the bytes that came back are not a row of answers: {error}"]
    # The proxy asks for the readiness of the transformer by itself.
    forwarded = [each for each in attacked.transformer.requests if each.request_line != "GET /readyz"]
    desynchronised += _find_misread(case, forwarded, serial)
    bypasses = [fault for request in forwarded for fault in find_smuggling(request, serial)]
    faults = [f"answered with {each.status}" for each in received if each.status >= 500]
    return CaseResult(tuple(bypasses), tuple(desynchronised), tuple(faults))


def _exchange(port: int, raw: bytes) -> bytes:
    received = b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(_PATIENCE_S)
        with suppress(OSError):  # the proxy may refuse in the middle
            connection.sendall(raw)
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except TimeoutError:
            received += b"(the connection stays open)"
        # A server that closes with bytes unread sends RST.
        except ConnectionResetError:
            pass
    return received


def parse_answers(received: bytes, serial: str = "", is_head: bool = False) -> Iterator[ReceivedAnswer]:
    """Parse the answers of a connection.

    Raises:
        ValueError: The bytes are something other than whole answers.
    """
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        line = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
        if not end or line is None:
            raise ValueError(f"{received[:60]!r}")
        pairs = [each.decode().partition(": ") for each in head.split(b"\r\n")[1:]]
        headers = {name.lower(): value for name, _, value in pairs}
        request_id = headers.get("x-request-id", "").removeprefix(serial)
        body, received = b"", rest
        # An answer to HEAD has the length of a body, and no body.
        if int(line[1]) >= 200 and not (is_head and request_id == "attack"):
            size = int(headers["content-length"])
            body, received = rest[:size], rest[size:]
            if len(body) < size:
                raise ValueError("the last answer is cut")
        if int(line[1]) >= 200:
            yield ReceivedAnswer(int(line[1]), request_id, body)


def _find_unpaired(case: Case, received: list[ReceivedAnswer]) -> list[str]:
    expected: list[ExpectedAnswer] = [(200, "before"), *case.answers]
    expected += [] if case.ends else [(200, "after")]
    got: list[ExpectedAnswer] = [(each.status, each.request_id) for each in received]
    named = {name for _, name in expected if name}
    got = [(status, name if name in named or name == "smuggled" else None) for status, name in got]
    faults = [] if got == expected else [f"answers {got} instead of {expected}"]
    for each in received:
        document = json.loads(each.body or b"{}")
        if "id" in document and not str(document["id"]).endswith(each.request_id):
            faults.append(f"{each.request_id} has the answer of {document['id']}")
    return faults


def _find_misread(case: Case, requests: list[RecordedRequest], serial: str) -> list[str]:
    """Compare what the transformer received with what it should have received."""
    expected = [("before", b"{}"), *((name, case.body) for name in case.forwarded)]
    expected += [] if case.ends else [("after", b"{}")]
    whole = [request for request in requests if request.is_whole]
    got = [(each.get_header("x-request-id").removeprefix(serial), each.body) for each in whole]
    return [] if got == expected else [f"forwarded {got} instead of {expected}"]


def find_smuggling(request: RecordedRequest, serial: str) -> list[str]:
    """List what should not have reached the transformer in a request."""
    names, request_id = [name for name, _ in request.headers], request.get_header("x-request-id")
    # a request that was broken off may still arrive while the next case runs
    is_ours = request_id.startswith(serial) or not request.is_whole
    checks = {
        f"the request line {request.request_line!r}": request.request_line in _ROUTES,
        f"the headers {names}": set(names) <= _HEADERS and len(names) == len(set(names)),
        "another principal": request.get_header("x-pleura-principal") == "somebody",
        "another service key": request.get_header(SERVICE_KEY_HEADER) == KEY,
        f"the request id {request_id}": is_ours and "smuggled" not in request_id,
        "odd line ends": not re.search(rb"(?<!\r)\n|\r(?!\n)", request.head),
    }
    return [fault for fault, holds in checks.items() if not holds]
