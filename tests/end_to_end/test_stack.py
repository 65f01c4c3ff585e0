"""Requests with a token through the whole running stack, and its commands."""

import json
import struct
import subprocess
import sys
import zlib
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.http as triton_http

from pleura.findings import FINDINGS
from pleura.local.access import AUDIENCE, make_token
from pleura.local.token_issuer import issue_token
from proof.lab.running_stack import (
    RunningStack,
    build_clean_environment,
    find_descendants,
    find_survivors,
    run_pleura,
    start_stack,
)
from tests.support.errors import check_error
from tests.support.triton import CallFailed, TritonCall

_INFER = "/v2/models/chest-xray/infer"


def _make_bytes_tensor(*elements: bytes) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    tensor = np.empty(len(elements), np.object_)
    tensor[:] = elements
    return tensor


def _infer_by_triton_http(stack: RunningStack, name: str, *elements: bytes) -> triton_http.InferResult:
    tensor = triton_http.InferInput(name, [len(elements)], "BYTES")
    tensor.set_data_from_numpy(_make_bytes_tensor(*elements))
    address = stack.record.address.removeprefix("http://")
    with closing(triton_http.InferenceServerClient(address, network_timeout=60)) as http_client:
        return http_client.infer(
            "chest-xray", [tensor], headers={"authorization": f"Bearer {stack.make_token()}"}
        )


def _infer_by_triton_grpc(stack: RunningStack, name: str, *elements: bytes) -> dict[str, np.ndarray]:
    headers = {"authorization": f"Bearer {stack.make_token()}"}
    inputs = {name: ("BYTES", _make_bytes_tensor(*elements))}
    answer = TritonCall(stack.record.grpc_address, "infer", ("chest-xray",), inputs, headers=headers)()
    outputs: dict[str, np.ndarray] = answer["outputs"]
    return outputs


def _classify(client: httpx.Client, name: str) -> httpx.Response:
    return client.post("/classify", json={"image_id": name})


def test_every_interface_gives_the_same_findings(
    stack: RunningStack, client: httpx.Client, sample: Path
) -> None:
    """V2 over REST and gRPC, by id and by file, and plain HTTP give the same probabilities."""
    name, file = sample.name.encode(), sample.read_bytes()
    answers = [
        _infer_by_triton_http(stack, "image_id", name).as_numpy("probability")[0],
        _infer_by_triton_http(stack, "image", file).as_numpy("probability")[0],
        _infer_by_triton_grpc(stack, "image_id", name)["probability"][0],
        _infer_by_triton_grpc(stack, "image", file)["probability"][0],
    ]
    for plain in (_classify(client, sample.name), client.post("/classify", files={"file": file})):
        assert plain.status_code == 200
        assert [finding["name"] for finding in plain.json()["findings"]] == list(FINDINGS)
        answers.append(np.array([finding["probability"] for finding in plain.json()["findings"]]))
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], atol=1e-6)


def test_the_command_line_reads_and_draws(stack: RunningStack, sample: Path, tmp_path: Path) -> None:
    """A file and an id are answered and drawn. An unknown id is one line."""
    radiographs = (str(sample), "--id", "nosuch.png", "--id", sample.name)
    done = run_pleura("--state", str(stack.state.path), "classify", *radiographs, "--output", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("pleura: nosuch.png: no radiograph of that id")
    assert done.stderr.count("\n") == 1
    assert done.stdout.count("threshold") == 2 * len(FINDINGS)
    picture = tmp_path / f"{sample.stem}.overlay.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    command = ("--state", str(stack.state.path), "classify", "--no-overlay", "--id", sample.name)
    table = run_pleura(*command).stdout
    assert table.count("threshold") == len(FINDINGS)


def test_json_is_the_answer_of_the_rest_api(
    stack: RunningStack, client: httpx.Client, sample: Path, tmp_path: Path
) -> None:
    """Each line is the body of POST /classify, with the same keys, order and values."""
    radiographs = (str(sample), "--id", sample.name)
    done = run_pleura("--state", str(stack.state.path), "classify", *radiographs, "--json", folder=tmp_path)
    assert done.returncode == 0
    answer = _classify(client, sample.name)
    for line in done.stdout.splitlines():
        request_id = json.loads(line)["request_id"]
        assert line == answer.text.replace(answer.json()["request_id"], request_id)
    assert not list(tmp_path.iterdir())


def test_a_command_finds_the_stack_from_another_folder(stack: RunningStack, tmp_path: Path) -> None:
    """Without --state, a command in another folder uses the stack that this user started last."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-m", "pleura.console.app", "status"]
    environment = build_clean_environment() | {"XDG_STATE_HOME": str(stack.state.path.parent)}
    done = subprocess.run(
        command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
    )
    assert stack.record.address in done.stdout


def test_the_commands_print_address_state_and_token(stack: RunningStack) -> None:
    """Up prints an address, status shows no dead part, and token prints a valid token."""
    assert f"Pleura answers at {stack.record.address}" in stack.log.read_text()
    status = run_pleura("--state", str(stack.state.path), "status")
    assert status.returncode == 0
    assert "dead" not in status.stdout
    token = run_pleura("--state", str(stack.state.path), "token").stdout.strip()
    answer = httpx.get(f"{stack.record.address}/model-info", headers={"authorization": f"Bearer {token}"})
    assert answer.json()["name"] == "chest-xray"


def test_the_printed_commands_work_as_pasted(stack: RunningStack) -> None:
    """Up prints one token as a shell variable, and curl commands that use it and are answered."""
    lines = stack.log.read_text().splitlines()
    (variable,) = [line for line in lines if line.startswith("export TOKEN=")]
    commands = [line for line in lines if line.startswith("curl ")]
    assert len(commands) == 2
    for command in commands:
        assert variable.removeprefix("export TOKEN=") not in command
        done = subprocess.run(
            ["sh", "-c", f"{variable}\n{command}"], capture_output=True, text=True, check=True
        )
        assert len(json.loads(done.stdout)["findings"]) == len(FINDINGS)


def test_a_second_up_finds_the_first(stack: RunningStack) -> None:
    """A second up on the same state prints the address again, starts nothing, and succeeds."""
    again = run_pleura("--state", str(stack.state.path), "up")
    assert again.returncode == 0
    assert "already running" in again.stdout
    assert stack.record.address in again.stdout


def test_another_stack_on_the_same_port_is_refused(stack: RunningStack, tmp_path: Path) -> None:
    """A taken port is one line that names the part, the port and the flag."""
    port = stack.record.address.rpartition(":")[2]
    other = run_pleura("--state", str(tmp_path / "other"), "up", "--port", port)
    assert other.returncode == 1
    assert other.stderr.strip().endswith(
        f"auth_proxy: port {port} is taken by another program; choose another with --port"
    )


def _make_huge_png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"0"))
        + chunk(b"IEND", b"")
    )


def test_bad_files_are_refused(client: httpx.Client, samples: Path) -> None:
    """An empty, a text, a truncated and a huge file each get their status and an error text."""
    dicom = next(samples.glob("nih*.dcm")).read_bytes()
    cases = [(b"", 400), (b"not a DICOM file", 400), (dicom[: len(dicom) // 2], 400), (_make_huge_png(), 413)]
    for file, status in cases:
        answer = client.post("/classify", files={"file": ("x.dcm", file)})
        assert answer.status_code == status, answer.text
        check_error(answer.json(), request_id=answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("tensor", "status"),
    [
        ({"name": "image_id", "datatype": "BYTES", "shape": [1], "data": ["nosuch.png"]}, 404),
        ({"name": "image_id", "datatype": "BYTES", "shape": [1], "data": ["../etc/passwd"]}, 400),
        ({"name": "image_id", "datatype": "BYTES", "shape": [0], "data": []}, 400),
        ({"name": "image_id", "datatype": "BYTES", "shape": [1000], "data": ["a"] * 1000}, 400),
        ({"name": "image_id", "datatype": "FP32", "shape": [1], "data": [1.0]}, 400),
        ({"name": "image_id", "datatype": "BYTES", "shape": [2], "data": ["a"]}, 400),
        ({"name": "pixels", "datatype": "BYTES", "shape": [1], "data": ["a"]}, 400),
    ],
)
def test_bad_requests_are_refused(client: httpx.Client, tensor: dict[str, object], status: int) -> None:
    """Unknown ids, wrong counts, datatypes, shapes and names each get their status and an error text."""
    answer = client.post(_INFER, json={"inputs": [tensor]})
    assert answer.status_code == status, answer.text
    check_error(answer.json(), request_id=answer.headers["x-request-id"])


def test_bad_tokens_are_refused(stack: RunningStack, sample: Path) -> None:
    """No token, an expired one and one for another service get 401. One without the scope gets 403."""
    folder, issuer = stack.state.path / "issuer", stack.record.issuer
    scopes = ("radiograph:classify",)
    tokens = {
        "": 401,
        issue_token(folder, "tester", scopes, -3600, AUDIENCE, issuer): 401,
        issue_token(folder, "tester", scopes, 3600, "another", issuer): 401,
        issue_token(folder, "tester", ("model:read",), 3600, AUDIENCE, issuer): 403,
        make_token(stack.state.path, issuer): 200,
    }
    for token, status in tokens.items():
        headers = {"authorization": f"Bearer {token}"} if token else {}
        answer = httpx.post(
            f"{stack.record.address}/classify", json={"image_id": sample.name}, headers=headers, timeout=60
        )
        assert answer.status_code == status, answer.text
    with pytest.raises(CallFailed) as refused:
        TritonCall(stack.record.grpc_address, "get_model_metadata", ("chest-xray",))()
    assert refused.value.status == "StatusCode.UNAUTHENTICATED"


def test_a_killed_stack_leaves_no_process_and_starts_again(
    bundle: Path, sample: Path, tmp_path: Path
) -> None:
    """Kill -9 of up ends every process. Up works again on the same state, and down ends every process."""
    stack = start_stack(tmp_path, bundle)
    processes = find_descendants(stack.process.pid)
    assert len(processes) > 12
    stack.process.kill()
    stack.process.wait()
    assert find_survivors(processes) == []
    assert run_pleura("--state", str(stack.state.path), "status").stdout.strip() == "not running"
    again = start_stack(tmp_path, bundle)
    assert _infer_by_triton_http(again, "image_id", sample.name.encode()).as_numpy("present").shape == (1, 14)
    processes = find_descendants(again.process.pid)
    down = run_pleura("--state", str(stack.state.path), "down")
    assert (down.returncode, down.stdout.strip()) == (0, "stopped")
    assert again.process.wait(10) == 0
    assert find_survivors(processes) == []
    assert run_pleura("--state", str(stack.state.path), "down").stdout.strip() == "nothing is running"
