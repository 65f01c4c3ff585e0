"""Compare radiographs a second of the whole way with the KServe service of the tutorials, in turn."""

import base64
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import numpy as np

from pleura.local.pleura_services import build_service_environment
from pleura.local.processes import HOST, Command, Server, free_port, launch, wait_until
from proof.lab.client import send_one_by_one
from proof.lab.radiographs import make_fresh_radiographs
from proof.lab.running_stack import RunningStack
from proof.speed import requests
from proof.speed.lab import CLIENTS, PreparedRequests, SpeedLab, median, print_progress
from proof.speed.table import SpeedFigure, SpeedRow, compare_ratio

_NAME: Final = "densenet"
_PREDICT: Final = f"/v1/models/{_NAME}:predict"
_AT_LEAST: Final = 5.0
_WARM_UP_REQUESTS: Final = 3
_START_TIMEOUT_S: Final = 300.0


@dataclass(frozen=True)
class TutorialAddresses:
    """The URLs of the tutorial's two components."""

    predictor: str
    transformer: str


def _start_component(folder: Path, component: str, *options: str) -> Server:
    port, log = free_port(), folder / f"{component}.log"
    flags = ("--http_port", str(port), "--model_name", _NAME, "--enable_grpc", "false", *options)
    arguments = [sys.executable, "-m", "proof.speed.tutorial_service", *flags]
    command = Command(component, arguments, log, build_service_environment(), folder=folder)
    server = Server(component, f"http://{HOST}:{port}", log, launch(command))
    with httpx.Client(base_url=server.url, timeout=2.0, trust_env=False) as client:
        return wait_until(
            server, lambda: client.get(f"/v1/models/{_NAME}").is_success, timeout_s=_START_TIMEOUT_S
        )


@contextlib.contextmanager
def start_tutorial_service() -> Iterator[TutorialAddresses]:
    """Start both components, each in a process of its own."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        predictor = _start_component(folder, "predictor")
        stack.callback(predictor.stop)
        host = predictor.url.removeprefix("http://")
        transformer = _start_component(
            folder, "transformer", "--predictor_host", host, "--predictor_protocol", "v1"
        )
        stack.callback(transformer.stop)
        yield TutorialAddresses(predictor.url, transformer.url)


def _build_file_requests(number: int) -> list[bytes]:
    """Build requests to the tutorial's transformer, with files in base64."""
    encoded = (base64.b64encode(file).decode() for file in make_fresh_radiographs(number, seed=1))
    bodies = ({"instances": [{"image": {"b64": file}}]} for file in encoded)
    return [requests.build_post(_PREDICT, json.dumps(body).encode()) for body in bodies]


def _build_tensor_requests(number: int) -> list[bytes]:
    """Build requests to the tutorial's predictor alone, with decoded tensors as JSON lists."""
    tensors = np.random.default_rng(1).integers(0, 256, (number, 224, 224, 3)).astype(np.float32)
    bodies = ({"instances": [{"data": tensor.tolist()}]} for tensor in tensors)
    return [requests.build_post(_PREDICT, json.dumps(body).encode()) for body in bodies]


def _append_rate(lab: SpeedLab, address: str, requests: Sequence[bytes], rates: list[float]) -> None:
    rates.append(lab.send_load(address, requests).per_s)


def measure_tutorial(lab: SpeedLab, stack: RunningStack, prepared: PreparedRequests) -> list[SpeedRow]:
    """Measure our service and the tutorial's in turn."""
    ours, by_files, by_floats = list[float](), list[float](), list[float]()
    files, floats = _build_file_requests(16), _build_tensor_requests(16)
    with start_tutorial_service() as peer:
        for address, requests in ((peer.transformer, files), (peer.predictor, floats)):
            # the first call of Keras builds its graph
            lab.run(send_one_by_one(address, iter(requests), _WARM_UP_REQUESTS))
        for number in range(lab.effort.rounds):
            print_progress(f"tutorial: round {number + 1}")
            # In turn, so that a disturbance of the machine meets all three.
            _append_rate(lab, stack.record.address, prepared.with_file, ours)
            _append_rate(lab, peer.transformer, files, by_files)
            _append_rate(lab, peer.predictor, floats, by_floats)
    figure = SpeedFigure(median(ours), "/s")
    return [
        compare_ratio(
            f"whole way / {peer_name}, {CLIENTS} clients",
            figure,
            SpeedFigure(median(rates), "/s", part),
            _AT_LEAST,
            "x",
        )
        for peer_name, part, rates in (
            ("KServe tutorial, PNG sent as file", "its transformer and predictor", by_files),
            ("KServe tutorial, tensors sent", "its predictor alone, JSON floats", by_floats),
        )
    ]
