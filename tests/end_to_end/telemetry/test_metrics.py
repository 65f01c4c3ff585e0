"""Metrics agree with the requests that were sent and with the reference document."""

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest

from pleura.findings import FINDINGS
from pleura.local.samples import choose_sample, find_samples
from proof.lab.proxy import exchange
from proof.lab.scrape import Family, Scrape
from proof.lab.transformer import make_radiograph_png
from tests.end_to_end.telemetry.conftest import SERVICES, ObservedStack
from tests.support.triton import CallFailed, TritonCall

_DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"
_ROW = re.compile(r"^\| `(pleura_\w+)` \| (\w+) \|([^|]*)\|([^|]*)\|", re.MULTILINE)
_PROBE_ROUTES = ("healthz", "readyz", "v2_model_ready", "grpc_Describe")  # probes call these at any time
_MODEL_ONLY = "pleura_model_info"  # the proxy has this family without a sample


def _read_documented(service: str) -> dict[str, Family]:
    rows = _ROW.findall(_DOCUMENT.read_text())
    return {
        name: Family(kind, frozenset(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels, services in rows
        if services.strip() in ("all", service)
    }


def _count_requests(scrape: Scrape) -> Counter[tuple[str, ...]]:
    """Count the test's own requests by outcome and route."""
    counts = scrape.count_samples("pleura_requests_total")
    return Counter({key: count for key, count in counts.items() if key[1] not in _PROBE_ROUTES})


def _subtract_counts(
    before: Counter[tuple[str, ...]], after: Counter[tuple[str, ...]]
) -> dict[tuple[str, ...], int]:
    return {key: count - before[key] for key, count in after.items() if count != before[key]}


def _is_all_counted(before: Mapping[str, Scrape], after: Mapping[str, Scrape]) -> bool:
    """Whether each service has counted and ended the requests of the test."""
    counts = {name: sum(_count_new_requests(before[name], after[name]).values()) for name in SERVICES}
    is_counted = counts["auth_proxy"] >= 12 and counts["transformer"] >= 8 and counts["predictor"] >= 1
    return is_counted and not any(each.read_value("pleura_requests_in_flight") for each in after.values())


def _count_new_requests(before: Scrape, after: Scrape) -> dict[tuple[str, ...], int]:
    """Count the test's own requests between two scrapes, by outcome and route."""
    new_counts = _subtract_counts(_count_requests(before), _count_requests(after))
    new_counts.pop(("ok", "model_info"), None)  # the proxy reads this periodically for its own use
    return new_counts


def _infer_by_grpc(observed: ObservedStack, element: bytes, token: str) -> None:
    headers = {"authorization": f"Bearer {token}"}
    inputs = {"image_id": ("BYTES", np.array([element], np.object_))}
    TritonCall(observed.stack.record.grpc_address, "infer", ("chest-xray",), inputs, headers=headers)()


def _scrape_until(
    observed: ObservedStack, has_settled: Callable[[dict[str, Scrape]], bool]
) -> dict[str, Scrape]:
    """Scrape until the last request is counted, because an answer leaves before it is counted."""
    for _ in range(100):
        scrapes = observed.scrape_metrics()
        if has_settled(scrapes):
            break
        time.sleep(0.1)
    return scrapes


def test_counts_grow_by_the_requests_sent(observed: ObservedStack, client: httpx.Client) -> None:
    """Answered, cached, refused and unauthenticated requests grow only their own counts."""
    sample = choose_sample(find_samples())
    assert sample
    before = observed.scrape_metrics()
    files = {"file": make_radiograph_png(random.randrange(10**6))}  # content that is not in the cache
    fresh, cached = client.post("/classify", files=files), client.post("/classify", files=files)
    assert [each.json()["cached"] for each in (fresh, cached)] == [False, True]
    assert client.post("/classify", json={"image_id": "nosuch.png"}).status_code == 404
    assert client.post("/classify", files={"file": b"no radiograph"}).status_code == 400
    assert httpx.post(f"{client.base_url}/classify", json={}).status_code == 401
    verdict = {"id": "nosuch", "verdicts": {"Mass": True}, "had_seen_answer": True}
    assert client.post("/feedback", json=verdict).status_code == 404
    verdict["id"] = fresh.json()["request_id"]
    assert client.post("/feedback", json=verdict | {"answered_to": "tester"}).status_code == 201
    assert client.get("/nowhere").status_code == 404
    assert client.get("/classify").status_code == 405
    _infer_by_grpc(observed, sample.name.encode(), observed.stack.make_token())
    for element, token in ((b"nosuch.png", observed.stack.make_token()), (b"a", "x.y.z")):
        with pytest.raises(CallFailed):
            _infer_by_grpc(observed, element, token)
    after = _scrape_until(observed, lambda each: _is_all_counted(before, each))
    new_counts = {name: _count_new_requests(before[name], after[name]) for name in SERVICES}
    assert new_counts["auth_proxy"] == {
        ("ok", "classify"): 2,
        ("radiograph_not_found", "classify"): 1,
        ("unreadable_radiograph", "classify"): 1,
        ("unauthenticated", "classify"): 1,
        ("ok", "feedback"): 1,
        ("answer_not_found", "feedback"): 1,
        ("not_found", "unknown"): 1,
        ("method_not_allowed", "unknown"): 1,
        ("ok", "grpc_ModelInfer"): 1,
        ("radiograph_not_found", "grpc_ModelInfer"): 1,
        ("unauthenticated", "grpc_ModelInfer"): 1,
    }
    assert new_counts["transformer"] == {
        ("ok", "v2_infer"): 2,
        ("ok", "feedback"): 1,
        ("answer_not_found", "feedback"): 1,
        ("radiograph_not_found", "v2_infer"): 1,
        ("unreadable_radiograph", "v2_infer"): 1,
        ("ok", "grpc_ModelInfer"): 1,
        ("radiograph_not_found", "grpc_ModelInfer"): 1,
    }
    _check_other_metrics(before, after)


def _check_other_metrics(before: dict[str, Scrape], after: dict[str, Scrape]) -> None:
    def count_new_samples(service: str, name: str, **where: str) -> dict[tuple[str, ...], int]:
        return _subtract_counts(
            before[service].count_samples(name, **where), after[service].count_samples(name, **where)
        )

    # the sample may already be in the cache
    (predictions,) = _subtract_counts(
        _count_requests(before["predictor"]), _count_requests(after["predictor"])
    ).values()
    assert predictions in (1, 2)
    lookups = count_new_samples("transformer", "pleura_cache_lookups_total")
    # the file that is not a radiograph is a miss too; an object that the store does not have is not looked up
    assert lookups == {("hit",): 3 - predictions, ("miss",): 1 + predictions}
    assert count_new_samples("transformer", "pleura_journal_rows_total") == {("written",): 3}
    assert count_new_samples("transformer", "pleura_finding_score_count", finding=FINDINGS[0]) == {
        (FINDINGS[0], "0.0.1"): predictions
    }
    assert count_new_samples("transformer", "pleura_stage_duration_seconds_count", stage="whole") == {
        ("whole",): 3
    }
    assert count_new_samples("transformer", "pleura_stage_duration_seconds_count", stage="predict") == {
        ("predict",): predictions
    }
    assert count_new_samples("auth_proxy", "pleura_token_refusals_total") == {
        ("missing",): 1,
        ("malformed",): 1,
    }
    assert count_new_samples("auth_proxy", "pleura_refusals_total") == {
        ("radiograph_not_found",): 2,
        ("unreadable_radiograph",): 1,
        ("answer_not_found",): 1,
        ("unauthenticated",): 2,
        ("not_found",): 1,
        ("method_not_allowed",): 1,
    }
    for each in after.values():
        assert each.read_value("pleura_requests_in_flight") == 0
        assert each.read_value("pleura_ready") == 1


def test_the_document_and_the_services_agree(observed: ObservedStack) -> None:
    """Each service has exactly the metrics that the document lists, with their types and labels."""
    for name in ("transformer", "predictor"):  # a metric without samples shows no labels
        url = observed.stack.record.metrics[name].replace("/metrics", "/nowhere")
        assert httpx.get(url, trust_env=False).status_code == 401  # the request has no service key
    for name, found in observed.scrape_metrics().items():
        documented_families = _read_documented(name)
        assert len(documented_families) > 8
        if name == "auth_proxy":
            assert found.families[_MODEL_ONLY].kind == documented_families.pop(_MODEL_ONLY).kind
            families = {each: family for each, family in found.families.items() if each != _MODEL_ONLY}
        else:
            families = dict(found.families)
        assert families == documented_families
        assert "process_resident_memory_bytes" in found.text


def test_the_proxy_shows_no_metrics_to_callers(observed: ObservedStack, client: httpx.Client) -> None:
    """The public port has no metrics path, with or without a token."""
    assert client.get("/metrics").status_code == 404
    assert httpx.get(f"{client.base_url}/metrics").status_code == 404


def _send_odd_request(observed: ObservedStack, client: httpx.Client, random_: random.Random) -> None:
    """Send one unusual request that carries a mark for which the metrics are searched."""
    mark = f"zq9x{random_.getrandbits(64):x}"
    port = int(observed.stack.record.address.rpartition(":")[2])
    match random_.randrange(8):
        case 0:
            client.get(f"/{mark}/{mark}")
        case 1:
            client.request(mark.upper(), "/classify")
        case 2:
            client.get(f"/v2/models/{mark}")
        case 3:
            client.post(f"/v2/models/chest-xray/versions/{mark}/infer", json={})
        case 4:
            client.post("/classify", json={"image_id": f"{mark}.png"}, headers={"x-request-id": mark})
        case 5:
            headers = {"authorization": f"Bearer {mark}", "traceparent": mark, "user-agent": mark}
            client.get(f"/model-info?{mark}", headers=headers)
        case 6:
            exchange(port, f"GET /{mark} HTTP/1.1\r\nHost: {mark}\r\nConnection: close\r\n\r\n".encode())
        case 7:
            with grpc.insecure_channel(observed.stack.record.grpc_address) as channel:
                method = channel.unary_unary(f"/inference.GRPCInferenceService/{mark}")
                with pytest.raises(grpc.RpcError):
                    method(b"", timeout=30)


def test_odd_requests_make_no_new_series(observed: ObservedStack, client: httpx.Client) -> None:
    """After 1,000 requests with invented paths, verbs, models, versions and ids, no label contains one."""
    random_ = random.Random(0)
    before = sum(observed.scrape_metrics()["auth_proxy"].count_samples("pleura_requests_total").values())
    for _ in range(200):
        _send_odd_request(observed, client, random_)
    first = {name: len(each.samples) for name, each in observed.scrape_metrics().items()}
    for _ in range(800):
        _send_odd_request(observed, client, random_)
    scrapes = observed.scrape_metrics()
    assert {name: len(each.samples) for name, each in scrapes.items()} == first
    for each in scrapes.values():
        assert "zq9x" not in each.text.lower()
        assert len(each.list_label_values("route")) < 20
        assert len(each.list_label_values("outcome")) < 20
    counted = sum(scrapes["auth_proxy"].count_samples("pleura_requests_total").values())
    assert counted - before >= 990  # the last requests are counted after their answers
