"""Renders the manifests with Kustomize, and finds what the tests look at."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.manifests.go_modules import ROOT, install_kustomize

MANIFESTS: Final = ROOT / "manifests"
COMPONENTS: Final = tuple(
    sorted(path.parent.name for path in MANIFESTS.glob("components/*/kustomization.yaml"))
)
OVERLAYS: Final = tuple(sorted(path.parent.name for path in MANIFESTS.glob("overlays/*/kustomization.yaml")))
RENDERINGS: Final = (
    "base",
    *(f"components/{name}" for name in COMPONENTS),
    *(f"overlays/{n}" for n in OVERLAYS),
)
_DRAFT: Final = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../../manifests/base]
components: [../../manifests/{name}]
"""


@dataclass(frozen=True)
class Pod:
    """The pod that an object makes: its labels, those of its controllers too, and its specification."""

    name: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]

    @property
    def container(self) -> Mapping[str, Any]:
        """The only container."""
        (container,) = self.spec["containers"]
        return container  # type: ignore[no-any-return]

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables of the container itself."""
        return {each["name"]: each["value"] for each in self.container["env"]}


@cache
def render(what: str) -> Sequence[Mapping[str, Any]]:
    """Render the base, an overlay, or the base with one component."""
    if not what.startswith("components/"):
        return _kustomize(MANIFESTS / what)
    draft = ROOT / "build" / f"kustomize-{what.replace('/', '-')}"
    draft.mkdir(parents=True, exist_ok=True)
    (draft / "kustomization.yaml").write_text(_DRAFT.format(name=what))
    return _kustomize(draft)


def _kustomize(folder: Path) -> Sequence[Mapping[str, Any]]:
    command = [str(install_kustomize()), "build", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def objects(what: str, *kinds: str) -> Iterator[Mapping[str, Any]]:
    """Yield the rendered objects of these kinds."""
    return (document for document in render(what) if document["kind"] in kinds)


def pods(what: str) -> Iterator[Pod]:
    """Yield each pod that is made. KServe labels those of an InferenceService with its name and component."""
    for document in objects(what, "Deployment", "Job", "CronJob"):
        template = document["spec"]["template"]
        yield Pod(document["metadata"]["name"], template["metadata"]["labels"], template["spec"])
    for document in objects(what, "InferenceService"):
        name = document["metadata"]["name"]
        for component in ("transformer", "predictor"):
            labels = {"serving.kserve.io/inferenceservice": name, "component": component}
            yield Pod(f"{name}-{component}", labels, document["spec"][component])


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Say whether a label selector selects these labels. The manifests use ``matchLabels`` for pods only."""
    assert selector.keys() <= {"matchLabels"}, selector
    return bool(selector.get("matchLabels", {}).items() <= labels.items())
