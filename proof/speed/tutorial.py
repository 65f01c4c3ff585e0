"""The whole way beside the KServe service of the tutorials: radiographs a second, in turn."""

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
from proof.speed.table import SpeedFigure, SpeedRow, ratio

_NAME: Final = "densenet"
_PREDICT: Final = f"/v1/models/{_NAME}:predict"
_AT_LEAST: Final = 5.0
_WARM: Final = 3
_START_TIMEOUT_S: Final = 300.0


@dataclass(frozen=True)
class Peer:
    """Where the tutorial's two components answer."""

    predictor: str
    transformer: str


def _start(folder: Path, component: str, *more: str) -> Server:
    port, log = free_port(), folder / f"{component}.log"
    flags = ("--http_port", str(port), "--model_name", _NAME, "--enable_grpc", "false", *more)
    arguments = [sys.executable, "-m", "proof.speed.tutorial_service", *flags]
    command = Command(component, arguments, log, build_service_environment(), folder=folder)
    server = Server(component, f"http://{HOST}:{port}", log, launch(command))
    with httpx.Client(base_url=server.url, timeout=2.0, trust_env=False) as client:
        return wait_until(
            server, lambda: client.get(f"/v1/models/{_NAME}").is_success, timeout_s=_START_TIMEOUT_S
        )


@contextlib.contextmanager
def tutorial_service() -> Iterator[Peer]:
    """Both components, each in a process of its own."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        predictor = _start(folder, "predictor")
        stack.callback(predictor.stop)
        host = predictor.url.removeprefix("http://")
        transformer = _start(folder, "transformer", "--predictor_host", host, "--predictor_protocol", "v1")
        stack.callback(transformer.stop)
        yield Peer(predictor.url, transformer.url)


def _files(number: int) -> list[bytes]:
    """Requests to its transformer: base64 files of the same kind as ours."""
    encoded = (base64.b64encode(file).decode() for file in make_fresh_radiographs(number, seed=1))
    bodies = ({"instances": [{"image": {"b64": file}}]} for file in encoded)
    return [requests.post(_PREDICT, json.dumps(body).encode()) for body in bodies]


def _floats(number: int) -> list[bytes]:
    """Requests to its predictor alone: tensors that somebody else has decoded and written down."""
    tensors = np.random.default_rng(1).integers(0, 256, (number, 224, 224, 3)).astype(np.float32)
    bodies = ({"instances": [{"data": tensor.tolist()}]} for tensor in tensors)
    return [requests.post(_PREDICT, json.dumps(body).encode()) for body in bodies]


def _rates(lab: SpeedLab, address: str, requests: Sequence[bytes], rates: list[float]) -> None:
    rates.append(lab.load(address, requests).per_s)


def rows(lab: SpeedLab, stack: RunningStack, asked: PreparedRequests) -> list[SpeedRow]:
    """Ours and the peer's, round after round."""
    ours, by_files, by_floats = list[float](), list[float](), list[float]()
    files, floats = _files(16), _floats(16)
    with tutorial_service() as peer:
        for address, requests in ((peer.transformer, files), (peer.predictor, floats)):
            lab.run(
                send_one_by_one(address, iter(requests), _WARM)
            )  # the first call of Keras builds its graph
        for number in range(lab.effort.rounds):
            print_progress(f"tutorial: round {number + 1}")
            _rates(lab, stack.record.address, asked.with_file, ours)
            _rates(lab, peer.transformer, files, by_files)
            _rates(lab, peer.predictor, floats, by_floats)
    figure = SpeedFigure(median(ours), "/s")
    return [
        ratio(
            f"whole way / {what}, {CLIENTS} clients",
            figure,
            SpeedFigure(median(rates), "/s", of),
            _AT_LEAST,
            "x",
        )
        for what, of, rates in (
            ("KServe tutorial, PNG sent as file", "its transformer and predictor", by_files),
            ("KServe tutorial, tensors sent", "its predictor alone, JSON floats", by_floats),
        )
    ]
