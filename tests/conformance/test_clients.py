"""NVIDIA's client, beyond inference: health, metadata, compression, and what is not offered."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from tests.conformance.checks import check_says_nothing_of_the_inside
from tests.conformance.hops import Hop, Hops
from tests.support import triton

_BOTH = ("proxy", "transformer")
_EVERYWHERE = (*_BOTH, "predictor")
_NO_MODEL = "no model of that name is served"
_NO_VERSION = "no such version of the model is served"


@dataclass(frozen=True)
class Control:
    """A method of both clients, and what it gives, or how it fails over HTTP and over gRPC."""

    method: str
    arguments: tuple[Any, ...] = ()
    gives: Callable[[Any], object] | None = None
    http: tuple[str, str] = ("404", "no such path")
    grpc: tuple[str, str] = ("StatusCode.UNIMPLEMENTED", "Method not found!")

    def __str__(self) -> str:
        return "-".join((self.method, *map(str, self.arguments)))


def _is_model(document: Mapping[str, Any]) -> bool:
    return document["name"] == "chest-xray" and document["versions"] == ["0.0.1"] and bool(document["inputs"])


def _not_found(error: str) -> dict[str, tuple[str, str]]:
    return {"http": ("404", error), "grpc": ("StatusCode.NOT_FOUND", error)}


CONTROLS = (
    Control("is_server_live", (), bool),
    Control("is_server_ready", (), bool),
    Control("is_model_ready", ("chest-xray",), bool),
    Control("is_model_ready", ("chest-xray", "0.0.1"), bool),
    Control("get_server_metadata", (), lambda d: d["extensions"] == ["binary_tensor_data"]),
    Control("get_model_metadata", ("chest-xray",), _is_model),
    Control("get_model_metadata", ("chest-xray", "0.0.1"), _is_model),
    Control("get_model_metadata", ("other",), None, **_not_found(_NO_MODEL)),
    Control("get_model_metadata", ("chest-xray", "9"), None, **_not_found(_NO_VERSION)),
    Control("get_model_config", ("chest-xray",)),
    Control("get_inference_statistics", ("chest-xray",)),
    Control("get_model_repository_index"),
    Control("load_model", ("chest-xray",)),
    Control("unload_model", ("chest-xray",)),
    Control("get_trace_settings", ("chest-xray",)),
    Control("get_system_shared_memory_status"),
)


def _over_http(hop: Hop, control: Control) -> Any:
    with closing(triton_http.InferenceServerClient(hop.address, network_timeout=60)) as client:
        try:
            return getattr(client, control.method)(*control.arguments, headers=hop.metadata)
        except InferenceServerException as error:
            return error.status(), error.message()


def _over_grpc(hop: Hop, control: Control, client: triton.TritonClient) -> Any:
    call = triton.TritonCall(
        hop.service.grpc_address, control.method, control.arguments, headers=hop.metadata
    )
    try:
        return client.ask(call)
    except triton.CallFailed as error:
        return error.status, error.message


@pytest.mark.parametrize("hop", _EVERYWHERE)
@pytest.mark.parametrize("transport", ["http", "grpc"])
@pytest.mark.parametrize("control", CONTROLS, ids=str)
def test_the_client_gets_what_it_asks_for(
    control: Control,
    transport: str,
    hop: str,
    hops: Hops,
    triton_client: triton.TritonClient,
    count_run: Callable[..., None],
) -> None:
    """What V2 has is answered; Triton's own extensions, load and unload among them, are not there."""
    count_run(case=f"triton-{control}", transport=transport, hop=hop, client="triton")
    asked = hops[hop]
    given = _over_http(asked, control) if transport == "http" else _over_grpc(asked, control, triton_client)
    if control.gives:
        assert control.gives(given), given
        return
    assert given == (control.http if transport == "http" else control.grpc)
    check_says_nothing_of_the_inside(hops, given[1])


@pytest.mark.parametrize("hop", _BOTH)
@pytest.mark.parametrize("model", [("other",), ("chest-xray", "9")])
def test_an_unknown_model_is_not_ready(
    model: tuple[str, ...],
    hop: str,
    hops: Hops,
    triton_client: triton.TritonClient,
    count_run: Callable[..., None],
) -> None:
    """Over HTTP the client says no; over gRPC it says that there is none."""
    count_run(case=f"triton-not-ready-{model}", transport="http", hop=hop, client="triton")
    control = Control("is_model_ready", model)
    assert _over_http(hops[hop], control) is False
    assert _over_grpc(hops[hop], control, triton_client)[0] == "StatusCode.NOT_FOUND"


@pytest.fixture(scope="module")
def dicom() -> np.ndarray[Any, Any]:
    """A DICOM file as a BYTES tensor; its bytes are no UTF-8."""
    content = (Path(__file__).parents[2] / "samples" / "nih_00000103_000.dcm").read_bytes()
    with pytest.raises(UnicodeDecodeError):
        content.decode()
    array = np.empty(1, np.object_)
    array[0] = content
    return array


@pytest.mark.parametrize("hop", _BOTH)
@pytest.mark.parametrize("response", [None, "gzip", "deflate"])
@pytest.mark.parametrize("request_", [None, "gzip", "deflate"])
def test_a_dicom_file_is_read_over_http(
    request_: str | None,
    response: str | None,
    hop: str,
    dicom: np.ndarray[Any, Any],
    hops: Hops,
    count_run: Callable[..., None],
) -> None:
    """NVIDIA's client sends a DICOM file as a binary tensor, compressed or not, and gets its findings."""
    count_run(case=f"triton-dicom-{request_}-{response}", transport="http", hop=hop, client="triton")
    tensor = triton_http.InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(dicom, binary_data=True)
    with closing(triton_http.InferenceServerClient(hops[hop].address, network_timeout=60)) as client:
        result = client.infer(
            "chest-xray",
            [tensor],
            headers=hops[hop].metadata,
            request_compression_algorithm=request_,
            response_compression_algorithm=response,
        )
    assert result.as_numpy("probability").shape == (1, 14)


@pytest.mark.parametrize("hop", _BOTH)
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_a_dicom_file_is_read_over_grpc(
    compression: str | None,
    hop: str,
    dicom: np.ndarray[Any, Any],
    hops: Hops,
    triton_client: triton.TritonClient,
    count_run: Callable[..., None],
) -> None:
    """The same over gRPC."""
    count_run(case=f"triton-dicom-{compression}", transport="grpc", hop=hop, client="triton")
    call = triton.TritonCall(
        hops[hop].service.grpc_address,
        "infer",
        ("chest-xray",),
        {"image": ("BYTES", dicom)},
        headers=hops[hop].metadata,
        compression=compression,
    )
    assert triton_client.ask(call)["outputs"]["probability"].shape == (1, 14)
