"""Seals what is kept in Redis. Whoever can write into Redis must not be able to write an answer.

A seal is an HMAC-SHA256 (RFC 2104) over the name and the content. The key is never in Redis.
"""

import hmac
from typing import Final

_MAGIC: Final = b"PLS1"
_CODE_BYTES: Final = 32
_HEAD_BYTES: Final = len(_MAGIC) + _CODE_BYTES


class Seal:
    """Seals content under a name, and opens what was sealed with the same key under the same name."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def close(self, name: str, content: bytes) -> bytes:
        """Seal content that will be stored under ``name``."""
        return _MAGIC + self._code(name, content) + content

    def open(self, name: str, sealed: object) -> bytes | None:
        """Give the content that ``close`` sealed for ``name``. Give None for anything else."""
        if not isinstance(sealed, bytes):
            return None
        head, content = sealed[:_HEAD_BYTES], sealed[_HEAD_BYTES:]
        is_ours = hmac.compare_digest(head, _MAGIC + self._code(name, content))
        return content if is_ours else None

    def _code(self, name: str, content: bytes) -> bytes:
        # with the name in the code, nobody can move an entry to the name of another radiograph
        return hmac.digest(self._key, name.encode() + b"\0" + content, "sha256")
