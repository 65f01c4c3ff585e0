"""What an InferenceService says of its predictor: plain values out of the object, and what follows from them.

Source:
    KServe 0.21, ``pkg/apis/serving/v1beta1/inference_service_status.go`` (PropagateStatus) and
    ``reconcilers/knative/ksvc_reconciler.go`` (createKnativeService): with ``canaryTrafficPercent`` the
    latest ready revision gets that much and ``latestRolledoutRevision`` the rest, under the tag ``prev``;
    what was rolled out last changes when the latest ready revision has 100 percent.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipelines.rollout.target import ModelChange, TrafficStatus

_FAILED: Final = ("BlockedByFailedLoad", "InvalidSpec")
_STORAGE_URI: Final = "STORAGE_URI"


@dataclass(frozen=True)
class PredictorStatus:
    """The predictor's part of spec and status; ``traffic`` is the percent of each revision."""

    resource_version: str
    uri: str
    percent: int | None
    created: str
    ready: str
    rolled_out: str
    traffic: Mapping[str, int]
    failure: str

    @property
    def is_settled(self) -> bool:
        """Whether one revision is served, and nothing else is on its way."""
        return self.percent is None and self.created == self.ready == self.rolled_out != ""


def read_predictor_status(service: Mapping[str, Any]) -> PredictorStatus:
    """Read an InferenceService as the API server gives it."""
    spec, status = service["spec"]["predictor"], service.get("status", {})
    component = status.get("components", {}).get("predictor", {})
    traffic: Counter[str] = Counter()
    for share in component.get("traffic", ()):
        traffic[share.get("revisionName", "")] += share.get("percent") or 0
    return PredictorStatus(
        service["metadata"]["resourceVersion"],
        _uri_of(spec),
        spec.get("canaryTrafficPercent"),
        component.get("latestCreatedRevision", ""),
        component.get("latestReadyRevision", ""),
        component.get("latestRolledoutRevision", ""),
        traffic,
        _failure_of(status.get("modelStatus", {})),
    )


def make_bundle_patch(spec: Mapping[str, Any], uri: str) -> dict[str, Any]:
    """The part of a merge patch that gives a predictor another bundle; a list is replaced as a whole."""
    if "model" in spec:
        return {"model": {"storageUri": uri}}
    first, *others = spec["containers"]
    environment = [each for each in first.get("env", ()) if each["name"] != _STORAGE_URI]
    environment.append({"name": _STORAGE_URI, "value": uri})
    return {"containers": [{**first, "env": environment}, *others]}


def read_traffic_status(predictor: PredictorStatus, change: ModelChange) -> TrafficStatus:
    """Say how far a change is; a status that is older than the spec never counts as progress."""
    canary = change.canary_revision or _new_revision(predictor, change)
    share = predictor.traffic.get(canary, 0) if canary else 0
    is_meant = predictor.uri == change.challenger.uri
    is_ready = canary != "" and predictor.ready == canary
    alone = canary != "" and predictor.is_settled and predictor.rolled_out == canary
    return TrafficStatus(
        percent=share,
        is_canary_ready=is_ready,
        canary_revision=canary,
        failure=predictor.failure if is_meant and not is_ready else "",
        is_promoted=is_meant and alone and share == 100,
        is_returned=predictor.uri == change.champion.uri and share == 0 and _is_clean(predictor, canary),
    )


def _new_revision(predictor: PredictorStatus, change: ModelChange) -> str:
    """The challenger's revision: before the change the champion's was the only one, and rolled out."""
    is_new = predictor.uri == change.challenger.uri and predictor.created != predictor.rolled_out
    return predictor.created if is_new else ""


def _is_clean(predictor: PredictorStatus, canary: str) -> bool:
    if not canary:  # one that never came to be may come yet: it must find a share of 0
        return predictor.percent in (None, 0)
    return predictor.is_settled and predictor.rolled_out != canary


def _uri_of(spec: Mapping[str, Any]) -> str:
    if "model" in spec:
        return str(spec["model"].get("storageUri", ""))
    environment = spec["containers"][0].get("env", ())
    return str(next((each["value"] for each in environment if each["name"] == _STORAGE_URI), ""))


def _failure_of(model_status: Mapping[str, Any]) -> str:
    transition = model_status.get("transitionStatus", "")
    if transition not in _FAILED:
        return ""
    return f"{transition}: {model_status.get('lastFailureInfo', {}).get('message', 'no message')}"
