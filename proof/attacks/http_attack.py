"""A conversation on a raw socket: a good request, an attack, a good request; and what came of each."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Final

from proof.attacks.stage import INFER, AttackStage
from proof.lab.recorder import RecordedRequest

_READ: Final = ("/v2", "/v2/models", "/v2/models/chest-xray", "/model-info")
_ROUTES: Final = frozenset({f"POST {INFER}", *(f"GET {path}" for path in _READ)})
_HEADERS: Final = frozenset(
    {"host", "accept", "accept-encoding", "content-type", "content-encoding", "content-length"}
    | {"transfer-encoding", "inference-header-content-length", "x-request-id", "x-request-timeout-ms"}
    | {"x-pleura-principal", "traceparent", "tracestate"}
)
_PATIENCE_S: Final = 20.0
_serial: Final = count()

AnswerOf = tuple[int, str | None]


@dataclass(frozen=True)
class Case:
    """Bytes, and what must come of them.

    Args:
        raw: What is sent; ``@token@`` stands for a good token, ``@attack@`` and so on for request ids.
        answers: Status of each answer, and whose it is; None where the request's id cannot be known.
        forwarded: The requests of which the transformer hears, whole.
        ends: Whether the connection is closed behind them.
        body: What the transformer gets with a request of the attack.
    """

    raw: bytes
    answers: tuple[AnswerOf, ...] = ((400, None),)
    forwarded: tuple[str, ...] = ()
    ends: bool = True
    body: bytes = b"{}"


@dataclass(frozen=True)
class Answered:
    """One answer as it came."""

    status: int
    request_id: str
    body: bytes


@dataclass(frozen=True)
class Judgement:
    """What went wrong, in words; nothing where all is well."""

    bypasses: tuple[str, ...]
    desynchronised: tuple[str, ...]
    faults: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.bypasses or self.desynchronised or self.faults)


def good(request_id: bytes, *lines: bytes) -> bytes:
    """A request that is answered."""
    head = [f"POST {INFER} HTTP/1.1".encode(), b"Host: a", b"Authorization: Bearer @token@"]
    head += [b"X-Request-Id: " + request_id, b"Content-Length: 2", *lines]
    return b"\r\n".join(head) + b"\r\n\r\n{}"


def converse(stage: AttackStage, case: Case) -> Judgement:
    """Play a case, and judge what was answered and what was forwarded."""
    stage.clear()
    serial = f"c{next(_serial)}-"
    raw = good(b"@before@") + case.raw + good(b"@after@", b"Connection: close")
    raw = raw.replace(b"@token@", stage.forge().good().encode())
    raw = re.sub(rb"@([a-z]+\d*)@", lambda match: serial.encode() + match[1], raw)
    is_head = case.raw.startswith(b"HEAD ")
    try:
        received = [*answers_in(_exchange(stage.proxy.http_port, raw), serial, is_head)]
        desynchronised = _unpaired(case, received)
    except ValueError as error:
        received, desynchronised = [], [f"what came back is no row of answers: {error}"]
    noted = [each for each in stage.transformer.requests if each.request_line != "GET /readyz"]
    desynchronised += _misread(case, noted, serial)
    bypasses = [fault for each in noted for fault in smuggled(each, serial)]
    faults = [f"answered with {each.status}" for each in received if each.status >= 500]
    return Judgement(tuple(bypasses), tuple(desynchronised), tuple(faults))


def _exchange(port: int, raw: bytes) -> bytes:
    received = b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(_PATIENCE_S)
        with suppress(OSError):  # refused in the middle
            connection.sendall(raw)
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except TimeoutError:
            received += b"(the connection stays open)"
        except ConnectionResetError:
            pass
    return received


def answers_in(received: bytes, serial: str = "", is_head: bool = False) -> Iterator[Answered]:
    """Read a row of answers.

    Raises:
        ValueError: It is none.
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
        if int(line[1]) >= 200 and not (is_head and request_id == "attack"):
            size = int(headers["content-length"])
            body, received = rest[:size], rest[size:]
            if len(body) < size:
                raise ValueError("the last answer is cut")
        if int(line[1]) >= 200:
            yield Answered(int(line[1]), request_id, body)


def _unpaired(case: Case, received: list[Answered]) -> list[str]:
    expected: list[AnswerOf] = [(200, "before"), *case.answers]
    expected += [] if case.ends else [(200, "after")]
    got: list[AnswerOf] = [(each.status, each.request_id) for each in received]
    named = {name for _, name in expected if name}
    got = [(status, name if name in named or name == "smuggled" else None) for status, name in got]
    faults = [] if got == expected else [f"answers {got} in the place of {expected}"]
    for each in received:
        document = json.loads(each.body or b"{}")
        if "id" in document and not str(document["id"]).endswith(each.request_id):
            faults.append(f"{each.request_id} has the answer of {document['id']}")
    return faults


def _misread(case: Case, noted: list[RecordedRequest], serial: str) -> list[str]:
    """What the transformer got, beside what it should have got."""
    expected = [("before", b"{}"), *((name, case.body) for name in case.forwarded)]
    expected += [] if case.ends else [("after", b"{}")]
    got = [(n.value_of("x-request-id").removeprefix(serial), n.body) for n in noted if n.is_whole]
    return [] if got == expected else [f"forwarded {got} in the place of {expected}"]


def smuggled(noted: RecordedRequest, serial: str) -> list[str]:
    """What should not have reached the transformer."""
    names, request_id = [name for name, _ in noted.headers], noted.value_of("x-request-id")
    # one that was broken off may still arrive while the next case is played
    is_ours = request_id.startswith(serial) or not noted.is_whole
    checks = {
        f"the request line {noted.request_line!r}": noted.request_line in _ROUTES,
        f"the headers {names}": set(names) <= _HEADERS and len(names) == len(set(names)),
        "another principal": noted.value_of("x-pleura-principal") == "somebody",
        f"the request id {request_id}": is_ours and "smuggled" not in request_id,
        "odd line ends": not re.search(rb"(?<!\r)\n|\r(?!\n)", noted.head),
    }
    return [fault for fault, is_well in checks.items() if not is_well]
