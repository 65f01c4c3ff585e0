"""One request is one trace through all three services, in spans and in logs."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from pleura.local.processes import free_port
from proof.lab.transformer import make_radiograph_png
from tests.end_to_end.telemetry.conftest import SERVICES, ObservedStack
from tests.support.collector import ExportedSpans
from tests.support.triton import TritonCall

_ALL_SERVICES = {"auth_proxy", "transformer", "predictor"}


@pytest.fixture(autouse=True)
def _let_collector_answer(observed: ObservedStack) -> Iterator[None]:
    yield
    observed.collector.may_answer.set()


def _wait_for_spans(observed: ObservedStack, trace_id: str, services: set[str]) -> dict[str, ExportedSpans]:
    end = time.monotonic() + 20
    while (found := observed.collector.find_trace(trace_id)).keys() != services and time.monotonic() < end:
        time.sleep(0.05)
    assert found.keys() == services
    return found


def _find_log_lines(observed: ObservedStack, trace_id: str) -> dict[str, list[dict[str, object]]]:
    lines = {name: observed.read_log(name).splitlines() for name in SERVICES}
    return {name: [json.loads(each) for each in some if trace_id in each] for name, some in lines.items()}


def _make_trace() -> tuple[str, str, dict[str, str]]:
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, {"traceparent": f"00-{trace_id}-{span_id}-01", "tracestate": "a=b"}


def _check_parents(spans: dict[str, ExportedSpans], caller: str, routes: tuple[str, str, str]) -> None:
    parents = [caller, spans["auth_proxy"].span_id, spans["transformer"].span_id]
    for name, parent, route in zip(SERVICES, parents, routes, strict=True):
        span = spans[name]
        assert (span.parent_id, span.name) == (parent, route)
        assert span.attributes == {"route": route, "outcome": "ok", "model_version": "0.0.1"}
    assert len({span.span_id for span in spans.values()} | {caller}) == 4


def test_a_trace_goes_through_all_services_over_rest(observed: ObservedStack, client: httpx.Client) -> None:
    """Each service's span is a child of the caller's span, and each log has the trace and request ids."""
    trace_id, caller, headers = _make_trace()
    files = {"file": make_radiograph_png(int(trace_id[:6], 16))}
    answer = client.post("/classify", files=files, headers=headers | {"x-request-id": f"r-{trace_id}"})
    assert answer.status_code == 200
    spans = _wait_for_spans(observed, trace_id, _ALL_SERVICES)
    _check_parents(spans, caller, ("classify", "v2_infer", "grpc_ModelInfer"))
    for name, lines in _find_log_lines(observed, trace_id).items():
        assert lines, name
        assert {(line["trace_id"], line["request_id"]) for line in lines} == {(trace_id, f"r-{trace_id}")}


def test_a_trace_goes_through_all_services_over_grpc(observed: ObservedStack) -> None:
    """Over gRPC, each service's span is a child of the caller's span."""
    trace_id, caller, headers = _make_trace()
    headers |= {"authorization": f"Bearer {observed.stack.make_token()}"}
    inputs = {"image": ("BYTES", np.array([make_radiograph_png(int(trace_id[:6], 16))], np.object_))}
    TritonCall(observed.stack.record.grpc_address, "infer", ("chest-xray",), inputs, headers=headers)()
    spans = _wait_for_spans(observed, trace_id, _ALL_SERVICES)
    _check_parents(spans, caller, ("grpc_ModelInfer",) * 3)


def test_a_request_without_a_trace_begins_one(observed: ObservedStack, client: httpx.Client) -> None:
    """The proxy's span is the root, and a refused request has a span in each service that it reached."""
    request_id = secrets.token_hex(8)
    answer = client.post("/classify", json={"image_id": "nosuch.png"}, headers={"x-request-id": request_id})
    assert answer.status_code == 404
    end = time.monotonic() + 20
    while not (
        found := [each for each in observed.read_log("auth_proxy").splitlines() if request_id in each]
    ):
        assert time.monotonic() < end
        time.sleep(0.05)
    spans = _wait_for_spans(observed, json.loads(found[0])["trace_id"], {"auth_proxy", "transformer"})
    assert spans["auth_proxy"].parent_id == ""
    assert spans["transformer"].parent_id == spans["auth_proxy"].span_id
    for span in spans.values():
        assert span.attributes["outcome"] == "radiograph_not_found"
        assert "model_version" not in span.attributes


def _fail_at_object_store(observed: ObservedStack, client: httpx.Client) -> str:
    """Send a request while the object store hangs, and return its trace id."""
    trace_id, _, headers = _make_trace()
    while client.get("/readyz").status_code != 200:
        time.sleep(0.1)
    with observed.stack.freeze("seaweed"):
        answer = client.post(
            "/classify",
            json={"image_id": "r.png"},
            headers=headers | {"x-request-timeout-ms": "1500", "x-request-id": trace_id},
        )
    assert answer.status_code in (503, 504)
    return trace_id


def test_lines_from_threads_have_the_request_id(observed: ObservedStack, client: httpx.Client) -> None:
    """A log line from a thread that calls the object store has both ids."""
    end, lines = time.monotonic() + 60, list[dict[str, Any]]()
    while "object_store_failed" not in {line["event"] for line in lines}:
        assert time.monotonic() < end
        # on a busy machine the service may be unready before the call
        trace_id = _fail_at_object_store(observed, client)
        time.sleep(1.0)
        lines = _find_log_lines(observed, trace_id)["transformer"]
    assert {line["request_id"] for line in lines} == {trace_id}


def _read_processor_s(observed: ObservedStack) -> float:
    stat = Path(f"/proc/{observed.stack.find_process('auth_proxy').pid}/stat").read_text()
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def test_a_collector_that_hangs_costs_nothing(observed: ObservedStack, client: httpx.Client) -> None:
    """While the collector hangs, more requests than the queue holds are answered without extra work."""
    processor_s = []
    for is_hanging in (False, True):
        if is_hanging:
            observed.collector.may_answer.clear()
        before, slowest_s = _read_processor_s(observed), 0.0
        for _ in range(600):
            began = time.perf_counter()
            assert client.get("/v2/models").status_code == 200
            slowest_s = max(slowest_s, time.perf_counter() - began)
        processor_s.append(_read_processor_s(observed) - before)
        assert slowest_s < 5
    assert processor_s[1] < 2 * processor_s[0] + 0.5
    assert "Queue full" not in observed.read_log("auth_proxy")


_WITHOUT_SDK = (
    "import runpy, sys; sys.modules['opentelemetry.sdk'] = None; runpy.run_module({!r}, run_name='__main__')"
)


@pytest.mark.parametrize("service", SERVICES)
def test_an_exporter_that_is_not_installed_stops_the_start(
    observed: ObservedStack, service: str, tmp_path: Path
) -> None:
    """A service that cannot export its spans does not start, and one line names the missing extra."""
    settings = Path(f"/proc/{observed.stack.find_process(service).pid}/environ").read_text().split("\0")
    environment = dict(each.split("=", 1) for each in settings if each)
    result = subprocess.run(
        [sys.executable, "-c", _WITHOUT_SDK.format(service)],
        env=environment | _choose_free_ports(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=tmp_path,
    )
    (line,) = result.stdout.splitlines()
    assert (result.returncode, json.loads(line)["event"]) == (2, "start_refused")
    assert json.loads(line)["reason"] == "OTEL_EXPORTER_OTLP_ENDPOINT: the extra 'tracing' is not installed"


def _choose_free_ports() -> dict[str, str]:
    names = ("PLEURA_HTTP_PORT", "PLEURA_GRPC_PORT", "PLEURA_METRICS_PORT")
    return {name: str(free_port()) for name in names}


def test_a_collector_that_hangs_does_not_delay_the_shutdown(
    observed: ObservedStack, client: httpx.Client
) -> None:
    """SIGTERM ends the proxy within seconds while spans wait for the collector. The proxy restarts."""
    observed.collector.may_answer.clear()
    assert client.get("/v2/models").status_code == 200
    process = observed.stack.find_process("auth_proxy")
    began = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    while process.is_alive:
        assert time.monotonic() < began + 15
        time.sleep(0.05)
    end = time.monotonic() + 60
    while (part := observed.stack.record.parts.get("auth_proxy")) is None or part.process == process:
        assert time.monotonic() < end
        time.sleep(0.1)
