"""The gauges say what the report says, of nobody, and arrive whole."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.drift.metrics import DriftMetricsNotWritten, drift_registry, push_metrics, write_textfile
from tests.support.pipelines.drift_values import UNTIL, report_of, sample

REPORT = report_of(sample(1, 300, shift=1.0))


class _Gateway(ThreadingHTTPServer):
    """Takes what is pushed, as a Pushgateway does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.taken: list[tuple[str, str, bytes]] = []
        self.status = 200


class _Handler(BaseHTTPRequestHandler):
    server: _Gateway

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.taken.append((self.command, self.path, body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def _gateway() -> Iterator[_Gateway]:
    with _Gateway() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def _samples(text: str) -> dict[tuple[str, str, str], float]:
    families = text_string_to_metric_families(text)
    return {
        (each.name, each.labels.get("measure", ""), each.labels.get("finding", "")): each.value
        for family in families
        for each in family.samples
    }


def test_each_comparison_is_a_series() -> None:
    """Every figure of the report is there under its finding, and when it was made."""
    found = _samples(generate_latest(drift_registry(REPORT, 2)).decode())
    for each in REPORT.models[0].compared:
        labels = (each.measure.name.replace(" ", "_"), each.measure.finding)
        assert found["pleura_drift_psi", *labels] == each.psi
        assert found["pleura_drift_found", *labels] == (each.word == "drift")
    assert found["pleura_drift_open_audits", "", ""] == 2
    assert found["pleura_drift_last_success_timestamp_seconds", "", ""] == UNTIL.timestamp()
    assert 0 < found["pleura_drift_share_ratio", "call_rate", "Effusion"] < 1


def test_what_cannot_be_shown_is_no_series() -> None:
    """Too few radiographs leave no 0 behind, which would read as no drift; they are counted as such."""
    text = generate_latest(drift_registry(report_of(sample(1, 50)), 0)).decode()
    assert not re.search(r"^pleura_drift_(found|psi)\{", text, re.MULTILINE)
    assert re.search(r'^pleura_drift_comparisons\{.*result="cannot_be_shown"\} [1-9]', text, re.MULTILINE)


def test_the_text_file_is_whole_and_readable(tmp_path: Path) -> None:
    """The collector, another user, finds one complete file and no partial one."""
    path = tmp_path / "drift.prom"
    path.write_text("old")
    write_textfile(drift_registry(REPORT, 0), path)
    assert [each.name for each in tmp_path.iterdir()] == ["drift.prom"]
    assert ("pleura_drift_psi", "score", "Hernia") in _samples(path.read_text())
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A job that could not leave its figures fails, so that its age is seen."""
    with pytest.raises(DriftMetricsNotWritten):
        write_textfile(drift_registry(REPORT, 0), tmp_path / "absent" / "drift.prom")


def test_a_push_replaces_the_last_one() -> None:
    """The gateway is sent all series under our job by PUT, which leaves none of the last ones behind."""
    with _gateway() as gateway:
        push_metrics(drift_registry(REPORT, 0), f"http://127.0.0.1:{gateway.server_port}")
    ((verb, path, body),) = gateway.taken
    assert (verb, path) == ("PUT", "/metrics/job/pleura-drift")
    assert ("pleura_drift_psi", "score", "Hernia") in _samples(body.decode())


def test_a_gateway_that_does_not_take_them_is_told() -> None:
    """Neither an error nor a closed port passes for success."""
    with _gateway() as gateway:
        gateway.status = 500
        url = f"http://127.0.0.1:{gateway.server_port}"
        with pytest.raises(DriftMetricsNotWritten):
            push_metrics(drift_registry(REPORT, 0), url)
    with pytest.raises(DriftMetricsNotWritten):
        push_metrics(drift_registry(REPORT, 0), url)
