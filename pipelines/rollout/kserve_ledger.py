"""The ledger of a rollout on Kubernetes: a ConfigMap.

Not an annotation of the InferenceService: KServe copies those to the pods, and each word written there would
make a new revision.
"""

from dataclasses import dataclass
from typing import Any, Final

from kubernetes import client  # type: ignore[import-untyped]
from kubernetes.client.exceptions import ApiException  # type: ignore[import-untyped]

_ASK_S: Final = 10.0
_KEY: Final = "rollout.json"
_CONFLICT: Final = 409
_NOT_FOUND: Final = 404


@dataclass(frozen=True)
class ConfigMapLedger:
    """One key of one ConfigMap."""

    api: client.ApiClient
    namespace: str
    name: str

    def read(self) -> bytes | None:
        """The document."""
        found = self._get()
        document = None if found is None else (found.data or {}).get(_KEY)
        return None if document is None else document.encode()

    def swap(self, old: bytes | None, new: bytes) -> bool:
        """Replace the document, by the API server's own check of the version."""
        maps, found = client.CoreV1Api(self.api), self._get()
        document = {_KEY: new.decode()}
        try:
            if found is None:
                if old is not None:
                    return False
                body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name=self.name), data=document)
                maps.create_namespaced_config_map(self.namespace, body, _request_timeout=_ASK_S)
                return True
            if (found.data or {}).get(_KEY) != (None if old is None else old.decode()):
                return False
            found.data = {**(found.data or {}), **document}
            maps.replace_namespaced_config_map(self.name, self.namespace, found, _request_timeout=_ASK_S)
        except ApiException as error:
            if error.status == _CONFLICT:
                return False
            raise
        return True

    def _get(self) -> Any:
        try:
            maps = client.CoreV1Api(self.api)
            return maps.read_namespaced_config_map(self.name, self.namespace, _request_timeout=_ASK_S)
        except ApiException as error:
            if error.status == _NOT_FOUND:
                return None
            raise
