"""The model server, with requests as clients send them: JSON, binary, gRPC, and invalid bytes."""

import gzip
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.http as triton_http
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from tests.support.echo_server import EchoServer, start_echo
from tests.support.errors import check_error
from tests.support.triton import TritonCall

NOT_UTF8 = b"\x00\xff\xfeDICM\x80"


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    echo = start_echo()
    yield echo
    echo.process.terminate()
    assert echo.process.wait(30) == 0


def _json(*elements: str, **fields: object) -> dict[str, object]:
    x = {"name": "x", "datatype": "BYTES", "shape": [len(elements)], "data": list(elements)}
    return {"inputs": [x], **fields}


def _infer(
    echo: EchoServer, body: object, path: str = "/v2/models/echo/infer", **headers: str
) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", **headers}
    return httpx.post(f"{echo.http}{path}", content=content, headers=headers)


def test_an_answer_names_its_request_and_version(echo: EchoServer) -> None:
    """The server returns the id, takes it from x-request-id, or makes a new one."""
    answer = _infer(echo, _json("abc", id="i-1")).json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("i-1", "echo", "7")
    assert answer["outputs"] == [{"name": "length", "datatype": "INT32", "shape": [1], "data": [3]}]
    assert answer["parameters"] == {"note": "hello"}
    assert len(_infer(echo, _json("abc")).json()["id"]) == 36
    assert _infer(echo, _json("abc"), **{"x-request-id": "r-9"}).json()["id"] == "r-9"


def test_the_version_in_the_path_must_be_served(echo: EchoServer) -> None:
    """Only the requested version answers a request."""
    assert _infer(echo, _json("a"), "/v2/models/echo/versions/7/infer").status_code == 200
    assert _infer(echo, _json("a"), "/v2/models/echo/versions/8/infer").status_code == 404


@pytest.mark.parametrize("binary", [False, True])
def test_tritonclient_over_http(echo: EchoServer, binary: bool) -> None:
    """NVIDIA's client sends and reads files that are not UTF-8, and selects its outputs."""
    client = triton_http.InferenceServerClient(echo.http.removeprefix("http://"))
    x = triton_http.InferInput("x", [2], "BYTES")
    x.set_data_from_numpy(np.array([NOT_UTF8, b"plain"], np.object_), binary_data=True)
    outputs = [
        triton_http.InferRequestedOutput("x", binary_data=True),
        triton_http.InferRequestedOutput("length", binary_data=binary),
    ]
    result = client.infer("echo", [x], outputs=outputs, request_id="t-1")
    assert result.as_numpy("x").tolist() == [NOT_UTF8, b"plain"]
    assert result.as_numpy("length").tolist() == [len(NOT_UTF8), 5]
    assert result.get_response()["id"] == "t-1"
    assert client.is_server_live()
    assert client.is_model_ready("echo", "7")
    assert client.get_model_metadata("echo")["versions"] == ["7"]
    client.close()


def test_tritonclient_over_grpc(echo: EchoServer) -> None:
    """The same over gRPC, where contents are raw."""
    x = ("BYTES", np.array([NOT_UTF8], np.object_))
    answer = TritonCall(echo.grpc, "infer", ("echo",), {"x": x}, ("x", "length"), request_id="t-2")()
    assert answer["outputs"]["x"].tolist() == [NOT_UTF8]
    assert answer["outputs"]["length"].tolist() == [len(NOT_UTF8)]
    assert (answer["id"], answer["model_version"], answer["parameters"]) == ("t-2", "7", {"note": "hello"})
    assert TritonCall(echo.grpc, "is_server_ready")()
    assert TritonCall(echo.grpc, "get_model_metadata", ("echo", "7"))()["inputs"][0]["name"] == "x"


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests_are_read(echo: EchoServer, algorithm: str) -> None:
    """Compression is the client's choice."""
    client = triton_http.InferenceServerClient(echo.http.removeprefix("http://"))
    x = triton_http.InferInput("x", [1], "BYTES")
    x.set_data_from_numpy(np.array([b"abc"], np.object_), binary_data=True)
    result = client.infer("echo", [x], request_compression_algorithm=algorithm)
    assert result.as_numpy("length").tolist() == [3]
    client.close()


def _bomb() -> bytes:
    return gzip.compress(json.dumps(_json("a" * 4_000_000)).encode())


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/v2/models/echo/infer", b"{", {}, 400),
        ("/v2/models/echo/infer", b"", {}, 400),
        ("/v2/models/echo/infer", _json("refuse"), {}, 422),
        ("/v2/models/echo/infer", _json("boom"), {}, 500),
        ("/v2/models/echo/infer", _json("a", outputs=[{"name": "y"}]), {}, 400),
        ("/v2/models/echo/infer", b"a" * 2**21, {}, 413),
        ("/v2/models/echo/infer", _bomb(), {"content-encoding": "gzip"}, 413),
        ("/v2/models/echo/infer", b"no gzip", {"content-encoding": "gzip"}, 400),
        ("/v2/models/echo/infer", _bomb()[:-9], {"content-encoding": "gzip"}, 413),
        ("/v2/models/echo/infer", b"x", {"content-encoding": "br"}, 400),
        ("/v2/models/echo/infer", _json("a"), {"inference-header-content-length": "x"}, 400),
        ("/v2/models/other/infer", _json("a"), {}, 404),
        ("/v1/models/echo:predict", b"{}", {}, 404),
        ("/v2/repository/models/echo/unload", b"", {}, 404),
        ("/v2/models/echo", b"", {}, 405),
        ("/nowhere", b"", {}, 404),
    ],
)
def test_every_failure_is_a_v2_error(
    echo: EchoServer, path: str, body: object, headers: dict[str, str], status: int
) -> None:
    """Every error has text, code and request id, without internal details."""
    response = _infer(echo, body, path, **headers, **{"x-request-id": "e-1"})
    assert response.status_code == status
    check_error(response.json(), request_id="e-1")
    assert "secret" not in response.text


def _fail_over_grpc(echo: EchoServer, call: Callable[[Any], object]) -> Any:
    with grpc.insecure_channel(echo.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        call(GRPCInferenceServiceStub(channel))
    assert "secret" not in str(caught.value)
    return caught.value


def _message(element: bytes, model: str = "echo", version: str = "") -> Any:
    x = pb.ModelInferRequest.InferInputTensor(name="x", datatype="BYTES", shape=[1])
    x.contents.bytes_contents.append(element)
    return pb.ModelInferRequest(model_name=model, model_version=version, inputs=[x])


def test_grpc_failures_carry_their_status(echo: EchoServer) -> None:
    """The status tells a client's mistake from an error of the server."""

    def code(message: Any) -> grpc.StatusCode:
        status: grpc.StatusCode = _fail_over_grpc(echo, lambda stub: stub.ModelInfer(message)).code()
        return status

    assert code(_message(b"boom")) is grpc.StatusCode.INTERNAL
    assert code(_message(b"refuse")) is grpc.StatusCode.FAILED_PRECONDITION
    assert code(_message(b"a", model="other")) is grpc.StatusCode.NOT_FOUND
    assert code(_message(b"a", version="8")) is grpc.StatusCode.NOT_FOUND
    lopsided = _message(b"a")
    lopsided.raw_input_contents.extend([b"", b""])
    assert code(lopsided) is grpc.StatusCode.INVALID_ARGUMENT
    unload = pb.RepositoryModelUnloadRequest(model_name="echo")
    error = _fail_over_grpc(echo, lambda stub: stub.RepositoryModelUnload(unload))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        (b"boom", {"pleura-error": "internal"}),
        (b"refuse", {"pleura-error": "refused_radiograph", "pleura-error-details": '{"reason": "blank"}'}),
    ],
)
def test_the_metadata_of_a_grpc_failure_say_what_the_body_of_rest_says(
    echo: EchoServer, element: bytes, expected: dict[str, str]
) -> None:
    """They hold the code, the id of the request and the details, also without an id of the caller."""

    def fail(*metadata: tuple[str, str]) -> dict[str, str]:
        message = _message(element)
        return dict(
            _fail_over_grpc(echo, lambda s: s.ModelInfer(message, metadata=metadata)).trailing_metadata()
        )

    assert fail(("x-request-id", "g-1")) == expected | {"x-request-id": "g-1"}
    assert len(fail()["x-request-id"]) == 36
    assert fail(("x-request-id", "Doe, Jane"))["x-request-id"] == "other"


def test_a_server_in_shutdown_is_not_ready_and_still_answers() -> None:
    """After SIGTERM it is not ready, still answers, and closes its connections. Then both servers drain."""
    echo = start_echo(drain_s=2)
    x = pb.ModelInferRequest.InferInputTensor(name="x", datatype="BYTES", shape=[1])
    x.contents.bytes_contents.append(b"slow")
    with (
        httpx.Client(base_url=echo.http, timeout=10) as kept,
        grpc.insecure_channel(echo.grpc) as channel,
        ThreadPoolExecutor(2) as callers,
    ):
        kept.get("/healthz")
        stub = GRPCInferenceServiceStub(channel)
        echo.process.terminate()
        while (ready := kept.get("/readyz")).status_code == 200:
            time.sleep(0.02)
        assert (ready.status_code, ready.headers["connection"]) == (503, "close")
        assert kept.get("/v2/models/echo/ready").status_code == 503
        assert not stub.ServerReady(pb.ServerReadyRequest()).ready
        by_rest = callers.submit(kept.post, "/v2/models/echo/infer", json=_json("slow"))
        by_grpc = callers.submit(stub.ModelInfer, pb.ModelInferRequest(model_name="echo", inputs=[x]))
        assert (by_rest.result().status_code, by_rest.result().headers["connection"]) == (200, "close")
        assert by_grpc.result().model_version == "7"
    assert echo.process.wait(10) == 0


def test_a_signal_after_the_drain_ends_requests_in_flight() -> None:
    """The last signal ends the process at once."""
    echo = start_echo()
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(_infer, echo, _json("hang"))
        time.sleep(0.3)
        for _ in range(2):
            echo.process.terminate()
            time.sleep(0.2)
        assert echo.process.wait(10) == 0
        error = answer.exception()
        assert isinstance(error, httpx.TransportError) if error else answer.result().status_code == 500


def test_a_second_signal_ends_the_drain() -> None:
    """The second Ctrl-C ends the wait, and requests in flight are still answered."""
    echo = start_echo(drain_s=60)
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(_infer, echo, _json("slow"))
        time.sleep(0.3)
        for _ in range(2):
            echo.process.terminate()
            time.sleep(0.2)
        assert answer.result().status_code == 200
    assert echo.process.wait(10) == 0
