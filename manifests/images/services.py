"""The images, and what each of them holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PYTHON_VERSION: Final = "3.11"
"""Python of the images. The tests run on it, so that the images hold the versions that were tested."""
_LOCKS: Final = ROOT / "manifests" / "images" / "locks"


@dataclass(frozen=True)
class Image:
    """An image: the extras of its wheels, its packages of this repository, and its largest size.

    ``max_mb`` is the size of all layers, compressed, in megabytes. ``built`` names packages that exist as
    source only, of pure Python: they are built here. All others are wheels.
    """

    service: str
    extras: Sequence[str]
    packages: Sequence[str]
    max_mb: int
    built: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The image's name, without registry and tag."""
        return f"pleura-{self.service.replace('_', '-')}"

    @property
    def lock(self) -> Path:
        """The file with the version and the hashes of each wheel."""
        return _LOCKS / f"{self.service}.lock"


# `tracing` is in every image, because a service with OTEL_EXPORTER_OTLP_ENDPOINT does not start without it
IMAGES: Final = (
    Image("auth_proxy", ("auth-proxy", "tracing"), ("pleura", "auth_proxy"), 150),
    Image("transformer", ("transformer", "tracing"), ("pleura", "transformer"), 350),
    Image("predictor", ("predictor-openvino", "tracing"), ("pleura", "predictor"), 400),
    Image(
        "pipelines",
        ("pipelines",),
        ("pleura", "pipelines", "predictor", "transformer"),
        1200,
        built=("kfp-server-api",),
    ),
)
