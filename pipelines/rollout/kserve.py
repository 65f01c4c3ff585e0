"""A rollout on KServe in Knative mode: ``canaryTrafficPercent`` and the bundle's URI of an InferenceService.

A challenger always begins at 0 percent and gets more only when its own revision is the latest ready one:
until then KServe gives the canary's share to whatever revision was ready before (kserve#2130). The way back
goes over 0 percent too, in the order that lets no request through to the challenger.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import urllib3
from kubernetes import client, watch  # type: ignore[import-untyped]
from kubernetes.client.exceptions import ApiException  # type: ignore[import-untyped]

from pipelines.rollout.inference_service import (
    PredictorStatus,
    make_bundle_patch,
    read_predictor_status,
    read_traffic_status,
)
from pipelines.rollout.target import ModelChange, TargetRefused, TargetUnavailable, TrafficStatus

_KIND: Final = {"group": "serving.kserve.io", "version": "v1beta1", "plural": "inferenceservices"}
_ASK_S: Final = 10.0
_TRIES: Final = 5
_SHORTEST_WATCH_S: Final = 1.0
_CONFLICT: Final = 409
Patch = dict[str, Any]


class KServeTarget:
    """One InferenceService; ``api`` is a client of the cluster, configured by the caller."""

    def __init__(self, api: client.ApiClient, namespace: str, name: str) -> None:
        self._objects = client.CustomObjectsApi(api)
        self._where = {**_KIND, "namespace": namespace}
        self._name = name

    def read(self, change: ModelChange) -> TrafficStatus:
        """How KServe splits the traffic, by its status."""
        return read_traffic_status(read_predictor_status(self._get()), change)

    def require_champion(self, change: ModelChange) -> None:
        """Refuse to begin where anything but the champion alone is served."""
        predictor = read_predictor_status(self._get())
        if predictor.uri != change.champion.uri:
            raise TargetRefused(f"{self._name} serves {predictor.uri}, not the champion")
        if not predictor.is_settled:
            raise TargetRefused(f"{self._name} is not settled, or its canaryTrafficPercent is set")

    def shift(self, change: ModelChange, percent: int) -> None:
        """Have the challenger served with this percent of the traffic."""

        def patch(predictor: PredictorStatus, spec: Mapping[str, Any]) -> Patch | None:
            if predictor.uri == change.challenger.uri:
                return None if predictor.percent == percent else {"canaryTrafficPercent": percent}
            if predictor.uri != change.champion.uri or percent:
                raise TargetRefused(f"somebody else has changed what {self._name} serves")
            return {"canaryTrafficPercent": 0, **make_bundle_patch(spec, change.challenger.uri)}

        self._patch(patch)

    def promote(self, change: ModelChange) -> None:
        """Make the challenger, which has all of the traffic, the one that later canaries are set against."""

        def patch(predictor: PredictorStatus, spec: Mapping[str, Any]) -> Patch | None:
            is_canary = predictor.uri == change.challenger.uri and predictor.percent is not None
            return {"canaryTrafficPercent": None} if is_canary else None

        self._patch(patch)

    def roll_back(self, change: ModelChange) -> None:
        """Take the next step back: no traffic to the canary, the champion's bundle, a clean spec."""

        def patch(predictor: PredictorStatus, spec: Mapping[str, Any]) -> Patch | None:
            canary = change.canary_revision
            if predictor.uri != change.champion.uri:
                if predictor.percent != 0:
                    return {"canaryTrafficPercent": 0}
                has_left = not predictor.traffic.get(canary, 0) and predictor.rolled_out != canary
                return make_bundle_patch(spec, change.champion.uri) if not canary or has_left else None
            is_new = predictor.created == predictor.ready not in (canary, predictor.rolled_out)
            return {"canaryTrafficPercent": None} if canary and predictor.percent == 0 and is_new else None

        self._patch(patch)

    def wait(self, seconds: float) -> None:
        """Return when the object has changed, or after so long; a watch that is lost is begun anew."""
        end = time.monotonic() + seconds
        if seconds < _SHORTEST_WATCH_S:
            time.sleep(seconds)
        while (left_s := end - time.monotonic()) > 0:
            try:
                seen = self._get()["metadata"]["resourceVersion"]
                if self._changes(seen, left_s):
                    return
            except (TargetUnavailable, ApiException, urllib3.exceptions.HTTPError):
                time.sleep(min(0.5, max(0.0, end - time.monotonic())))

    def _changes(self, seen: str, seconds: float) -> bool:
        stream = watch.Watch().stream(
            self._objects.list_namespaced_custom_object,
            **self._where,
            field_selector=f"metadata.name={self._name}",
            resource_version=seen,
            timeout_seconds=max(int(_SHORTEST_WATCH_S), int(seconds)),
            _request_timeout=(_ASK_S, seconds + _ASK_S),
        )
        return any(event["type"] in ("MODIFIED", "DELETED") for event in stream)

    def _get(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._objects.get_namespaced_custom_object(
                **self._where, name=self._name, _request_timeout=_ASK_S
            )
        except ApiException as error:
            raise TargetUnavailable(f"{self._name} cannot be read (status {error.status})") from error
        except urllib3.exceptions.HTTPError as error:
            raise TargetUnavailable(f"the API server does not answer ({type(error).__name__})") from error
        return found

    def _patch(self, patch_of: Callable[[PredictorStatus, Mapping[str, Any]], Patch | None]) -> None:
        """Change the very object that was looked at; look again where it was changed meanwhile."""
        for _ in range(_TRIES):
            service = self._get()
            predictor = read_predictor_status(service)
            patch = patch_of(predictor, service["spec"]["predictor"])
            if patch is None:
                return
            body = {
                "metadata": {"resourceVersion": predictor.resource_version},
                "spec": {"predictor": patch},
            }
            try:
                self._objects.patch_namespaced_custom_object(
                    **self._where, name=self._name, body=body, _request_timeout=_ASK_S
                )
            except ApiException as error:
                if error.status != _CONFLICT:
                    raise TargetUnavailable(f"a change was refused (status {error.status})") from error
            except urllib3.exceptions.HTTPError as error:
                raise TargetUnavailable(f"the API server does not answer ({type(error).__name__})") from error
            else:
                return
        raise TargetUnavailable(f"{self._name} is changed by others all the time")
