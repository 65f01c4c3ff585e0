"""Requests to a Kubeflow Pipelines server, received by a server that records them."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipelines.run.parameters import SMALL_PARAMETERS
from pleura.console.app import main


class _Server(ThreadingHTTPServer):
    """Answers as the API of Pipelines 2 does, and records each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def posted(self, path: str) -> Any:
        """The only document that was posted to a path."""
        (document,) = [
            body for method, requested, body in self.requests if (method, requested) == ("POST", path)
        ]
        return document


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _answer(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        path = self.path.partition("?")[0]
        self.server.requests.append((self.command, path, body))
        answers = {
            "/apis/v2beta1/healthz": {"multi_user": False},
            "/apis/v2beta1/experiments": {"experiment_id": "e1", "display_name": "chest-xray"},
            "/apis/v2beta1/runs": {"run_id": "r1"},
            "/apis/v2beta1/recurringruns": {"recurring_run_id": "s1"},
        }
        document = {} if (self.command, path) == ("GET", "/apis/v2beta1/experiments") else answers.get(path)
        content = json.dumps(document if document is not None else {}).encode()
        self.send_response(404 if document is None else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer  # noqa: N815  # as the library calls them

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[_Server]:
    running = _Server()
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


_ARGUMENTS = ["--parameters", str(SMALL_PARAMETERS), "--data-set", "ours@" + "a" * 64]


def test_a_run_is_submitted_with_its_parameters(server: _Server, capsys: pytest.CaptureFixture[str]) -> None:
    """The server gets the compiled pipeline, its parameters and its name; the run's id is printed."""
    assert main(["pipeline", "submit", "--host", server.url, "--name", "mine", *_ARGUMENTS]) == 0
    assert "run r1" in capsys.readouterr().out
    sent = server.posted("/apis/v2beta1/runs")
    arguments = sent["runtime_config"]["parameters"]
    assert arguments["run"] == "mine"
    assert json.loads(arguments["parameters"])["data_set"] == _ARGUMENTS[-1]
    assert "perform-step" in json.dumps(sent["pipeline_spec"])


def test_a_schedule_runs_one_at_a_time(server: _Server, capsys: pytest.CaptureFixture[str]) -> None:
    """The server gets the cron expression; it runs no missed run later, and no two runs at once."""
    schedule = ["--host", server.url, "--name", "weekly", "--cron", "0 0 3 * * 1", *_ARGUMENTS]
    assert main(["pipeline", "schedule", *schedule]) == 0
    assert "schedule s1" in capsys.readouterr().out
    sent = server.posted("/apis/v2beta1/recurringruns")
    assert sent["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * 1"
    assert (sent["max_concurrency"], sent["no_catchup"]) == (1, True)


def test_a_server_that_does_not_answer_is_an_error_of_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 1, and no traceback is printed."""
    assert main(["pipeline", "submit", "--host", "http://127.0.0.1:9", *_ARGUMENTS]) == 1
    error = capsys.readouterr().err
    assert "does not answer" in error
    assert len(error.splitlines()) == 1
