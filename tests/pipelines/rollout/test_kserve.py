"""Rollouts on a small API server, with a controller that writes the status as KServe does."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from kubernetes import client  # type: ignore[import-untyped]

from pipelines.rollout.counters import ObservationUnavailable, RevisionCounts
from pipelines.rollout.inference_service import read_predictor_status
from pipelines.rollout.kserve import KServeTarget
from pipelines.rollout.kserve_ledger import ConfigMapLedger
from pipelines.rollout.observation import JournaledAnswers, Observation, RequestCounts, RevisionObservation
from pipelines.rollout.plan import RolloutPlan
from pipelines.rollout.rollout import RolloutInProgress, abandon_rollout, roll_out
from pipelines.rollout.state import RolloutOutcome, RolloutParts, RolloutState, utc_now
from pipelines.rollout.target import ModelChange, ModelReference, TargetRefused
from tests.support.pipelines.api_server import Cluster, serve_cluster
from tests.support.pipelines.knative import Controller

_PATH = "/apis/serving.kserve.io/v1beta1/namespaces/pleura/inferenceservices/chest-xray"
_OLD, _NEW = (
    ModelReference("s3://models/old", "a" * 64, "1.0.0"),
    ModelReference("s3://models/new", "b" * 64, "2.0.0"),
)
_CHANGE = ModelChange(_OLD, _NEW)
_CUSTOM = {
    "containers": [
        {
            "name": "kserve-container",
            "image": "predictor",
            "env": [
                {"name": "PLEURA_BUNDLE_URI", "value": _OLD.uri},
                {"name": "PLEURA_THREADS", "value": "2"},
                {"name": "PLEURA_BUNDLE_DIGEST", "value": _OLD.digest},
            ],
        }
    ]
}
_MODEL = {"model": {"modelFormat": {"name": "pleura"}, "storageUri": _OLD.uri}}


@dataclass
class _ScriptedObservations:
    """Observes as many answers as a step needs.

    From the share ``nan_from`` on the canary answers NaN. From the share ``blind_from`` on the journal is
    down.
    """

    cluster: Cluster
    nan_from: int = 101
    blind_from: int = 101

    def count(self) -> RevisionCounts:
        share = self.cluster.splits[-1].get(_NEW.uri, 0)
        return RevisionCounts(
            RequestCounts(requests=1000, invalid=int(share >= self.nan_from)), RequestCounts()
        )

    def observe(self, since: datetime, before: RevisionCounts) -> Observation:
        if self.cluster.splits[-1].get(_NEW.uri, 0) >= self.blind_from:
            raise ObservationUnavailable("the journal cannot be read")
        return Observation(
            RevisionObservation(JournaledAnswers(answers=1000), RequestCounts(1000)),
            RevisionObservation(JournaledAnswers(answers=1000)),
        )


@contextmanager
def _cluster(predictor: dict[str, Any], **settings: Any) -> Iterator[tuple[Cluster, client.ApiClient]]:
    cluster = Cluster(Controller(**settings))
    cluster.put(_PATH, {"metadata": {"name": "chest-xray"}, "spec": {"predictor": predictor}})
    cluster.reconcile()
    with serve_cluster(cluster) as api:
        yield cluster, api


def _parts(cluster: Cluster, api: client.ApiClient, plan: RolloutPlan, **observations: int) -> RolloutParts:
    steps = tuple(step.model_copy(update={"least_s": 0.0}) for step in plan.steps)
    time_limits = {"check_s": 0.1, "settle_s": 10.0, "lease_s": 0.5, "blind_s": 1.0}
    plan = plan.model_copy(update={"steps": steps, **time_limits})
    target = KServeTarget(api, "pleura", "chest-xray")
    ledger = ConfigMapLedger(api, "pleura", "chest-xray-rollout")
    return RolloutParts(target, _ScriptedObservations(cluster, **observations), ledger, plan, "test")


def _describe(outcome: RolloutOutcome) -> str:
    return "\n".join(event.what for event in outcome.history)


def _shares(cluster: Cluster) -> list[int]:
    return [split.get(_NEW.uri, 0) for split in cluster.splits]


@pytest.mark.parametrize("predictor", [_MODEL, _CUSTOM], ids=["model", "custom"])
def test_a_good_challenger_passes_all_steps(predictor: dict[str, Any], quick: RolloutPlan) -> None:
    """The share of the canary rises as planned, never before its revision is ready; the spec ends clean."""
    with _cluster(predictor) as (cluster, api):
        outcome = roll_out(_parts(cluster, api, quick), _CHANGE)
        service = cluster.objects[_PATH]
    assert outcome.result == "promoted", _describe(outcome)
    shares = _shares(cluster)
    assert list(dict.fromkeys(shares)) == [0, 1, 5, 25, 50, 100]
    predictor_status = read_predictor_status(service)
    assert (predictor_status.uri, predictor_status.percent, predictor_status.is_settled) == (
        _NEW.uri,
        None,
        True,
    )
    if predictor is _CUSTOM:
        (container,) = service["spec"]["predictor"]["containers"]
        assert container["image"] == "predictor"
        assert {variable["name"]: variable["value"] for variable in container["env"]} == {
            "PLEURA_BUNDLE_URI": _NEW.uri,
            "PLEURA_BUNDLE_DIGEST": _NEW.digest,
            "PLEURA_THREADS": "2",
        }


@pytest.mark.parametrize("nan_from", [1, 25, 100])
def test_a_bad_challenger_is_rolled_back(nan_from: int, quick: RolloutPlan) -> None:
    """At any step the share falls to 0 and never rises again, and the spec names the champion."""
    with _cluster(_MODEL) as (cluster, api):
        outcome = roll_out(_parts(cluster, api, quick, nan_from=nan_from), _CHANGE)
        service = cluster.objects[_PATH]
    assert outcome.result == "rolled_back", _describe(outcome)
    assert "NaN" in outcome.reason
    shares = _shares(cluster)
    assert max(shares) == nan_from
    assert set(shares[len(shares) - shares[::-1].index(nan_from) :]) == {0}
    predictor_status = read_predictor_status(service)
    assert (predictor_status.uri, predictor_status.percent, predictor_status.is_settled) == (
        _OLD.uri,
        None,
        True,
    )


def test_a_rollout_without_observations_is_rolled_back(quick: RolloutPlan) -> None:
    """Without the journal the rollout waits for ``blind_s``; NaN is noticed at once even then."""
    with _cluster(_MODEL) as (cluster, api):
        blind = roll_out(_parts(cluster, api, quick, blind_from=25), _CHANGE)
        assert max(_shares(cluster)) == 25
        bad = roll_out(_parts(cluster, api, quick, blind_from=5, nan_from=5), _CHANGE)
    assert (blind.result, bad.result) == ("rolled_back", "rolled_back")
    assert "nothing could be observed for 1 s" in blind.reason
    assert "NaN" in bad.reason


def test_an_ended_rollout_is_not_repeated_for_the_same_run(quick: RolloutPlan) -> None:
    """A second call for a run gives the same outcome; an unfinished rollout can be abandoned."""
    with _cluster(_MODEL) as (cluster, api):
        parts = _parts(cluster, api, quick, nan_from=1)
        first = roll_out(parts, _CHANGE, run="run-1")
        assert roll_out(parts, _CHANGE, run="run-1") == first
        assert len(cluster.controller.revisions) == 3
        dead = RolloutState(holder="dead", beat=7, change=_CHANGE, phase="starting", since=utc_now())
        assert parts.ledger.swap(parts.ledger.read(), dead.model_dump_json().encode())
        outcome = abandon_rollout(parts)
        assert outcome is not None
        assert (outcome.result, outcome.reason) == ("rolled_back", "abandoned")
        assert abandon_rollout(parts) is None
        same = ModelChange(_OLD, ModelReference(_OLD.uri, _OLD.digest, "1.0.0"))
        assert roll_out(parts, same).reason == "the challenger is the champion"


def test_a_challenger_that_is_never_ready_gets_no_traffic(quick: RolloutPlan) -> None:
    """The outcome has the reason of KServe, and no request was sent to the canary."""
    with _cluster(_MODEL, broken=frozenset({_NEW.uri})) as (cluster, api):
        outcome = roll_out(_parts(cluster, api, quick), _CHANGE)
        predictor_status = read_predictor_status(cluster.objects[_PATH])
    assert outcome.result == "rolled_back", _describe(outcome)
    assert "BlockedByFailedLoad: exit code 3" in outcome.reason
    assert set(_shares(cluster)) == {0}
    assert predictor_status.uri == _OLD.uri


def test_a_service_that_serves_another_model_is_not_changed(quick: RolloutPlan) -> None:
    """A rollout starts only if the champion alone is served."""
    with _cluster({"model": {"storageUri": "s3://models/other"}}) as (cluster, api):
        outcome = roll_out(_parts(cluster, api, quick), _CHANGE)
    assert outcome.result == "refused"
    assert set(cluster.controller.revisions) == {("chest-xray-predictor-00001", "s3://models/other")}


def test_a_change_by_somebody_else_is_noticed(quick: RolloutPlan) -> None:
    """If the object changed after it was read, the patch is computed again; a foreign change is refused."""
    with _cluster(_MODEL) as (cluster, api):
        target = KServeTarget(api, "pleura", "chest-xray")
        cluster.interferences = 3
        target.shift(_CHANGE, 0)
        assert cluster.interferences == 0
        assert read_predictor_status(cluster.objects[_PATH]).uri == _NEW.uri
        with cluster.lock:
            service = cluster.objects[_PATH]
            others = {"predictor": {"model": {"storageUri": "s3://models/others"}}}
            cluster.put(_PATH, {**service, "spec": others})
        with pytest.raises(TargetRefused, match="somebody else"):
            target.shift(_CHANGE, 5)


def test_a_lost_watch_is_started_again() -> None:
    """A wait ends with the change that it waits for, although its watch was cut before."""
    with _cluster(_MODEL) as (cluster, api):
        time.sleep(0.1)
        target = KServeTarget(api, "pleura", "chest-xray")
        cluster.cut_watches = 2
        change = threading.Timer(1.5, lambda: cluster.put(_PATH, cluster.objects[_PATH]))
        change.start()
        began = time.monotonic()
        target.wait(30.0)
        assert 1.0 < time.monotonic() - began < 10.0
        assert cluster.cut_watches == 0
        change.join()


def test_the_ledger_lets_one_process_write(quick: RolloutPlan) -> None:
    """A process that has not read the last version cannot write; an unknown document is refused."""
    with _cluster(_MODEL) as (cluster, api):
        parts = _parts(cluster, api, quick)
        first, second = parts.ledger, ConfigMapLedger(api, "pleura", "chest-xray-rollout")
        assert first.swap(None, b"{}")
        assert not second.swap(None, b"1")
        assert second.swap(b"{}", b"2")
        assert not first.swap(b"{}", b"3")
        assert first.read() == b"2"
        with pytest.raises(RolloutInProgress, match="a document that Pleura did not write"):
            roll_out(parts, _CHANGE)
