"""Writes the status of an InferenceService's predictor, as the controllers of KServe 0.21 and Knative do.

Source:
    KServe ``ksvc_reconciler.go`` (createKnativeService), ``inference_service_status.go`` (PropagateStatus,
    PropagateModelStatus); Knative Serving, ``Route``: a target ``latestRevision`` is the latest ready one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Controller:
    """The revisions of one service. A URI in ``broken`` never becomes ready; all others are ready at once."""

    broken: frozenset[str] = frozenset()
    revisions: list[tuple[str, str]] = field(default_factory=list)
    ready: set[str] = field(default_factory=set)

    def uri_of(self, revision: str) -> str:
        """The bundle of a revision."""
        return dict(self.revisions)[revision]

    def reconcile(self, service: Mapping[str, Any]) -> dict[str, Any]:
        """Compute the status from the spec and the last status."""
        name, spec = service["metadata"]["name"], service["spec"]["predictor"]
        before = service.get("status", {}).get("components", {}).get("predictor", {})
        for revision, revision_uri in self.revisions:
            if revision_uri not in self.broken:
                self.ready.add(revision)
        uri = _read_uri(spec)
        if not self.revisions or self.revisions[-1][1] != uri:
            self.revisions.append((f"{name}-predictor-{len(self.revisions) + 1:05d}", uri))
        created = self.revisions[-1][0]
        ready = next((revision for revision, _ in reversed(self.revisions) if revision in self.ready), "")
        targets = _split_traffic(spec.get("canaryTrafficPercent"), before.get("latestRolledoutRevision", ""))
        traffic = [{**target, "revisionName": target.get("revisionName", ready)} for target in targets]
        component = {
            "latestCreatedRevision": created,
            "latestReadyRevision": ready,
            "traffic": traffic if ready else [],
            **_roll_out(before, created, ready, traffic),
        }
        is_failed = uri in self.broken
        model: dict[str, Any] = {"transitionStatus": "UpToDate" if ready == created else "InProgress"}
        if is_failed:
            model = {
                "transitionStatus": "BlockedByFailedLoad",
                "lastFailureInfo": {"reason": "ModelLoadFailed", "message": "exit code 3"},
            }
        return {"components": {"predictor": component}, "modelStatus": model}


def _read_uri(spec: Mapping[str, Any]) -> str:
    if "model" in spec:
        return str(spec["model"]["storageUri"])
    return next(
        str(variable["value"])
        for variable in spec["containers"][0]["env"]
        if variable["name"] == "PLEURA_BUNDLE_URI"
    )


def _split_traffic(percent: int | None, rolled_out: str) -> list[dict[str, Any]]:
    if percent is None or not rolled_out:
        return [{"latestRevision": True, "percent": 100}]
    latest = {"latestRevision": True, "percent": percent}
    if percent == 100:
        return [latest]
    rest = {"latestRevision": False, "percent": 100 - percent, "revisionName": rolled_out, "tag": "prev"}
    return [latest, rest]


def _roll_out(
    before: Mapping[str, Any], created: str, ready: str, traffic: list[dict[str, Any]]
) -> dict[str, str]:
    latest, previous = before.get("latestRolledoutRevision", ""), before.get("previousRolledoutRevision", "")
    share_of_ready = sum(target["percent"] for target in traffic if target["revisionName"] == ready)
    for target in traffic:
        if target["revisionName"] != ready or not target["latestRevision"]:
            continue
        if latest != ready and target["percent"] == 100:
            latest, previous = ready, latest
        elif latest == ready == created and target["percent"] < 100 and share_of_ready == 100 and previous:
            latest = previous
    return {"latestRolledoutRevision": latest, "previousRolledoutRevision": previous}
