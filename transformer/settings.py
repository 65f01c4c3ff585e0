"""The transformer's settings. No other module of the transformer reads the environment."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr

from pleura.settings import ObjectStoreSettings, ServiceSettings, require_match
from transformer.refusal_policy import RefusalPolicy

Seconds = Annotated[float, Field(gt=0, le=3600)]
Count = Annotated[int, Field(ge=1)]
_SHORTEST_KEY: Final = 32


def _require_policy(text: str) -> str:
    RefusalPolicy.parse(text)
    return text


def _require_long_keys(keys: SecretStr) -> SecretStr:
    # who has a copy of the journal may try keys: a short one would be found
    if any(len(key) < _SHORTEST_KEY for key in keys.get_secret_value().split()):
        raise ValueError(f"each key must have {_SHORTEST_KEY} characters or more")
    return keys


class TransformerSettings(ServiceSettings, ObjectStoreSettings):
    """Everything the transformer reads from its environment."""

    predictor_address: str = Field(pattern=r"^[^/\s]+:\d{1,5}$")
    """host:port of the predictor's gRPC."""
    redis_url: Annotated[SecretStr, require_match(r"|(redis|rediss|unix)://.*")] = SecretStr("")
    """Address of the Redis for the cache; empty for no cache."""
    cache_key: Annotated[SecretStr, require_match(r"|.{32,}")] = SecretStr("")
    """Secret that seals cached answers, the same for all transformers of one Redis; at least 32 characters.
    Without it each process makes its own, and reads no entry of another process."""
    journal_dsn: SecretStr
    """PostgreSQL connection string of the journal."""
    pseudonym_key: Annotated[SecretStr, AfterValidator(_require_long_keys)] = SecretStr("")
    """Secret key of the pseudonyms that the journal keeps of accession numbers and UIDs: 32 characters or
    more, without spaces; empty to keep none. To change the key, put the new one before the old one, with a
    space between them: look-ups try each key."""
    spool_folder: Path = Path("/var/lib/pleura/spool")
    """Folder of the local spool, which keeps journal rows while PostgreSQL is down."""
    spool_max_mb: Count = 1024
    """Largest size of the spool, in MiB."""
    cache_ttl_s: Annotated[int, Field(ge=1)] = 86_400
    """Seconds that a cached answer is kept."""
    cache_timeout_s: Seconds = 0.04
    """Seconds after which a look-up in the cache counts as a miss."""
    answering_ttl_s: Seconds = 10.0
    """Seconds for which a revision counts as live after its last answer."""
    watch_interval_s: Seconds = 2.0
    """Seconds between two checks of predictor and object store."""
    timeout_s: Seconds = 10.0
    """Seconds that a whole request may take."""
    journal_timeout_s: Seconds = 1.0
    """Seconds to wait for PostgreSQL before a journal row goes to the spool."""
    max_file_mb: Count = 64
    """Largest file of one radiograph, in MiB."""
    max_elements: Annotated[int, Field(ge=1, le=32)] = 32
    """Most radiographs in one request. The predictor accepts 32."""
    max_in_flight: Count = 1024
    """Most requests in flight; further requests get 503 at once. Requests that share work cost little."""
    max_reading: Count = 64
    """Most radiographs that are fetched, decoded and judged at one time; more get 503 at once."""
    decoders: Count = 2
    """Number of decoder processes."""
    decode_timeout_s: Seconds = 10.0
    """Seconds that one radiograph may take to decode, on a busy machine too."""
    decode_processor_s: Seconds = 1.0
    """Processor seconds to decode a radiograph of up to 3 MiB; a larger file gets more, in proportion."""
    decode_memory_mb: Annotated[int, Field(ge=256)] = 512
    """Memory of one decoder process, in MiB."""
    max_pixels_m: Count = 100
    """Most pixels of one radiograph, in millions."""
    refusal_policy: Annotated[str, AfterValidator(_require_policy)] = ""
    """Actions for reasons to refuse a radiograph, such as ``untypical=refuse,pediatric=warn``. An action is
    ``refuse``, ``warn`` or ``allow``. By default every reason refuses, but ``untypical`` warns."""

    @property
    def pseudonym_keys(self) -> Sequence[bytes]:
        """The keys of the pseudonyms, the newest first."""
        return [key.encode() for key in self.pseudonym_key.get_secret_value().split()]
