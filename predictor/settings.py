"""Everything the predictor reads from its environment."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from pleura.contract import MAX_RADIOGRAPHS
from pleura.cpu_count import usable_cpus
from pleura.settings import ServiceSettings, require_match
from predictor.engines.engine import EngineKind


class PredictorSettings(ServiceSettings):
    """Everything the predictor reads from its environment."""

    bundle: Path = Path("/mnt/models")
    """Folder of the model bundle. With ``PLEURA_BUNDLE_URI``, the folder that a bundle is downloaded to."""
    bundle_uri: str = Field(
        default="", pattern=r"^(|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\s]+|file:///[^\s]+)$"
    )
    """Where the bundle comes from: ``s3://BUCKET/PREFIX`` or ``file:///FOLDER``; empty for a bundle that is
    in ``PLEURA_BUNDLE`` already."""
    bundle_digest: str = Field(default="", pattern=r"^(|[0-9a-f]{64})$")
    """Digest of the bundle: SHA-256 of its ``bundle.json``, in hex. The predictor does not start with another
    bundle. It is required with ``PLEURA_BUNDLE_URI``."""
    s3_url: str = Field(default="", pattern=r"^(|https?://[^/\s]+/?)$")
    """Address of the object store that a bundle is downloaded from."""
    s3_access_key: Annotated[SecretStr, require_match(r"[\x21-\x7e]*")] = SecretStr("")
    """Access key of the object store; a key that may read the bucket of the bundles is enough."""
    s3_secret_key: SecretStr = SecretStr("")
    """Secret key of the object store."""
    s3_region: str = "us-east-1"
    """Region of the object store."""
    engine: EngineKind = "litert"
    """The runtime of the graph. ``openvino`` is faster on Intel's CPUs with AVX-512."""
    threads: int = Field(default_factory=usable_cpus, ge=1, le=256)
    """Threads that the engine computes on. The default is one for each core that the process may use."""
    lanes: int = Field(default=4, ge=1, le=64)
    """Engines that run in parallel when several radiographs wait, each on its share of the threads. There are
    never more engines than threads, and TensorFlow has one. Each engine holds a copy of the weights."""
    niceness: int = Field(default=5, ge=0, le=19)
    """Niceness of the process: how far inference gives way to other work on the same cores."""
    max_batch: int = Field(default=8, ge=1, le=1024)
    """Most radiographs in one batch. Only TensorFlow runs more than one at a time."""
    max_queue: int = Field(default=64, ge=MAX_RADIOGRAPHS, le=100_000)
    """Most radiographs that wait. The predictor rejects requests beyond that."""
    max_wait_ms: float = Field(default=2.0, ge=0.0, le=1000.0)
    """Longest time that an idle engine waits for a batch to fill, in milliseconds."""
    timeout_s: float = Field(default=10.0, gt=0.0, le=600.0)
    """Longest time for a request, in seconds."""

    @model_validator(mode="after")
    def _require_all_of_a_source(self) -> Self:
        if self.bundle_uri and not self.bundle_digest:
            raise ValueError("PLEURA_BUNDLE_DIGEST is required with PLEURA_BUNDLE_URI")
        needed = {
            "PLEURA_S3_URL": self.s3_url,
            "PLEURA_S3_ACCESS_KEY": self.s3_access_key.get_secret_value(),
            "PLEURA_S3_SECRET_KEY": self.s3_secret_key.get_secret_value(),
        }
        missing = [name for name, value in needed.items() if not value]
        if self.bundle_uri.startswith("s3://") and missing:
            raise ValueError(f"PLEURA_BUNDLE_URI is in S3, so these are required: {', '.join(missing)}")
        return self
