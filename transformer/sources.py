"""Which radiograph is asked about: named by the key of its object, or sent with the request."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from transformer.cache import key_of
from transformer.object_id import ObjectId
from transformer.stages import Clock

_HASHED_IN_THREAD: Final = 2**19


@dataclass(frozen=True)
class Stored:
    """A radiograph named by the key of its object."""

    object_id: ObjectId


@dataclass(frozen=True)
class Sent:
    """A radiograph sent with the request."""

    file: bytes = field(repr=False)


Source = Stored | Sent


@dataclass(frozen=True)
class Known:
    """A radiograph, and the key that answers about it are kept under.

    ``tag`` is the SHA-256 of what is sent; what is stored has an ETag, which only the store knows.
    """

    source: Source
    key: str
    tag: str | None
    latency_ms: Mapping[str, float]


async def known_of(source: Source) -> Known:
    """Find out what can be known of a radiograph before anybody is asked."""
    if isinstance(source, Stored):
        return Known(source, key_of("object", source.object_id.key), None, {})
    clock = Clock()
    digest = await digest_of(source.file)
    clock.end("hash")
    return Known(source, key_of("file", digest), digest, clock.latency_ms)


async def digest_of(file: bytes) -> str:
    """The SHA-256 of a file, in hex; of a large one it is reckoned beside the event loop."""

    def digest() -> str:
        return hashlib.sha256(file).hexdigest()

    return digest() if len(file) < _HASHED_IN_THREAD else await asyncio.to_thread(digest)
