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


def _modules() -> list[str]:
    packages = ("pleura", "transformer", "predictor", "auth_proxy")
    return _modules_of(*packages)


def _modules_of(*packages: str) -> list[str]:
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names if ".migrations." not in name]


def _allowed(module: str) -> set[str]:
    while module not in ALLOWED and "." in module:
        module = module.rpartition(".")[0]
    return ALLOWED.get(module, set())


@pytest.mark.parametrize("module", _modules())
def test_a_module_brings_only_what_its_image_holds(module: str) -> None:
    """Imported in a fresh interpreter, a module brings no uninvited heavy package."""
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(done.stdout.split()) & HEAVY <= _allowed(module)


def test_the_pipelines_bring_only_what_their_image_holds() -> None:
    """All of them imported together, since they share one image."""
    code = f"import sys, {', '.join(_modules_of('pipelines'))}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(done.stdout.split()) & HEAVY <= _allowed("pipelines")
