"""A rollout on KServe in Knative mode: it patches the canary's share and the bundle of an InferenceService.

A challenger always begins at 0 percent. It gets more only when its own revision is the latest ready one:
until then KServe gives the canary's share to the revision that was ready before (kserve#2130). A rollback
also goes over 0 percent, in an order that sends no request to the challenger.
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
_REQUEST_TIMEOUT_S: Final = 10.0
_MAX_TRIES: Final = 5
_SHORTEST_WATCH_S: Final = 1.0
_CONFLICT: Final = 409
Patch = dict[str, Any]


class KServeTarget:
    """A rollout target that is one InferenceService; the caller configures ``api`` for the cluster."""

    def __init__(self, api: client.ApiClient, namespace: str, name: str) -> None:
        self._objects = client.CustomObjectsApi(api)
        self._address = {**_KIND, "namespace": namespace}
        self._name = name

    def read(self, change: ModelChange) -> TrafficStatus:
        """Read from the status how KServe splits the traffic."""
        return read_traffic_status(read_predictor_status(self._get()), change)

    def require_champion(self, change: ModelChange) -> None:
        """Require that the champion alone is served."""
        predictor = read_predictor_status(self._get())
        if predictor.uri != change.champion.uri:
            raise TargetRefused(f"{self._name} serves {predictor.uri}, not the champion")
        if not predictor.is_settled:
            raise TargetRefused(f"{self._name} is not settled, or its canaryTrafficPercent is set")

    def shift(self, change: ModelChange, percent: int) -> None:
        """Give the challenger this percent of the traffic."""

        def make_patch(predictor: PredictorStatus, spec: Mapping[str, Any]) -> Patch | None:
            if predictor.uri == change.challenger.uri:
                return None if predictor.percent == percent else {"canaryTrafficPercent": percent}
            if predictor.uri != change.champion.uri or percent:
                raise TargetRefused(f"somebody else has changed what {self._name} serves")
            # Both in one patch: KServe would give a new bundle all of the traffic if it has no percent.
            return {"canaryTrafficPercent": 0, **make_bundle_patch(spec, change.challenger)}

        self._patch(make_patch)

    def promote(self, change: ModelChange) -> None:
        """Make the challenger, which has all of the traffic, the stable revision."""

        def make_patch(predictor: PredictorStatus, spec: Mapping[str, Any]) -> Patch | None:
            is_canary = predictor.uri == change.challenger.uri and predictor.percent is not None
            return {"canaryTrafficPercent": None} if is_canary else None

        self._patch(make_patch)

    def roll_back(self, change: ModelChange) -> None:
        """Do the next step of a rollback: no traffic to the canary, the champion's bundle, a clean spec."""

        def make_patch(predictor: PredictorStatus, spec: Mapping[str, Any]) -> Patch | None:
            canary = change.canary_revision
            if predictor.uri != change.champion.uri:
                if predictor.percent != 0:
                    return {"canaryTrafficPercent": 0}
                is_gone = not predictor.traffic.get(canary, 0) and predictor.rolled_out != canary
                return make_bundle_patch(spec, change.champion) if not canary or is_gone else None
            is_new = predictor.created == predictor.ready not in (canary, predictor.rolled_out)
            return {"canaryTrafficPercent": None} if canary and predictor.percent == 0 and is_new else None

        self._patch(make_patch)

    def wait(self, seconds: float) -> None:
        """Return when the object has changed, or after so many seconds; a lost watch is started again."""
        end_s = time.monotonic() + seconds
        if seconds < _SHORTEST_WATCH_S:
            time.sleep(seconds)
        while (left_s := end_s - time.monotonic()) > 0:
            try:
                resource_version = self._get()["metadata"]["resourceVersion"]
                if self._has_changed(resource_version, left_s):
                    return
            except (TargetUnavailable, ApiException, urllib3.exceptions.HTTPError):
                time.sleep(min(0.5, max(0.0, end_s - time.monotonic())))

    def _has_changed(self, resource_version: str, seconds: float) -> bool:
        stream = watch.Watch().stream(
            self._objects.list_namespaced_custom_object,
            **self._address,
            field_selector=f"metadata.name={self._name}",
            resource_version=resource_version,
            timeout_seconds=max(int(_SHORTEST_WATCH_S), int(seconds)),
            _request_timeout=(_REQUEST_TIMEOUT_S, seconds + _REQUEST_TIMEOUT_S),
        )
        return any(event["type"] in ("MODIFIED", "DELETED") for event in stream)

    def _get(self) -> dict[str, Any]:
        try:
            service: dict[str, Any] = self._objects.get_namespaced_custom_object(
                **self._address, name=self._name, _request_timeout=_REQUEST_TIMEOUT_S
            )
        except ApiException as error:
            raise TargetUnavailable(f"{self._name} cannot be read (status {error.status})") from error
        except urllib3.exceptions.HTTPError as error:
            raise TargetUnavailable(f"the API server does not answer ({type(error).__name__})") from error
        return service

    def _patch(self, make_patch: Callable[[PredictorStatus, Mapping[str, Any]], Patch | None]) -> None:
        """Patch the version of the object that was read; read it again if somebody changed it meanwhile."""
        for _ in range(_MAX_TRIES):
            service = self._get()
            predictor = read_predictor_status(service)
            patch = make_patch(predictor, service["spec"]["predictor"])
            if patch is None:
                return
            # With this version the API server refuses the patch
            # (409) if the object has changed since it was read.
            body = {
                "metadata": {"resourceVersion": predictor.resource_version},
                "spec": {"predictor": patch},
            }
            try:
                self._objects.patch_namespaced_custom_object(
                    **self._address, name=self._name, body=body, _request_timeout=_REQUEST_TIMEOUT_S
                )
            except ApiException as error:
                if error.status != _CONFLICT:
                    raise TargetUnavailable(
                        f"the API server refuses the change (status {error.status})"
                    ) from error
            except urllib3.exceptions.HTTPError as error:
                raise TargetUnavailable(f"the API server does not answer ({type(error).__name__})") from error
            else:
                return
        raise TargetUnavailable(f"{self._name} is changed by others again and again")
