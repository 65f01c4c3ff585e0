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
    "pleura.serving": {"kserve"},
    "pleura.serving.grpc_status": set(),
    "pleura.serving.health": set(),
    "pleura.serving.shutdown": set(),
    "pleura.serving.start": set(),
    "pleura.radiograph": {"cv2"},
    "transformer": {"kserve", "cv2", "minio", "psycopg2", "redis"},
    "transformer.decoding.worker": {"cv2"},
    "predictor": {"kserve"},
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


@pytest.mark.parametrize(
    "allowed", modules_by_allowance(), ids=lambda allowed: "+".join(sorted(allowed)) or "nothing heavy"
)
def test_modules_bring_only_the_heavy_packages_that_their_image_holds(allowed: frozenset[str]) -> None:
    """Imported together in a fresh interpreter, modules with one allowance bring nothing beyond it."""
    code = f"import sys, {', '.join(modules_by_allowance()[allowed])}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(done.stdout.split()) & HEAVY <= allowed


@pytest.mark.parametrize("service", ["auth_proxy", "transformer", "predictor"])
def test_a_service_starts_without_what_its_image_lacks(service: str) -> None:
    """The whole of a service, imported as it starts, keeps to the allowance of its package."""
    code = f"import sys, {service}.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(done.stdout.split()) & HEAVY <= allowed_for(service)
