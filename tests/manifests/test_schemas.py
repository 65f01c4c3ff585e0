"""Each manifest is what an API server of Kubernetes takes, field by field."""

import copy
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import pytest

from tests.manifests.rendered import RENDERINGS, objects, pods, render
from tests.manifests.schemas import WrongObject, require_valid


@pytest.mark.parametrize("what", RENDERINGS)
def test_each_object_is_valid(what: str) -> None:
    """No field is misspelt, missing or of a wrong type, and no object is there twice."""
    for document in render(what):
        try:
            require_valid(document)
        except WrongObject as error:
            pytest.fail(f"{document['kind']} {document['metadata']['name']}: {error}")
    names = [
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in render(what)
    ]
    assert len(names) == len(set(names))
    assert {namespace for kind, namespace, _ in names if kind != "Namespace"} == {"pleura"}


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "template", "spec", "containers", 0, "readynessProbe"), {}),
        ("Deployment", ("spec", "revisionHistoryLimit"), "three"),
        ("NetworkPolicy", ("spec", "policyType"), ["Ingress"]),
        ("InferenceService", ("spec", "predictor", "canaryTraficPercent"), 10),
        ("InferenceService", ("spec", "transformer", "containers", 0, "resource"), {}),
        ("HTTPRoute", ("spec", "hostname"), ["pleura.example"]),
        ("Certificate", ("spec", "dnsName"), ["pleura.example"]),
    ],
)
def test_a_misspelt_field_is_found(kind: str, path: tuple[str | int, ...], value: object) -> None:
    """The check of this module sees an unknown field and a wrong type, at the top and deep inside."""
    document: Any = copy.deepcopy(next(iter(objects("overlays/production", kind))))
    target = document
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    with pytest.raises(WrongObject, match=str(path[-1])):
        require_valid(document)


def _restricted(context: Mapping[str, Any]) -> bool:
    return (
        context["runAsNonRoot"]
        and context["runAsUser"] == 65532
        and not context["allowPrivilegeEscalation"]
        and context["readOnlyRootFilesystem"]
        and context["capabilities"] == {"drop": ["ALL"]}
        and context["seccompProfile"] == {"type": "RuntimeDefault"}
    )


@pytest.mark.parametrize("what", RENDERINGS)
def test_each_pod_is_locked_down_and_bounded(what: str) -> None:
    """Each pod passes restricted Pod Security, has no token, and a memory limit that equals its request."""
    accounts = {each["metadata"]["name"] for each in objects(what, "ServiceAccount")}
    for pod in pods(what):
        assert _restricted(pod.container["securityContext"]), pod.name
        assert pod.spec["automountServiceAccountToken"] is False, pod.name
        assert pod.spec["enableServiceLinks"] is False, pod.name
        assert pod.spec["serviceAccountName"] in accounts, pod.name
        resources = pod.container["resources"]
        assert resources["requests"].keys() == {"cpu", "memory"}, pod.name
        is_job = "migration" in pod.name
        assert is_job or resources["limits"]["memory"] == resources["requests"]["memory"], pod.name
        for volume in pod.spec["volumes"]:
            assert "emptyDir" not in volume or "sizeLimit" in volume["emptyDir"], (pod.name, volume)
        if not is_job:
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= pod.container.keys(), pod.name
    (namespace,) = objects(what, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_model_server_is_not_published() -> None:
    """The mode is named, and neither Knative nor KServe gives transformer and predictor a public address."""
    for what in RENDERINGS:
        (service,) = objects(what, "InferenceService")
        labels, annotations = service["metadata"]["labels"], service["metadata"]["annotations"]
        assert labels["networking.knative.dev/visibility"] == "cluster-local"
        assert labels["networking.kserve.io/visibility"] == "cluster-local"
        expected = "Standard" if what.endswith("standard-mode") else "Knative"
        assert annotations["serving.kserve.io/deploymentMode"] == expected


def test_what_knative_refuses_is_not_used() -> None:
    """In Knative mode no pod sets what Knative refuses, and probes of a gRPC port are gRPC's.

    Source:
        knative.dev/serving v0.48.1: pkg/apis/serving/fieldmask.go, and pkg/reconciler/revision/resources,
        which moves HTTP probes to the container's only port.
    """
    refused = {
        "terminationGracePeriodSeconds",
        "topologySpreadConstraints",
        "initContainers",
        "securityContext",
    }
    for what in RENDERINGS:
        (service,) = objects(what, "InferenceService")
        if service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] != "Knative":
            continue
        for component in ("transformer", "predictor"):
            spec = service["spec"][component]
            assert not refused & spec.keys()
            (container,) = spec["containers"]
            assert "lifecycle" not in container
            (port,) = container["ports"]
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                handler = container[probe].get("httpGet") or container[probe]["grpc"]
                assert handler["port"] == port["containerPort"]
                assert ("grpc" in container[probe]) == (port["name"] == "h2c")


def test_the_migration_does_not_stand_in_the_way_of_an_upgrade() -> None:
    """A Job cannot be changed: it has the version in its name, it ends, and it is deleted after its end."""
    (job,) = objects("base", "Job")
    assert job["spec"]["activeDeadlineSeconds"] + job["spec"]["ttlSecondsAfterFinished"] <= 900
    assert job["metadata"]["name"] == f"pleura-journal-migration-{version('pleura').replace('.', '-')}"
