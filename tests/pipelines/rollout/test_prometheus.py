"""The queries to Prometheus, and the counts from its answers, over HTTP."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pipelines.rollout.counters import ObservationUnavailable
from pipelines.rollout.observation import RequestCounts
from pipelines.rollout.prometheus import PrometheusCounters
from pipelines.rollout.target import ModelChange, ModelReference

_OLD, _NEW = ModelReference("s3://old", "a" * 64, "1.0.0"), ModelReference("s3://new", "b" * 64, "2.0.0")


def _vector(*samples: tuple[dict[str, str], str]) -> dict[str, Any]:
    result = [{"metric": labels, "value": [1.0, value]} for labels, value in samples]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


class _Prometheus(BaseHTTPRequestHandler):
    """Knows 100 requests of version 2.0.0, one of them answered with NaN, and no other version."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)["query"][0]
        document = _vector()
        if 'model_version="2.0.0"' in query and "pleura_requests_total" in query:
            infer = {"route": "grpc_ModelInfer"}
            document = _vector(
                ({**infer, "outcome": "ok"}, "99"),
                ({**infer, "outcome": "invalid_answer"}, "1"),
                ({"route": "readyz", "outcome": "ok"}, "7"),
            )
        elif 'model_version="2.0.0"' in query and "pleura_build_info" in query:
            document = _vector(({}, "1"))
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def address() -> Iterator[str]:
    """The URL of a running server."""
    server = HTTPServer(("127.0.0.1", 0), _Prometheus)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_each_revision_is_queried_by_its_version(address: str) -> None:
    """Inferences of the challenger's pods count for the canary; without pods nothing is counted."""
    counts = PrometheusCounters(address, ModelChange(_OLD, _NEW)).read()
    assert counts.canary == RequestCounts(requests=100, errors=1, refusals=0, invalid=1)
    assert counts.stable == RequestCounts()


def test_counters_that_cannot_be_told_apart_or_read_are_unavailable(address: str) -> None:
    """Two models of one version, and a Prometheus that is down, do not count as zero."""
    same = ModelChange(_OLD, ModelReference("s3://new", "b" * 64, "1.0.0"))
    with pytest.raises(ObservationUnavailable, match="same version"):
        PrometheusCounters(address, same).read()
    with pytest.raises(ObservationUnavailable, match="does not answer"):
        PrometheusCounters("http://127.0.0.1:1", ModelChange(_OLD, _NEW)).read()
