"""Which radiograph is asked about: named by the key of its object, or sent with the request."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Final

from transformer.object_id import ObjectId

_HASHED_IN_THREAD: Final = 2**19


@dataclass(frozen=True)
class StoredRadiograph:
    """A radiograph named by the key of its object."""

    object_id: ObjectId


@dataclass(frozen=True)
class SentRadiograph:
    """A radiograph sent with the request."""

    file: bytes = field(repr=False)


Source = StoredRadiograph | SentRadiograph


async def digest_of(file: bytes) -> str:
    """The SHA-256 of a file, in hex; of a large one it is reckoned beside the event loop."""

    def digest() -> str:
        return hashlib.sha256(file).hexdigest()

    return digest() if len(file) < _HASHED_IN_THREAD else await asyncio.to_thread(digest)
