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
