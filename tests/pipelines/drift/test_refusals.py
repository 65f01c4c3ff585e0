"""Refusals come from Prometheus by its HTTP API; an unknown count is not zero."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pipelines.drift.refusals import RefusalCountsUnavailable, read_refusal_counts
from tests.support.pipelines.drift_values import SINCE, UNTIL


class _Prometheus(ThreadingHTTPServer):
    """Answers every query with a fixed answer."""

    def __init__(self, answer: bytes, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.status = answer, status
        self.asked: list[tuple[str, dict[str, list[str]]]] = []

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: _Prometheus

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.asked.append((parts.path, parse_qs(parts.query)))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def _prometheus(answer: bytes, status: int = 200) -> Iterator[_Prometheus]:
    with _Prometheus(answer, status) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def _vector(**counts: str) -> bytes:
    result: list[dict[str, Any]] = [
        {"metric": {"reason": reason}, "value": [UNTIL.timestamp(), count]}
        for reason, count in counts.items()
    ]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


def test_refusals_of_radiographs_are_counted() -> None:
    """Counts are rounded, reasons that did not happen are 0, and an expired token does not count."""
    with _prometheus(_vector(refused_radiograph="12.0071", unauthenticated="900")) as server:
        found = read_refusal_counts(server.url, 'job="transformer"', SINCE, UNTIL)
    assert found == {"refused_radiograph": 12, "unreadable_radiograph": 0, "too_large": 0}
    ((path, asked),) = server.asked
    assert path == "/api/v1/query"
    assert asked["query"] == ['sum by (reason) (increase(pleura_refusals_total{job="transformer"}[604800s]))']
    assert asked["time"] == [str(UNTIL.timestamp())]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"", 200),
        (b"[]", 200),
        (b'{"status":"error","errorType":"bad_data"}', 400),
        (b'{"status":"error"}', 200),
        (_vector(refused_radiograph="NaN"), 200),
        (_vector(refused_radiograph="1"), 503),
    ],
)
def test_what_is_no_answer_is_told(answer: bytes, status: int) -> None:
    """An answer without counts means unknown, not zero."""
    with _prometheus(answer, status) as server, pytest.raises(RefusalCountsUnavailable):
        read_refusal_counts(server.url, "", SINCE, UNTIL)


def test_a_closed_port_is_told() -> None:
    """So it is where nobody answers."""
    with pytest.raises(RefusalCountsUnavailable):
        read_refusal_counts("http://127.0.0.1:9", "", SINCE, UNTIL)
