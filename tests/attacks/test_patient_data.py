"""No planted name, number, date or token of a patient is found in anything that the services write."""

import http.client
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import httpx
import psycopg2
import pytest
import redis
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages

from pleura.local.access import BUCKET, make_token
from pleura.local.issuer import SCOPES
from pleura.local.store import store_client
from tests.attacks.planted import (
    Asked,
    by_id,
    file_requests,
    header_requests,
    planted_dicom,
    token_requests,
    v2_requests,
)
from tests.attacks.plants import Plants, all_found
from tests.stacks import RunningStack, start_stack
from tests.telemetry.collector import Collector, collecting

METHOD = "/inference.GRPCInferenceService/"
DOWN = ("predictor", "seaweed", "postgres", "valkey", "transformer")
ASKED_AT_ONCE = 6
TIMEOUT_S = 60
SERVICES = ("auth_proxy", "transformer", "predictor")
EXPORT_MS = 100
Text = tuple[str, bytes]


@dataclass
class Asking:
    """Asks a stack, and keeps all that it answers."""

    stack: RunningStack
    collector: Collector
    token: str
    answers: list[Text] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)

    def rest(self, requests: Sequence[Asked], part: str = "auth_proxy") -> None:
        """Send requests to a part, several at once."""
        url = self.stack.recorded.parts[part].url if part != "auth_proxy" else self.stack.recorded.address
        address = urlsplit(url).netloc
        with ThreadPoolExecutor(ASKED_AT_ONCE) as threads:
            list(threads.map(lambda asked: self._send(address, asked), requests))

    def _send(self, address: str, asked: Asked) -> None:
        connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
        headers = {"authorization": f"Bearer {self.token}", "x-request-timeout-ms": "4000"} | dict(
            asked.headers
        )
        try:
            connection.request(asked.verb, asked.path, asked.body, headers)
            response = connection.getresponse()
            self.statuses.append(response.status)
            said = str(response.headers).encode() + response.read()
            self.answers.append((f"the answer {response.status} to {asked.verb}", said))
        except (OSError, http.client.HTTPException) as error:
            self.unsent.append(f"{asked.verb} {asked.path[:40]}: {error!r}"[:200])
        finally:
            connection.close()

    def grpc(self, calls: Sequence[tuple[str, bytes, Sequence[tuple[str, str]]]]) -> None:
        """Make gRPC calls one after the other."""
        token = ("authorization", f"Bearer {self.token}")
        with grpc.insecure_channel(self.stack.recorded.grpc_address) as channel:
            for method, request, metadata in calls:
                try:
                    answer = channel.unary_unary(METHOD + method)(
                        request, metadata=[token, *metadata], timeout=10
                    )
                    self.answers.append((f"the gRPC answer to {method}", answer))
                except grpc.RpcError as error:
                    said = f"{error.details()} {error.trailing_metadata()}".encode()
                    self.answers.append((f"the gRPC error of {method}", said))


@pytest.fixture(scope="module")
def asking(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """A stack of its own, all services at DEBUG, that exports its spans."""
    environment = {"PLEURA_LOG_LEVEL": "DEBUG", "OTEL_BSP_SCHEDULE_DELAY": str(EXPORT_MS)}
    with collecting() as collector:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        running = start_stack(tmp_path_factory.mktemp("planted"), bundle, environment=environment)
        scopes = [*SCOPES, "zqvscope-of-the-caller"]
        token = make_token(running.state.path, running.recorded.issuer, "tester", scopes)
        yield Asking(running, collector, token)
        running.process.terminate()
        running.process.wait(60)


def grpc_calls(plants: Plants, file: bytes) -> list[tuple[str, bytes, list[tuple[str, str]]]]:
    """Planted values in gRPC messages and metadata."""

    def tensor(name: str, datatype: str, *elements: bytes) -> messages.ModelInferRequest.InferInputTensor:
        contents = messages.InferTensorContents(bytes_contents=elements)
        return messages.ModelInferRequest.InferInputTensor(
            name=name, datatype=datatype, shape=[len(elements)], contents=contents
        )

    def infer(*tensors: object, model: str = "chest-xray", **more: object) -> bytes:
        request = messages.ModelInferRequest(model_name=model, inputs=tensors, **more)
        return bytes(request.SerializeToString())

    good = tensor("image", "BYTES", file)
    metadata = [
        (name, plants.name(f"gRPC metadata {name}"))
        for name in (
            "baggage",
            "x-patient-id",
            "user-agent",
            "x-correlation-id",
            "cookie",
            "x-pleura-principal",
        )
    ]
    requests = [
        infer(good),
        infer(tensor(plants.name("gRPC input"), "BYTES", file)),
        infer(tensor("image", plants.name("gRPC datatype"), file)),
        infer(tensor("image", "BYTES", plants.name("gRPC element").encode())),
        infer(tensor("image_id", "BYTES", f"../{plants.name('gRPC id')}".encode())),
        infer(good, model=plants.name("gRPC model")),
        infer(good, model_version=plants.name("gRPC version")),
        infer(good, id=f"{plants.name('gRPC request id')}\n"),
        infer(good, outputs=[{"name": plants.name("gRPC output")}]),
        infer(good, parameters={plants.name("gRPC parameter"): {"string_param": plants.name("gRPC value")}}),
        b"\xff" + plants.name("no message").encode(),
    ]
    calls = [("ModelInfer", request, metadata) for request in requests]
    for method in ("ModelMetadata", "ModelReady"):
        asked = messages.ModelReadyRequest(name=plants.name(f"gRPC {method}")).SerializeToString()
        calls.append((method, asked, metadata))
    return [*calls, (plants.name("gRPC method"), b"", metadata)]


def metrics_of(stack: RunningStack) -> Iterator[Text]:
    """What Prometheus reads of each service."""
    for name in SERVICES:
        text = httpx.get(stack.recorded.metrics[name], trust_env=False, timeout=30).raise_for_status().text
        assert "pleura_requests_total" in text
        yield f"metrics of {name}", text.encode()


def spans_of(collector: Collector) -> Iterator[Text]:
    """Names and attributes of all spans, of every service."""
    time.sleep(10 * EXPORT_MS / 1000)
    assert {span.service.removeprefix("pleura-") for span in collector.spans} >= set(SERVICES)
    for span in list(collector.spans):
        yield f"a span of {span.service}", repr((span.name, span.attributes)).encode()


def logs_of(stack: RunningStack) -> Iterator[Text]:
    """All log files of the stack; what the object store calls so in its data folder holds the objects."""
    for path in [stack.log, *stack.state.path.rglob("*.log")]:
        if "data" not in path.relative_to(stack.state.path.parent).parts:
            yield f"log {path.name}", path.read_bytes()


def spool_of(stack: RunningStack) -> Iterator[Text]:
    """The files of the spool."""
    for path in (stack.state.path / "transformer" / "spool").rglob("*"):
        if path.is_file():
            yield "spool", path.read_bytes()


def journal_of(stack: RunningStack, without: str = "") -> Iterator[Text]:
    """Each row of each table of the journal, less a column."""
    password = (stack.state.path / "postgres" / "password").read_text()
    connection = psycopg2.connect(f"postgresql://pleura:{password}@{stack.recorded.parts['postgres'].url}")
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT to_jsonb(t) - %s FROM "{table}" t', (without,))
            for (row,) in cursor.fetchall():
                yield f"table {table}", json.dumps(row).encode()


def cache_of(stack: RunningStack) -> Iterator[Text]:
    """Each key and value of the cache."""
    client = redis.Redis.from_url(stack.recorded.parts["valkey"].url)
    for key in client.scan_iter():
        yield "cache", repr((key, client.get(key))).encode()
    client.close()


def written_by(asking: Asking) -> list[Text]:
    """All that may not hold a planted value."""
    stack = asking.stack
    return [
        *asking.answers,
        *logs_of(stack),
        *metrics_of(stack),
        *spans_of(asking.collector),
        *spool_of(stack),
        *cache_of(stack),
    ]


def with_a_part_down(asking: Asking, ask: Callable[[], None]) -> None:
    """Ask while each part in turn does not answer."""
    for name in DOWN:
        with asking.stack.frozen(name):
            ask()


def test_nothing_planted_is_found(asking: Asking) -> None:
    """200 values in tags, headers, names and exceptions, with all parts up and each down: none is found."""
    plants = Plants()
    plants.places["zqvscope-of-the-caller"] = "scope of a good token"
    plants.places[asking.token.rpartition(".")[2][:40]] = "the caller's token"
    requests = [
        *file_requests(plants),
        *v2_requests(plants),
        *header_requests(plants),
        *token_requests(plants),
    ]
    calls = grpc_calls(plants, planted_dicom(plants))
    asking.rest(requests)
    asking.grpc(calls)
    for part in ("transformer", "predictor"):
        asking.rest([*v2_requests(plants)], part)
    some = [*file_requests(plants)][:4] + [*v2_requests(plants)][-3:]

    def ask_some() -> None:
        asking.rest(some)
        asking.grpc(calls[:1])

    with_a_part_down(asking, ask_some)
    assert len(plants.places) >= 200
    assert {200, 400, 401, 404, 422, 503} <= set(asking.statuses)
    assert not asking.unsent
    for name in SERVICES:
        assert '"level": "debug"' in Path(asking.stack.recorded.parts[name].log).read_text()
    found = all_found(plants, [*written_by(asking), *journal_of(asking.stack)])
    assert not found, "\n".join(sorted(set(found)))


def test_object_keys_are_in_the_journal_and_nowhere_else(asking: Asking) -> None:
    """A name within a key, of an object that is there or not, stands in the column ``image_id`` only."""
    plants, recorded = Plants(), asking.stack.recorded
    kept = [f"ward/{plants.name('key of an object')}.dcm", f"{plants.name('key with an umlaut')}/ä b.dcm"]
    missing = [f"gone/{plants.name('key of no object')}", f"gone/{plants.name('second key')} ü?&#.dcm"]
    broken = [
        f"../{plants.name('key with a traversal')}",
        f"{plants.name('key with NUL')}\0",
        plants.name("long") * 99,
    ]
    store = recorded.store
    client = store_client(store["url"], store["access_key"], store["secret_key"])
    for number, key in enumerate(kept):
        file = planted_dicom(plants)
        path = asking.stack.state.path.parent / f"kept{number}"
        path.write_bytes(file)
        client.fput_object(BUCKET, key, str(path))
    requests = [asked for key in [*kept, *missing, *broken] for asked in by_id(key)]
    asking.rest(requests)
    asking.rest(requests)
    with_a_part_down(asking, lambda: asking.rest(requests))
    found = all_found(plants, [*written_by(asking), *journal_of(asking.stack, without="image_id")])
    assert not found, "\n".join(sorted(set(found)))
    assert all_found(plants, journal_of(asking.stack)), "the journal keeps what was asked about"


@pytest.mark.parametrize(
    "spelling", ["Zqv000Xandrova", "zqv000xandrova", "ZQV000XANDR", "WnF2MDAwWGFuZHJvdmE="]
)
def test_search_finds_what_is_there(spelling: str) -> None:
    """A planted value is found as it is, in other letters, cut short and in base64."""
    plants = Plants()
    plants.name("place")
    assert plants.found_in(f"some text with {spelling} in it".encode())
    assert not plants.found_in(b"some text with Zqv001Yandrova in it")
