"""Read the status of an InferenceService's predictor, and derive the traffic status from it.

Source:
    KServe 0.21, ``pkg/apis/serving/v1beta1/inference_service_status.go`` (PropagateStatus) and
    ``reconcilers/knative/ksvc_reconciler.go`` (createKnativeService): with ``canaryTrafficPercent`` the
    latest ready revision gets that share, and ``latestRolledoutRevision`` gets the rest under the tag
    ``prev``. ``latestRolledoutRevision`` changes when the latest ready revision has 100 percent.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipelines.rollout.target import ModelChange, ModelReference, TrafficStatus

_FAILED: Final = ("BlockedByFailedLoad", "InvalidSpec")
_BUNDLE_URI: Final = "PLEURA_BUNDLE_URI"
_BUNDLE_DIGEST: Final = "PLEURA_BUNDLE_DIGEST"


@dataclass(frozen=True)
class PredictorStatus:
    """The predictor in spec and status; ``traffic`` is the percent of each revision."""

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
        """Whether one revision is served, and no other revision is being created."""
        return self.percent is None and self.created == self.ready == self.rolled_out != ""


def read_predictor_status(service: Mapping[str, Any]) -> PredictorStatus:
    """Read an InferenceService in the form that the API server gives."""
    spec, status = service["spec"]["predictor"], service.get("status", {})
    component = status.get("components", {}).get("predictor", {})
    traffic: Counter[str] = Counter()
    for share in component.get("traffic", ()):
        traffic[share.get("revisionName", "")] += share.get("percent") or 0
    return PredictorStatus(
        service["metadata"]["resourceVersion"],
        _read_uri(spec),
        spec.get("canaryTrafficPercent"),
        component.get("latestCreatedRevision", ""),
        component.get("latestReadyRevision", ""),
        component.get("latestRolledoutRevision", ""),
        traffic,
        _read_failure(status.get("modelStatus", {})),
    )


def make_bundle_patch(spec: Mapping[str, Any], model: ModelReference) -> dict[str, Any]:
    """Make the part of a merge patch that gives a predictor another bundle; it replaces a list as a whole.

    The predictor downloads the bundle of its variables itself. With ``model``, KServe's storage initializer
    downloads it, and nothing verifies the digest.
    """
    if "model" in spec:
        return {"model": {"storageUri": model.uri}}
    first, *others = spec["containers"]
    variables = {_BUNDLE_URI: model.uri, _BUNDLE_DIGEST: model.digest}
    environment = [variable for variable in first.get("env", ()) if variable["name"] not in variables]
    environment += [{"name": name, "value": value} for name, value in variables.items()]
    return {"containers": [{**first, "env": environment}, *others]}


def read_traffic_status(predictor: PredictorStatus, change: ModelChange) -> TrafficStatus:
    """Derive the traffic status; a status that is older than the spec never counts as progress."""
    canary = change.canary_revision or _find_new_revision(predictor, change)
    share = predictor.traffic.get(canary, 0) if canary else 0
    is_requested = predictor.uri == change.challenger.uri
    is_ready = canary != "" and predictor.ready == canary
    is_alone = canary != "" and predictor.is_settled and predictor.rolled_out == canary
    return TrafficStatus(
        percent=share,
        is_canary_ready=is_ready,
        canary_revision=canary,
        # KServe's status may still tell of the bundle before.
        failure=predictor.failure if is_requested and not is_ready else "",
        is_promoted=is_requested and is_alone and share == 100,
        is_rolled_back=predictor.uri == change.champion.uri and share == 0 and _is_clean(predictor, canary),
    )


def _find_new_revision(predictor: PredictorStatus, change: ModelChange) -> str:
    """Find the challenger's revision: the one that is newer than the champion's rolled-out revision."""
    is_new = predictor.uri == change.challenger.uri and predictor.created != predictor.rolled_out
    return predictor.created if is_new else ""


def _is_clean(predictor: PredictorStatus, canary: str) -> bool:
    """Say whether no canary is left; a canary that KServe creates late must find a share of 0."""
    if not canary:
        return predictor.percent in (None, 0)
    return predictor.is_settled and predictor.rolled_out != canary


def _read_uri(spec: Mapping[str, Any]) -> str:
    if "model" in spec:
        return str(spec["model"].get("storageUri", ""))
    environment = spec["containers"][0].get("env", ())
    return str(next((each.get("value", "") for each in environment if each["name"] == _BUNDLE_URI), ""))


def _read_failure(model_status: Mapping[str, Any]) -> str:
    transition = model_status.get("transitionStatus", "")
    if transition not in _FAILED:
        return ""
    return f"{transition}: {model_status.get('lastFailureInfo', {}).get('message', 'no message')}"
