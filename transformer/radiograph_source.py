"""Where a radiograph comes from, and what identifies its content."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pleura.deadline import Deadline
from transformer.cache.answer_cache import cache_key
from transformer.object_id import ObjectId
from transformer.object_store import RadiographStore
from transformer.stage_clock import StageClock

_HASHED_IN_THREAD_BYTES: Final = 2**19


@dataclass(frozen=True)
class StoredRadiograph:
    """A radiograph in the object store, named by its key."""

    object_id: ObjectId


@dataclass(frozen=True)
class SentRadiograph:
    """A radiograph that came with the request."""

    file: bytes = field(repr=False)


RadiographSource = StoredRadiograph | SentRadiograph


@dataclass(frozen=True)
class RadiographContent:
    """What a request asks about: a radiograph, and which content it had when the request came.

    ``cache_key`` is where the cache keeps its answer; ``tag`` is the ETag of an object or the SHA-256 of a
    sent file. Two contents are equal when both agree.
    """

    cache_key: str
    tag: str
    source: RadiographSource = field(compare=False, repr=False)
    latency_ms: Mapping[str, float] = field(compare=False, repr=False)


async def identify_content(
    source: RadiographSource, store: RadiographStore, deadline: Deadline
) -> RadiographContent:
    """Find out which content a radiograph has now.

    Raises:
        PleuraError: The object store has no such object, or does not say which version it has.
    """
    clock = StageClock()
    if isinstance(source, SentRadiograph):
        digest = await digest_file(source.file)
        clock.end("hash")
        return RadiographContent(cache_key("file", digest), digest, source, clock.latency_ms)
    etag = await store.read_etag(source.object_id, deadline)
    clock.end("stat")
    return RadiographContent(cache_key("object", source.object_id.key), etag, source, clock.latency_ms)


async def digest_file(file: bytes) -> str:
    """Compute the SHA-256 of a file, in hex. A large file is hashed in a thread."""

    def digest() -> str:
        return hashlib.sha256(file).hexdigest()

    # hashing 2 MB takes almost 2 ms, in which the event loop would serve no other request
    return digest() if len(file) < _HASHED_IN_THREAD_BYTES else await asyncio.to_thread(digest)
