"""The schemas that an API server checks objects by: Kubernetes' own, and those of the custom resources.

The custom resources' are in the Go modules of their projects, which are downloaded. A field that a schema
does not name is an error, as with ``kubectl apply --validate=strict``.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator

from tests.manifests.go_modules import download_module

KUBERNETES: Final = "1.35"
_GATEWAY: Final = ("sigs.k8s.io/gateway-api@v1.4.0", "config/crd/standard/gateway.networking.k8s.io_{}.yaml")
_SOURCES: Final = {
    "InferenceService": ("github.com/kserve/kserve@v0.20.0", "install/v0.20.0/kserve-crds.yaml"),
    "Certificate": (
        "github.com/cert-manager/cert-manager@v1.19.1",
        "deploy/crds/cert-manager.io_certificates.yaml",
    ),
    "Gateway": (_GATEWAY[0], _GATEWAY[1].format("gateways")),
    "HTTPRoute": (_GATEWAY[0], _GATEWAY[1].format("httproutes")),
    "GRPCRoute": (_GATEWAY[0], _GATEWAY[1].format("grpcroutes")),
}


class WrongObject(Exception):
    """An API server would not take the object. The text names the field."""


def require_valid(document: Mapping[str, Any]) -> None:
    """Check an object by its schema.

    Raises:
        WrongObject: A field is unknown, missing, or has a wrong value.
    """
    if document["kind"] in _SOURCES:
        errors = sorted(
            _find_validator(document["kind"], document["apiVersion"]).iter_errors(document), key=str
        )
        if errors:
            raise WrongObject(f"{'.'.join(map(str, errors[0].path))}: {errors[0].message}")
        return
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        raise WrongObject(f"{'.'.join(map(str, error.path))}: {error.message}") from error


@cache
def _find_validator(kind: str, api_version: str) -> Draft202012Validator:
    module, path = _SOURCES[kind]
    for document in yaml.safe_load_all((download_module(module) / path).read_text()):
        if (
            document
            and document["kind"] == "CustomResourceDefinition"
            and document["spec"]["names"]["kind"] == kind
        ):
            for version in document["spec"]["versions"]:
                if f"{document['spec']['group']}/{version['name']}" == api_version:
                    return Draft202012Validator(_close(version["schema"]["openAPIV3Schema"], is_root=True))
    raise LookupError(f"{module} has no {kind} of {api_version}")


def _close(schema: Any, is_root: bool = False) -> Any:
    """Refuse unknown fields that the schema does not allow expressly, and read Kubernetes' own words."""
    if isinstance(schema, list):
        return [_close(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _close(part) for name, part in schema.items() if name not in ("format", "default")}
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
        closed["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not is_open:
        closed["additionalProperties"] = False
        if is_root:
            closed["properties"] = {**closed["properties"], "metadata": {"type": "object"}}
    return closed
