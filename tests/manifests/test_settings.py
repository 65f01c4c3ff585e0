"""What the manifests say to the services: settings that there are, and secrets that are documented."""

import re
from collections.abc import Mapping
from typing import Final

import certifi
import pytest

from auth_proxy.settings import AuthProxySettings
from pleura.known_variables import KNOWN_VARIABLES
from pleura.settings import PleuraSettings
from predictor.settings import PredictorSettings
from tests.manifests.rendered import MANIFESTS, RENDERINGS, objects, pods
from transformer.migrate import MigrationSettings
from transformer.settings import TransformerSettings

_SETTINGS: Final[Mapping[str, type[PleuraSettings]]] = {
    "pleura-auth-proxy": AuthProxySettings,
    "pleura-journal-migration-0-1-0": MigrationSettings,
    "chest-xray-transformer": TransformerSettings,
    "chest-xray-predictor": PredictorSettings,
}
_FOREIGN: Final = {"SSL_CERT_FILE"}
_ROW: Final = re.compile(r"^\| `(pleura-[a-z-]+)` \| ((?:`[a-z0-9_.]+`(?:, )?)+) \|", re.MULTILINE)


def documented_secrets() -> Mapping[str, set[str]]:
    """Return the keys of each secret in the table of ``manifests/README.md``."""
    rows = _ROW.findall((MANIFESTS / "README.md").read_text())
    return {name: set(re.findall(r"`([a-z0-9_.]+)`", keys)) for name, keys in rows}


@pytest.mark.parametrize("what", RENDERINGS)
def test_a_service_reads_what_it_is_given(
    what: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each service starts with exactly the variables of its pod: none is unknown, missing or wrong."""
    secrets = tmp_path_factory.mktemp("secrets")
    (config,) = objects(what, "ConfigMap")
    for pod in pods(what):
        shared = config["data"] if "envFrom" in pod.container else {}
        assert pod.variables.keys() <= KNOWN_VARIABLES | _FOREIGN, pod.name
        assert shared.keys() <= KNOWN_VARIABLES, pod.name
        # a variable of another service would be ignored in silence
        assert pod.variables.keys() - _FOREIGN <= _SETTINGS[pod.name].variables(), pod.name
        with monkeypatch.context() as environment:
            for name, value in {**shared, **pod.variables}.items():
                if name.endswith("_FILE") and name.startswith("PLEURA_"):
                    path = secrets / value.rpartition("/")[2]
                    path.write_text("redis://:key@cache:6379/0" if "redis" in value else "k" * 40)
                    value = str(path)
                elif name == "SSL_CERT_FILE":
                    value = certifi.where()
                environment.setenv(name, value)
            _SETTINGS[pod.name].read()


@pytest.mark.parametrize("what", RENDERINGS)
def test_each_secret_is_documented_and_mounted_where_it_is_read(what: str) -> None:
    """A pod reads each file from a secret that it mounts, with a documented key. None is a variable."""
    secrets = documented_secrets()
    for pod in pods(what):
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in pod.container["volumeMounts"]}
        assert {mount["name"] for mount in pod.container["volumeMounts"]} == volumes.keys(), pod.name
        for name, path in pod.variables.items():
            if name.endswith("_FILE") and name.startswith("PLEURA_"):
                folder, _, key = path.rpartition("/")
                assert key in secrets[mounts[folder]["secret"]["secretName"]], (pod.name, name)
        for volume in volumes.values():
            for item in volume.get("secret", {}).get("items", ()):
                assert item["key"] in secrets[volume["secret"]["secretName"]]
        for source in pod.container.get("envFrom", ()):
            assert "secretRef" not in source
        assert all("valueFrom" not in variable for variable in pod.container["env"])


@pytest.mark.parametrize("what", RENDERINGS)
def test_a_pod_may_write_where_its_service_writes(what: str) -> None:
    """The folders of the spool and of the bundle are volumes that may be written to, and large enough."""
    for pod in pods(what):
        mounts = {mount["mountPath"]: mount for mount in pod.container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        assert "emptyDir" in volumes[mounts["/tmp"]["name"]]
        if pod.name.endswith("transformer"):
            spool = volumes[mounts[str(TransformerSettings.model_fields["spool_folder"].default)]["name"]]
            size_mb = int(spool["emptyDir"]["sizeLimit"].removesuffix("Mi"))
            assert size_mb > int(pod.variables["PLEURA_SPOOL_MAX_MB"])
        if pod.name.endswith("predictor"):
            assert (
                "emptyDir" in volumes[mounts[str(PredictorSettings.model_fields["bundle"].default)]["name"]]
            )


def test_a_drain_ends_within_the_grace_period() -> None:
    """Where the grace period can be set, it is at least ``PLEURA_DRAIN_S`` and 35 s."""
    for what in RENDERINGS:
        for pod in pods(what):
            if "terminationGracePeriodSeconds" in pod.spec:
                drain_s = int(pod.variables["PLEURA_DRAIN_S"])
                assert pod.spec["terminationGracePeriodSeconds"] >= drain_s + 35


def test_the_bundle_has_the_digest_that_its_address_names() -> None:
    """A bundle is stored at its digest, so that the two variables belong together."""
    (predictor,) = (pod for pod in pods("base") if pod.name == "chest-xray-predictor")
    digest = predictor.variables["PLEURA_BUNDLE_DIGEST"]
    assert predictor.variables["PLEURA_BUNDLE_URI"] == f"s3://models/models/chest-xray/{digest}"
