"""NVIDIA's client beyond inference: health, metadata, compression, and methods that we do not offer."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from tests.conformance.checks import check_hides_internals
from tests.conformance.rest_request import NO_PATH
from tests.conformance.servers import V2Server, V2Servers
from tests.support import triton

_BOTH = ("proxy", "transformer")
_EVERYWHERE = (*_BOTH, "predictor")
_NO_MODEL = "no model of that name is served; the model's name is 'chest-xray'"
_NO_VERSION = "no such version of the model is served"


@dataclass(frozen=True)
class ClientMethod:
    """A method of both clients, with a check of its result or its errors over HTTP and gRPC."""

    method: str
    arguments: tuple[Any, ...] = ()
    is_right: Callable[[Any], object] | None = None
    http: tuple[str, str] = ("404", NO_PATH)
    grpc: tuple[str, str] = ("StatusCode.UNIMPLEMENTED", "Method not found!")

    def __str__(self) -> str:
        return "-".join((self.method, *map(str, self.arguments)))


def _is_model(document: Mapping[str, Any]) -> bool:
    return document["name"] == "chest-xray" and document["versions"] == ["0.0.1"] and bool(document["inputs"])


def _build_not_found(error: str) -> dict[str, tuple[str, str]]:
    return {"http": ("404", error), "grpc": ("StatusCode.NOT_FOUND", error)}


CLIENT_METHODS = (
    ClientMethod("is_server_live", (), bool),
    ClientMethod("is_server_ready", (), bool),
    ClientMethod("is_model_ready", ("chest-xray",), bool),
    ClientMethod("is_model_ready", ("chest-xray", "0.0.1"), bool),
    ClientMethod("get_server_metadata", (), lambda d: d["extensions"] == ["binary_tensor_data"]),
    ClientMethod("get_model_metadata", ("chest-xray",), _is_model),
    ClientMethod("get_model_metadata", ("chest-xray", "0.0.1"), _is_model),
    ClientMethod("get_model_metadata", ("other",), None, **_build_not_found(_NO_MODEL)),
    ClientMethod("get_model_metadata", ("chest-xray", "9"), None, **_build_not_found(_NO_VERSION)),
    ClientMethod("get_model_config", ("chest-xray",)),
    ClientMethod("get_inference_statistics", ("chest-xray",)),
    ClientMethod("get_model_repository_index"),
    ClientMethod("load_model", ("chest-xray",)),
    ClientMethod("unload_model", ("chest-xray",)),
    ClientMethod("get_trace_settings", ("chest-xray",)),
    ClientMethod("get_system_shared_memory_status"),
)


def _call_over_http(server: V2Server, client_method: ClientMethod) -> Any:
    with closing(triton_http.InferenceServerClient(server.address, network_timeout=60)) as client:
        try:
            return getattr(client, client_method.method)(*client_method.arguments, headers=server.metadata)
        except InferenceServerException as error:
            return error.status(), error.message()


def _call_over_grpc(server: V2Server, client_method: ClientMethod, client: triton.TritonClient) -> Any:
    call = triton.TritonCall(
        server.service.grpc_address, client_method.method, client_method.arguments, headers=server.metadata
    )
    try:
        return client.send(call)
    except triton.CallFailed as error:
        return error.status, error.message


@pytest.mark.parametrize("server", _EVERYWHERE)
@pytest.mark.parametrize("transport", ["http", "grpc"])
@pytest.mark.parametrize("client_method", CLIENT_METHODS, ids=str)
def test_a_client_method_is_answered_or_refused(
    client_method: ClientMethod,
    transport: str,
    server: str,
    servers: V2Servers,
    triton_client: triton.TritonClient,
    count_run: Callable[..., None],
) -> None:
    """Methods of V2 are answered. Triton's own extensions, such as load and unload, are refused."""
    count_run(case=f"triton-{client_method}", transport=transport, server=server, client="triton")
    v2_server = servers[server]
    answer = (
        _call_over_http(v2_server, client_method)
        if transport == "http"
        else _call_over_grpc(v2_server, client_method, triton_client)
    )
    if client_method.is_right:
        assert client_method.is_right(answer), answer
        return
    status, error = answer
    check_hides_internals(servers, error)
    if error.startswith(f"{NO_PATH}: "):  # the proxy says where to go instead
        error = NO_PATH
    assert (status, error) == (client_method.http if transport == "http" else client_method.grpc)


@pytest.mark.parametrize("server", _BOTH)
@pytest.mark.parametrize("model", [("other",), ("chest-xray", "9")])
def test_an_unknown_model_is_not_ready(
    model: tuple[str, ...],
    server: str,
    servers: V2Servers,
    triton_client: triton.TritonClient,
    count_run: Callable[..., None],
) -> None:
    """The client returns False over HTTP, and raises NOT_FOUND over gRPC."""
    count_run(case=f"triton-not-ready-{model}", transport="http", server=server, client="triton")
    client_method = ClientMethod("is_model_ready", model)
    assert _call_over_http(servers[server], client_method) is False
    assert _call_over_grpc(servers[server], client_method, triton_client)[0] == "StatusCode.NOT_FOUND"


@pytest.fixture(scope="module")
def dicom() -> np.ndarray[Any, Any]:
    """A DICOM file as a BYTES tensor. The file is not valid UTF-8."""
    content = (Path(__file__).parents[2] / "samples" / "nih_00000103_000.dcm").read_bytes()
    with pytest.raises(UnicodeDecodeError):
        content.decode()
    array = np.empty(1, np.object_)
    array[0] = content
    return array


@pytest.mark.parametrize("server", _BOTH)
@pytest.mark.parametrize("response", [None, "gzip", "deflate"])
@pytest.mark.parametrize("request_", [None, "gzip", "deflate"])
def test_a_dicom_file_is_read_over_http(
    request_: str | None,
    response: str | None,
    server: str,
    dicom: np.ndarray[Any, Any],
    servers: V2Servers,
    count_run: Callable[..., None],
) -> None:
    """NVIDIA's client sends a DICOM file as a binary tensor, compressed or not, and gets its findings."""
    count_run(case=f"triton-dicom-{request_}-{response}", transport="http", server=server, client="triton")
    tensor = triton_http.InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(dicom, binary_data=True)
    with closing(triton_http.InferenceServerClient(servers[server].address, network_timeout=60)) as client:
        result = client.infer(
            "chest-xray",
            [tensor],
            headers=servers[server].metadata,
            request_compression_algorithm=request_,
            response_compression_algorithm=response,
        )
    assert result.as_numpy("probability").shape == (1, 14)


@pytest.mark.parametrize("server", _BOTH)
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_a_dicom_file_is_read_over_grpc(
    compression: str | None,
    server: str,
    dicom: np.ndarray[Any, Any],
    servers: V2Servers,
    triton_client: triton.TritonClient,
    count_run: Callable[..., None],
) -> None:
    """NVIDIA's client sends a DICOM file over gRPC, compressed or not, and gets its findings."""
    count_run(case=f"triton-dicom-{compression}", transport="grpc", server=server, client="triton")
    call = triton.TritonCall(
        servers[server].service.grpc_address,
        "infer",
        ("chest-xray",),
        {"image": ("BYTES", dicom)},
        headers=servers[server].metadata,
        compression=compression,
    )
    assert triton_client.send(call)["outputs"]["probability"].shape == (1, 14)
