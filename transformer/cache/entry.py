"""How an answer is kept in the cache: a checksum, a line of JSON, and the tensors behind it."""

import hashlib
import math
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import orjson

from pleura.contract import MAP_SIZE
from pleura.findings import FINDINGS
from transformer.answer import Answer, Floats, Revision

FORMAT: Final = "2"
"""Changes with what an entry holds; entries of two formats stand under different keys."""
_MAGIC: Final = b"PLA" + FORMAT.encode()
_CHECKSUM: Final = 16
_SHAPES: Final = ((len(FINDINGS),), (len(FINDINGS),), (len(FINDINGS), MAP_SIZE, MAP_SIZE))


@dataclass(frozen=True, eq=False)
class CachedAnswer:
    """An answer as it is kept, and the content it is about: an object's ETag, or a sent file's SHA-256."""

    answer: Answer
    tag: str


def _checksum(key: str, content: bytes) -> bytes:
    # the key is part of it: an entry that turns up under another key is as corrupt as a flipped bit
    return hashlib.blake2b(key.encode() + b"\0" + content, digest_size=_CHECKSUM).digest()


def write_entry(key: str, cached: CachedAnswer) -> bytes:
    """Encode an answer for its key."""
    answer = cached.answer
    json = orjson.dumps(
        {
            "tag": cached.tag,
            "version": answer.revision.version,
            "digest": answer.revision.digest,
            "preprocessing_version": answer.preprocessing_version,
            "image_digest": answer.image_digest,
            "typicality": answer.typicality,
        }
    )
    arrays = (answer.probability, answer.threshold, answer.activation_map)
    raw = b"".join(array.astype("<f4").tobytes() for array in arrays)
    content = struct.pack("<H", len(json)) + json + raw
    return _MAGIC + _checksum(key, content) + content


def read_entry(key: str, entry: bytes) -> CachedAnswer | None:
    """Decode what ``write_entry`` wrote for that key; None when it is anything else."""
    head, content = len(_MAGIC) + _CHECKSUM, entry[len(_MAGIC) + _CHECKSUM :]
    if entry[:head] != _MAGIC + _checksum(key, content):
        return None
    (length,) = struct.unpack_from("<H", content)
    document = orjson.loads(content[2 : 2 + length])
    probability, threshold, activation_map = _arrays(content[2 + length :])
    answer = Answer(
        probability,
        threshold,
        document["typicality"],
        activation_map,
        Revision(document["version"], document["digest"]),
        document["preprocessing_version"],
        document["image_digest"],
    )
    return CachedAnswer(answer, document["tag"])


def _arrays(raw: bytes) -> list[Floats]:
    arrays, offset = [], 0
    for shape in _SHAPES:
        count = math.prod(shape)
        flat = np.frombuffer(raw, "<f4", count, offset).astype(np.float32, copy=False)
        arrays.append(flat.reshape(shape))
        offset += 4 * count
    return arrays
