"""The arrows of the network policies, and whatever else selects pods by labels."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from tests.manifests.rendered import RENDERINGS, Pod, objects, pods, selects

# pods that others make: Istio for the Gateway
_FOREIGN_PODS: Final = (Pod("gateway", {"gateway.networking.k8s.io/gateway-name": "pleura"}, {}),)
_PROXY, _TRANSFORMER, _PREDICTOR = "pleura-auth-proxy", "chest-xray-transformer", "chest-xray-predictor"
_MIGRATION: Final = "pleura-journal-migration-0-1-0"
Arrow = tuple[str, str, int]


def all_pods(what: str) -> list[Pod]:
    """Return the pods of a rendering, those of its gateway too."""
    has_gateway = any(objects(what, "Gateway"))
    return [*pods(what), *(_FOREIGN_PODS if has_gateway else ())]


def _halves(what: str, direction: str) -> Iterator[Arrow]:
    """Yield each arrow between pods of the namespace, as the policies of one direction allow it."""
    for policy in objects(what, "NetworkPolicy"):
        own = [pod for pod in all_pods(what) if selects(policy["spec"]["podSelector"], pod.labels)]
        for rule in policy["spec"].get(direction, ()):
            for peer in rule.get("from" if direction == "ingress" else "to", ()):
                if peer.keys() != {"podSelector"}:
                    continue
                others = [pod for pod in all_pods(what) if selects(peer["podSelector"], pod.labels)]
                for mine in own:
                    for other in others:
                        for port in rule["ports"]:
                            ends = (other, mine) if direction == "ingress" else (mine, other)
                            yield ends[0].name, ends[1].name, port["port"]


@pytest.mark.parametrize("what", RENDERINGS)
def test_each_arrow_has_both_ends(what: str) -> None:
    """What one pod may send, the other may receive; and these are the arrows that the services need."""
    outgoing, incoming = set(_halves(what, "egress")), set(_halves(what, "ingress"))
    assert outgoing == incoming
    expected: set[Arrow] = {(_PROXY, _TRANSFORMER, 8081)}
    if what.endswith("standard-mode"):
        expected |= {(_PROXY, _TRANSFORMER, 8080), (_TRANSFORMER, _PREDICTOR, 8081)}
    if any(objects(what, "Gateway")):
        expected |= {("gateway", _PROXY, 8000), ("gateway", _PROXY, 8001)}
    assert outgoing == expected


@pytest.mark.parametrize("what", RENDERINGS)
def test_nothing_is_allowed_without_an_arrow(what: str) -> None:
    """One policy denies both directions to all pods, and no arrow leads to or from everywhere."""
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in objects(what, "NetworkPolicy")}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, spec in policies.items():
        assert spec["podSelector"] or name in ("default-deny", "dns"), name
        for direction in ("ingress", "egress"):
            assert direction not in spec or direction.title() in spec["policyTypes"], name
            for rule in spec.get(direction, ()):
                assert rule["ports"], name
                # callers from outside reach the gateway, and nothing else
                assert rule.get("from") or rule.get("to") or name == "gateway", name


@pytest.mark.parametrize("what", RENDERINGS)
def test_each_selector_selects_a_pod(what: str) -> None:
    """No Service, budget, policy or spread has a selector that selects nothing."""
    labels = [pod.labels for pod in all_pods(what)]

    def require(owner: str, selector: Mapping[str, Any]) -> None:
        assert any(selects(selector, each) for each in labels), (owner, selector)

    for service in objects(what, "Service"):
        require(service["metadata"]["name"], {"matchLabels": service["spec"]["selector"]})
    for each in objects(what, "PodDisruptionBudget"):
        require(each["metadata"]["name"], each["spec"]["selector"])
        assert "minAvailable" not in each["spec"]
    for policy in objects(what, "NetworkPolicy"):
        require(policy["metadata"]["name"], policy["spec"]["podSelector"])
    for pod in pods(what):
        for constraint in pod.spec.get("topologySpreadConstraints", ()):
            assert selects(constraint["labelSelector"], pod.labels), pod.name


def test_a_service_leads_to_a_port_that_is_open() -> None:
    """Target ports are those that the container names, or those that its service listens on."""
    listening = {_PROXY: {8000, 8001, 9090}, _TRANSFORMER: {8080, 8081}, _PREDICTOR: {8080, 8081}}
    for what in RENDERINGS:
        for service in objects(what, "Service"):
            (pod,) = (
                pod for pod in pods(what) if selects({"matchLabels": service["spec"]["selector"]}, pod.labels)
            )
            named = {port["name"]: port["containerPort"] for port in pod.container["ports"]}
            for port in service["spec"]["ports"]:
                target = port["targetPort"]
                assert named.get(target, target) in listening[pod.name]


@pytest.mark.parametrize("what", RENDERINGS)
def test_the_addresses_are_those_of_services(what: str) -> None:
    """Each address in the settings is a Service of the manifests, or one that KServe makes in both modes.

    Without Knative, gRPC's address leads to all pods. KServe's Service would pin a connection to one.
    """
    (config,) = objects(what, "ConfigMap")
    made = {f"{_TRANSFORMER}.pleura": {80}, f"{_PREDICTOR}.pleura": {80}}
    if what.endswith("standard-mode"):
        del made[f"{_PREDICTOR}.pleura"]
    for service in objects(what, "Service"):
        name = f"{service['metadata']['name']}.{service['metadata']['namespace']}"
        made[name] = {port["port"] for port in service["spec"]["ports"]}
    for name in ("PLEURA_TRANSFORMER_URL", "PLEURA_TRANSFORMER_GRPC", "PLEURA_PREDICTOR_ADDRESS"):
        host, _, port = config["data"][name].removeprefix("http://").partition(":")
        assert int(port or 80) in made[host.removesuffix(".svc.cluster.local")], name


def test_production_reaches_what_pleura_stands_on() -> None:
    """Each service has an arrow to each part that it needs: issuer, object store, Redis, PostgreSQL."""
    reached: dict[str, set[int]] = {}
    for policy in objects("overlays/production", "NetworkPolicy"):
        for pod in pods("overlays/production"):
            if selects(policy["spec"]["podSelector"], pod.labels):
                for rule in policy["spec"].get("egress", ()):
                    if any("ipBlock" in peer for peer in rule["to"]):
                        reached.setdefault(pod.name, set()).update(port["port"] for port in rule["ports"])
    assert reached == {_PROXY: {443}, _TRANSFORMER: {443, 5432, 6379}, _PREDICTOR: {443}, _MIGRATION: {5432}}
