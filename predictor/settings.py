"""Everything the predictor reads from its environment."""

from pathlib import Path

from pydantic import Field

from pleura.contract import MAX_RADIOGRAPHS
from pleura.cpu_count import usable_cpus
from pleura.settings import ServiceSettings
from predictor.engines.engine import EngineKind


class PredictorSettings(ServiceSettings):
    """Everything the predictor reads from its environment."""

    bundle: Path = Path("/mnt/models")
    """Folder of the model bundle."""
    engine: EngineKind = "litert"
    """What runs the graph; ``openvino`` is the faster one on Intel's CPUs with AVX-512."""
    threads: int = Field(default_factory=usable_cpus, ge=1, le=256)
    """Threads that the engine computes on; by default one for each core that this process may use."""
    lanes: int = Field(default=4, ge=1, le=64)
    """Engines that run side by side when several radiographs wait, each on its share of the threads; no more
    than there are threads, and one of TensorFlow. Each holds the weights once more."""
    niceness: int = Field(default=5, ge=0, le=19)
    """How far inference gives way to whatever else wants the same cores."""
    max_batch: int = Field(default=8, ge=1, le=1024)
    """Most radiographs that run together; only TensorFlow runs more than one in one go."""
    max_queue: int = Field(default=64, ge=MAX_RADIOGRAPHS, le=100_000)
    """Most radiographs that wait; beyond that requests are turned away."""
    max_wait_ms: float = Field(default=2.0, ge=0.0, le=1000.0)
    """Longest time that an idle engine waits for a batch to fill, in milliseconds."""
    timeout_s: float = Field(default=10.0, gt=0.0, le=600.0)
    """Longest time for a request, in seconds."""
