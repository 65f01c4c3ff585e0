"""What the transformer reads from its environment; no other module does."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from pleura.settings import ObjectStoreSettings, ServiceSettings

Seconds = Annotated[float, Field(gt=0, le=3600)]
Count = Annotated[int, Field(ge=1)]


class TransformerSettings(ServiceSettings, ObjectStoreSettings):
    """Everything the transformer reads from its environment."""

    predictor_address: str = Field(pattern=r"^[^/\s]+:\d{1,5}$")
    """host:port of the predictor's gRPC."""
    redis_url: str = Field(default="", pattern=r"^$|^(redis|rediss|unix)://")
    """Where the cache answers; empty for none."""
    journal_dsn: SecretStr
    """PostgreSQL connection string of the journal."""
    spool_folder: Path = Path("/var/lib/pleura/spool")
    """Folder of the local spool, which keeps answers while PostgreSQL is away."""
    spool_max_mb: Count = 1024
    """Largest size of the spool."""
    cache_ttl_s: Annotated[int, Field(ge=1)] = 86_400
    """Seconds that a cached answer is kept."""
    cache_timeout_s: Seconds = 0.04
    """Seconds that a look-up in the cache may take before it counts as a miss."""
    answering_ttl_s: Seconds = 10.0
    """Seconds for which a revision that was last seen answering counts as answering still."""
    watch_interval_s: Seconds = 2.0
    """Seconds between two looks at predictor and object store."""
    timeout_s: Seconds = 10.0
    """Seconds that a whole request may take."""
    journal_timeout_s: Seconds = 1.0
    """Seconds to wait for PostgreSQL before an answer goes to the spool."""
    max_file_mb: Count = 64
    """Largest file of one radiograph."""
    max_elements: Annotated[int, Field(ge=1, le=32)] = 32
    """Radiographs in one request, at most; the predictor takes 32."""
    max_in_flight: Count = 1024
    """Requests in flight, at most; more are turned away at once. Those who share a radiograph cost little."""
    max_reading: Count = 64
    """Radiographs that are fetched, decoded and judged at one time, at most; more are turned away at once."""
    decoders: Count = 2
    """Decoder processes."""
    decode_timeout_s: Seconds = 10.0
    """Seconds that one radiograph may take to decode, however busy the machine is."""
    decode_processor_s: Seconds = 1.0
    """Processor seconds that a radiograph of up to 3 MB may take to decode; a larger one in proportion."""
    decode_memory_mb: Annotated[int, Field(ge=256)] = 512
    """Memory of one decoder process."""
    max_pixels_m: Count = 100
    """Pixels of one radiograph, at most, in millions."""
