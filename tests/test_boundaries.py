"""The walls between the packages: what a service's image does not hold, its modules do not import."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {
    "tensorflow",
    "keras",
    "psycopg2",
    "minio",
    "mlflow",
    "kfp",
    "kserve",
    "cv2",
    "redis",
    "pandas",
    "openvino",
}
HEAVY |= {"opentelemetry.sdk.trace", "opentelemetry.exporter"}  # loaded where spans are exported only
TENSORFLOW = {"tensorflow", "keras", "cv2", "pandas"}  # keras imports the latter two where they are installed
MLFLOW = {"mlflow", "pandas", "opentelemetry.sdk.trace"}
ALLOWED = {
    "pleura.object_bucket": {"minio"},
    "pleura.bundle_download": {"minio"},
    "pleura.serving": {"kserve"},
    "pleura.serving.grpc_health": set(),
    "pleura.serving.grpc_status": set(),
    "pleura.serving.health": set(),
    "pleura.serving.http_protocol": set(),
    "pleura.serving.shutdown": set(),
    "pleura.serving.start": set(),
    "pleura.radiograph": {"cv2"},
    "transformer": {"kserve", "cv2", "minio", "psycopg2", "redis"},
    "transformer.decoding.worker": {"cv2"},
    "predictor": {"kserve", "minio"},
    "predictor.build.bundle": TENSORFLOW,
    "predictor.build.export": TENSORFLOW,
    "predictor.build.folded": TENSORFLOW,
    "predictor.build.graph": TENSORFLOW,
    "predictor.build.network": TENSORFLOW,
    "auth_proxy": set(),
    "pipelines": TENSORFLOW | MLFLOW | {"kfp", "kserve", "minio", "psycopg2"},
    "pleura.local": {"psycopg2", "minio", "redis"},
    "pleura.console.data_sets": MLFLOW | {"cv2", "minio", "psycopg2"},
    "pleura.console.model_import": TENSORFLOW,
    "pleura.console.model_registry": {"minio"},
    "pleura.console.model_serving": {"minio"},
    "pleura.console.pipeline_run": {"cv2", "minio", "pandas"},
    "pleura.console.pipeline_server": {"cv2", "pandas"},
}


def modules_of(*packages: str) -> list[str]:
    """Return the dotted names of every module in some packages, without the migrations."""
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names if ".migrations." not in name]


def allowed_for(module: str) -> frozenset[str]:
    """Return the heavy packages that a module may bring: its own entry, or that of the nearest package."""
    while module not in ALLOWED and "." in module:
        module = module.rpartition(".")[0]
    return frozenset(ALLOWED.get(module, set()))


def modules_by_allowance() -> dict[frozenset[str], list[str]]:
    """Group the modules of the services by what they may bring."""
    groups: dict[frozenset[str], list[str]] = {}
    for module in modules_of("pleura", "transformer", "predictor", "auth_proxy", "pipelines"):
        groups.setdefault(allowed_for(module), []).append(module)
    return groups


def chains_of_allowances() -> list[list[frozenset[str]]]:
    """Put the allowances into chains. Each holds the one before it, so that a chain can share a process."""
    chains: list[list[frozenset[str]]] = []
    for allowed in sorted(modules_by_allowance(), key=lambda each: (len(each), sorted(each))):
        chain = next((chain for chain in chains if chain[-1] <= allowed), None)
        if chain is None:
            chains.append([allowed])
        else:
            chain.append(allowed)
    return chains


@pytest.mark.parametrize("chain", chains_of_allowances(), ids=lambda chain: "+".join(sorted(chain[-1])))
def test_modules_bring_only_the_heavy_packages_that_their_image_holds(chain: list[frozenset[str]]) -> None:
    """Imported in a fresh interpreter, smallest allowance first, no group brings a package beyond its own.

    The main module of each service is in the group of its package, so a service starts without the others.
    """
    groups = modules_by_allowance()
    code = "".join(f"import sys, {', '.join(groups[allowed])}; print(*sys.modules)\n" for allowed in chain)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    for allowed, modules in zip(chain, done.stdout.splitlines(), strict=True):
        assert set(modules.split()) & HEAVY <= allowed, groups[allowed]
