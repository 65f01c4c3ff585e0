"""Start a real transformer process, and send requests to it."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np

from pleura.local.dependencies import free_port
from pleura.local.pleura_services import Ports, Service, start_service
from proof.lab.service_key import KEY_OR_NONE

ACCESS_KEY, SECRET_KEY = "test-access", "test-secret-key"


def make_radiograph_png(seed: int, side: int = 256) -> bytes:
    """Make a PNG that the service accepts as a radiograph. Each seed gives another one."""
    # A few large spots, which survive the reduction to 224 pixels, so that each seed has its own answer.
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (8, 8)).astype(np.uint8)
    return bytes(cv2.imencode(".png", cv2.resize(coarse, (side, side)))[1])


@dataclass(frozen=True)
class TransformerParts:
    """The addresses of the parts that a transformer needs."""

    predictor_address: str
    s3_url: str
    redis_url: str
    journal_dsn: str
    spool_folder: Path

    def build_environment(self, **settings: str) -> dict[str, str]:
        """Build the transformer's settings. It remembers the answering revision for a short time only."""
        return {
            "PLEURA_PREDICTOR_ADDRESS": self.predictor_address,
            "PLEURA_S3_URL": self.s3_url,
            "PLEURA_S3_ACCESS_KEY": ACCESS_KEY,
            "PLEURA_S3_SECRET_KEY": SECRET_KEY,
            "PLEURA_REDIS_URL": self.redis_url,
            "PLEURA_CACHE_KEY": "the same key for all transformers of the tests",
            "PLEURA_JOURNAL_DSN": self.journal_dsn,
            "PLEURA_SPOOL_FOLDER": str(self.spool_folder),
            "PLEURA_WATCH_INTERVAL_S": "0.5",
            "PLEURA_ANSWERING_TTL_S": "2",
            "PLEURA_CACHE_TIMEOUT_S": "1",
            # Each decoder takes memory, and most tests send one radiograph at a time.
            "PLEURA_DECODERS": "1",
            **KEY_OR_NONE,
        } | settings


def start_transformer(folder: Path, environment: Mapping[str, str]) -> Service:
    """Start a transformer and wait until it is ready."""
    return start_service("transformer", folder, Ports(free_port(), free_port()), environment)


@dataclass(frozen=True)
class V2Answer:
    """A V2 answer over REST."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]

    def read_output(self, name: str) -> np.ndarray:
        """Return an output as an array."""
        (output,) = [output for output in self.body["outputs"] if output["name"] == name]
        return np.array(output["data"]).reshape(output["shape"])


def _build_document(name: str, count: int, more: Mapping[str, Any]) -> dict[str, Any]:
    return {"inputs": [{"name": name, "datatype": "BYTES", "shape": [count]}], **more}


async def send_by_id(
    service: Service,
    ids: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> V2Answer:
    """Send a V2 request in JSON that names radiographs by their object ids."""
    document = _build_document("image_id", len(ids), more)
    document["inputs"][0]["data"] = list(ids)
    async with _make_client() as client:
        response = await client.post(_build_url(service), json=document, headers=dict(headers or {}))
    return V2Answer(response.status_code, response.json(), response.headers)


async def send_files(service: Service, files: Sequence[bytes], **more: Any) -> V2Answer:
    """Send a V2 request with files in a binary tensor."""
    raw = b"".join(struct.pack("<I", len(file)) + file for file in files)
    document = _build_document("image", len(files), more)
    document["inputs"][0]["parameters"] = {"binary_data_size": len(raw)}
    json = httpx.Request("POST", "http://none", json=document).content
    headers = {
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(len(json)),
    }
    async with _make_client() as client:
        response = await client.post(_build_url(service), content=json + raw, headers=headers)
    return V2Answer(response.status_code, response.json(), response.headers)


def _make_client() -> httpx.AsyncClient:
    # without certificates: reading them for each client would block the event loop
    return httpx.AsyncClient(timeout=30, trust_env=False, verify=False)


def _build_url(service: Service) -> str:
    return f"{service.url}/v2/models/chest-xray/infer"
