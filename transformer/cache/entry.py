"""The format of a cache entry: a checksum, a JSON document, and the tensors."""

import hashlib
import math
import struct
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import orjson

from pleura.contract import MAP_SIZE
from pleura.findings import FINDINGS
from pleura.radiograph.observations import observations_from_json, observations_to_json
from transformer.answer import Answer, Floats, Revision
from transformer.pseudonyms import NO_PSEUDONYMS, Pseudonyms

FORMAT: Final = "2"
"""Version of the format. It is part of the key, so that no version reads another version's entries."""
_MAGIC: Final = b"PLA" + FORMAT.encode()
_CHECKSUM_BYTES: Final = 16
_SHAPES: Final = ((len(FINDINGS),), (len(FINDINGS),), (len(FINDINGS), MAP_SIZE, MAP_SIZE))


@dataclass(frozen=True, eq=False)
class CachedAnswer:
    """An answer, and the tag of its content: the ETag of an object, or the SHA-256 of a sent file.

    ``pseudonyms`` are those of the identifiers in the file's header. The cache has no identifiers.
    """

    answer: Answer
    tag: str
    pseudonyms: Pseudonyms = NO_PSEUDONYMS


def _checksum(key: str, content: bytes) -> bytes:
    # with the key in the checksum, an entry under a wrong key counts as corrupt
    return hashlib.blake2b(key.encode() + b"\0" + content, digest_size=_CHECKSUM_BYTES).digest()


def write_entry(key: str, cached: CachedAnswer) -> bytes:
    """Encode an answer that will be stored under ``key``."""
    answer = cached.answer
    document = {
        "tag": cached.tag,
        "version": answer.revision.version,
        "digest": answer.revision.digest,
        "preprocessing_version": answer.preprocessing_version,
        "image_digest": answer.image_digest,
        "typicality": answer.typicality,
        "observations": observations_to_json(answer.observations),
        "is_checked": answer.is_checked,
    }
    if cached.pseudonyms.key_id:  # without a key, entries are those of the version before
        document["pseudonyms"] = asdict(cached.pseudonyms)
    json = orjson.dumps(document)
    arrays = (answer.probability, answer.threshold, answer.activation_map)
    raw = b"".join(array.astype("<f4").tobytes() for array in arrays)
    content = struct.pack("<H", len(json)) + json + raw
    return _MAGIC + _checksum(key, content) + content


def read_entry(key: str, entry: bytes) -> CachedAnswer | None:
    """Decode an entry that ``write_entry`` made for ``key``. Give None for any other bytes."""
    head, content = len(_MAGIC) + _CHECKSUM_BYTES, entry[len(_MAGIC) + _CHECKSUM_BYTES :]
    if entry[:head] != _MAGIC + _checksum(key, content):
        return None
    (length,) = struct.unpack_from("<H", content)
    document = orjson.loads(content[2 : 2 + length])
    probability, threshold, activation_map = _read_arrays(content[2 + length :])
    answer = Answer(
        probability,
        threshold,
        document["typicality"],
        activation_map,
        Revision(document["version"], document["digest"]),
        document["preprocessing_version"],
        document["image_digest"],
        # entries of earlier versions have none; they are under keys that this version does not look up
        observations_from_json(document.get("observations", ())),
        document.get("is_checked", True),
    )
    return CachedAnswer(answer, document["tag"], Pseudonyms(**document.get("pseudonyms", {})))


def _read_arrays(raw: bytes) -> list[Floats]:
    arrays, offset = [], 0
    for shape in _SHAPES:
        count = math.prod(shape)
        flat = np.frombuffer(raw, "<f4", count, offset).astype(np.float32, copy=False)
        arrays.append(flat.reshape(shape))
        offset += 4 * count
    return arrays
