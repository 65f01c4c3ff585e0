"""The ledger of a rollout on Kubernetes: a ConfigMap.

An annotation of the InferenceService cannot hold the ledger. KServe copies annotations to the pods, so that
each write would make a new revision.
"""

from dataclasses import dataclass
from typing import Any, Final

from kubernetes import client  # type: ignore[import-untyped]
from kubernetes.client.exceptions import ApiException  # type: ignore[import-untyped]

_REQUEST_TIMEOUT_S: Final = 10.0
_KEY: Final = "rollout.json"
_CONFLICT: Final = 409
_NOT_FOUND: Final = 404


@dataclass(frozen=True)
class ConfigMapLedger:
    """A ledger in one key of one ConfigMap."""

    api: client.ApiClient
    namespace: str
    name: str

    def read(self) -> bytes | None:
        """Read the document; None if there is none."""
        config_map = self._get()
        document = None if config_map is None else (config_map.data or {}).get(_KEY)
        return None if document is None else document.encode()

    def swap(self, old: bytes | None, new: bytes) -> bool:
        """Replace the document; the API server compares the versions."""
        maps, config_map = client.CoreV1Api(self.api), self._get()
        document = {_KEY: new.decode()}
        try:
            if config_map is None:
                if old is not None:
                    return False
                body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name=self.name), data=document)
                maps.create_namespaced_config_map(self.namespace, body, _request_timeout=_REQUEST_TIMEOUT_S)
                return True
            if (config_map.data or {}).get(_KEY) != (None if old is None else old.decode()):
                return False
            config_map.data = {**(config_map.data or {}), **document}
            # The map carries the resourceVersion that was read: the
            # API server refuses it if another process was faster.
            maps.replace_namespaced_config_map(
                self.name, self.namespace, config_map, _request_timeout=_REQUEST_TIMEOUT_S
            )
        except ApiException as error:
            if error.status == _CONFLICT:
                return False
            raise
        return True

    def _get(self) -> Any:
        try:
            maps = client.CoreV1Api(self.api)
            return maps.read_namespaced_config_map(
                self.name, self.namespace, _request_timeout=_REQUEST_TIMEOUT_S
            )
        except ApiException as error:
            if error.status == _NOT_FOUND:
                return None
            raise
