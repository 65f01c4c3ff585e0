"""The process ``python -m predictor``: its answers over REST and gRPC, and refused starts."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from pleura.bundle import verify
from pleura.local.pleura_services import Ports, Service, start_predictor
from pleura.local.processes import free_port
from proof.lab.service_key import KEY_ONLY, KEY_OR_NONE
from tests.support.errors import check_error
from tests.support.triton import CallFailed, TritonCall

ROOT = Path(__file__).parents[2]
RADIOGRAPHS = np.random.default_rng(0).integers(0, 255, (3, 224, 224, 1), dtype=np.uint8)


def infer(predictor: Service, radiographs: Any = RADIOGRAPHS, *, datatype: str = "UINT8", **more: Any) -> Any:
    """Send an inference request over gRPC."""
    inputs = {"radiograph": (datatype, radiographs)} | more.pop("inputs", {})
    return TritonCall(predictor.grpc_address, arguments=("chest-xray",), inputs=inputs, **more)()


def post(predictor: Service, **document: Any) -> httpx.Response:
    """Send an inference request over REST, as JSON."""
    item = {"name": "radiograph", "datatype": "UINT8", "shape": [1, 224, 224, 1]}
    item["data"] = RADIOGRAPHS[0].ravel().tolist()
    url = f"{predictor.url}/v2/models/chest-xray/infer"
    return httpx.post(url, json={"inputs": [item], **document}, trust_env=False, timeout=30)


def test_grpc_answers_with_probabilities_thresholds_and_typicality(predictor: Service, bundle: Path) -> None:
    """Five outputs by default, with the version and the digest of the bundle."""
    description, digest = verify(bundle)
    answer = infer(predictor, request_id="r-1")
    assert (answer["id"], answer["model_version"]) == ("r-1", description.version)
    assert answer["parameters"] == {"model_digest": digest, "preprocessing_version": "1"}
    shapes = {name: array.shape for name, array in answer["outputs"].items()}
    assert shapes == {
        "probability": (3, 14),
        "threshold": (14,),
        "typicality": (3,),
        "distance": (3,),
        "input_flags": (3, 4),
    }
    assert not answer["outputs"]["input_flags"].any()
    np.testing.assert_allclose(answer["outputs"]["threshold"], description.thresholds, rtol=1e-6)


def test_rest_answers_the_same(predictor: Service) -> None:
    """JSON over REST and raw tensors over gRPC give the same probability."""
    outputs = {output["name"]: output for output in post(predictor).json()["outputs"]}
    expected = infer(predictor)["outputs"]["probability"][0]
    np.testing.assert_allclose(outputs["probability"]["data"], expected, rtol=1e-5)


def test_only_requested_outputs_are_returned(predictor: Service) -> None:
    """A request for activation maps gets no other output."""
    answer = infer(predictor, outputs=("activation_map",))
    assert {name: array.shape for name, array in answer["outputs"].items()} == {
        "activation_map": (3, 14, 7, 7)
    }


@pytest.mark.parametrize(
    ("radiographs", "more"),
    [
        (RADIOGRAPHS[:0], {}),
        (np.zeros((33, 224, 224, 1), np.uint8), {}),
        (RADIOGRAPHS[:, :100], {}),
        (RADIOGRAPHS[..., 0], {}),
        (RADIOGRAPHS.astype(np.float32), {"datatype": "FP32"}),
        (RADIOGRAPHS, {"inputs": {"other": ("UINT8", RADIOGRAPHS)}}),
        (RADIOGRAPHS, {"outputs": ("logits",)}),
    ],
    ids=["none", "33", "size", "dimensions", "datatype", "second input", "unknown output"],
)
def test_wrong_inputs_are_an_invalid_request(
    predictor: Service, radiographs: Any, more: dict[str, Any]
) -> None:
    """Inputs and outputs that the model does not have are the caller's mistake."""
    with pytest.raises(CallFailed) as failure:
        infer(predictor, radiographs, **more)
    assert failure.value.status == "StatusCode.INVALID_ARGUMENT"


def test_rest_names_the_mistake(predictor: Service) -> None:
    """An error has one sentence, its code and the id of the request."""
    answer = post(predictor, outputs=[{"name": "logits"}])
    assert answer.status_code == 400
    check_error(answer.json(), error="the model has no output of that name", code="invalid_request")


def test_the_process_holds_neither_tensorflow_nor_a_database(predictor: Service) -> None:
    """With LiteRT, no library of TensorFlow, PostgreSQL or OpenCV is loaded, and memory is limited."""
    process = Path(f"/proc/{predictor.process.pid}")
    maps = (process / "maps").read_text()
    assert "ai_edge_litert" in maps
    assert not [name for name in ("/tensorflow/", "psycopg2", "/cv2/", "/keras/") if name in maps]
    (resident,) = (line for line in (process / "status").read_text().splitlines() if "VmRSS" in line)
    assert int(resident.split()[1]) < 400 * 1024


def start(bundle: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a predictor that refuses to start."""
    ports = {"PLEURA_HTTP_PORT": str(free_port()), "PLEURA_GRPC_PORT": str(free_port())}
    environment = {"PLEURA_HOST": "127.0.0.1", "PLEURA_BUNDLE": str(bundle), **KEY_ONLY, **ports, **settings}
    return subprocess.run(
        [sys.executable, "-m", "predictor"],
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def reason(done: subprocess.CompletedProcess[str]) -> str:
    """Read the reason of the one line that a refused start logs."""
    (line,) = done.stdout.splitlines()
    document = json.loads(line)
    assert document["event"] == "start_refused"
    return str(document["reason"])


def test_a_flipped_byte_is_refused(bundle: Path, tmp_path: Path) -> None:
    """A bundle that does not match its seal is refused, with the name of the file."""
    shutil.copytree(bundle, tmp_path / "bundle")
    file = tmp_path / "bundle" / "model.tflite"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    done = start(tmp_path / "bundle")
    assert done.returncode == 3
    assert "model.tflite is not the file" in reason(done)


def test_a_bundle_of_other_findings_is_refused(bundle: Path, tmp_path: Path) -> None:
    """A model for other findings is refused."""
    shutil.copytree(bundle, tmp_path / "bundle")
    path = tmp_path / "bundle" / "bundle.json"
    path.write_text(path.read_text().replace('"Hernia"', '"Fracture"'))
    done = start(tmp_path / "bundle")
    assert done.returncode == 3
    assert "findings must be" in reason(done)


def test_a_missing_bundle_is_refused(tmp_path: Path) -> None:
    """A folder without a bundle is refused."""
    done = start(tmp_path)
    assert done.returncode == 3
    assert "cannot be read" in reason(done)


def test_a_wrong_setting_is_named(bundle: Path) -> None:
    """A setting with an invalid value stops the start."""
    done = start(bundle, PLEURA_MAX_BATCH="0")
    assert done.returncode == 2
    assert reason(done).startswith("PLEURA_MAX_BATCH: ")


def test_a_taken_port_is_named(bundle: Path) -> None:
    """Two servers cannot share a port. The second names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = start(bundle, PLEURA_GRPC_PORT=str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert reason(done).startswith("PLEURA_GRPC_PORT: cannot listen on 127.0.0.1:")


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_the_other_engines_serve_too_and_a_signal_ends_them(
    engine: str, bundle: Path, predictor: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every engine gives LiteRT's outputs, and SIGTERM ends the process with 0."""
    monkeypatch.setenv("PLEURA_ENGINE", engine)
    other = start_predictor(tmp_path, Ports(free_port(), free_port()), bundle, KEY_OR_NONE, threads=2)
    try:
        assert engine in Path(f"/proc/{other.process.pid}/maps").read_text()
        ours, theirs = (infer(each)["outputs"]["probability"] for each in (predictor, other))
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
        other.process.send_signal(signal.SIGTERM)
        assert other.process.wait(60) == 0
    finally:
        other.stop()
