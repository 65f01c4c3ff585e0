"""Radiographs with known answers: a few different files, each stored under many object ids."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pleura.local.access import BUCKET
from pleura.local.object_store import build_store_client
from proof.lab.load import CallResult
from proof.lab.transformer import make_radiograph_png

CONTENTS: Final = 8
# The same radiograph in another batch gives another rounding.
_TOLERANCE: Final = 1e-5
_UPLOADS_AT_ONCE: Final = 8
_PAUSE_S: Final = 0.2
# One minute, the longest recovery that a campaign accepts.
_MAX_TRIES: Final = 300


class KnownRadiographs:
    """Object ids to request. ``store`` has ``url``, ``access_key`` and ``secret_key``."""

    def __init__(self, store: Mapping[str, str], size_px: int = 256) -> None:
        self._client = build_store_client(store["url"], store["access_key"], store["secret_key"])
        self.files = [make_radiograph_png(seed, size_px) for seed in range(CONTENTS)]
        self._expected: list[NDArray[np.float64]] = []
        self._fresh: list[str] = []
        self._fresh_used = self._known_used = self._stored = 0
        self.names = self._upload(CONTENTS)

    def _upload(self, number: int) -> list[str]:
        # The number of the content is part of the id, so that an answer can be checked by its id alone.
        names = [f"proof/{self._stored + index}-{index % CONTENTS}.png" for index in range(number)]
        self._stored += number
        with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as threads:
            list(threads.map(self._put, names))
        return names

    def _put(self, name: str) -> None:
        file = self.files[_parse_content_number(name)]
        self._client.put_object(BUCKET, name, io.BytesIO(file), len(file))

    def upload(self, number: int) -> None:
        """Upload ``number`` more objects that no request has named yet."""
        self._fresh += self._upload(number)

    def next_fresh_id(self) -> str:
        """Return an object id that no request has named. After the last one, start again with the oldest."""
        self._fresh_used += 1
        return self._fresh[(self._fresh_used - 1) % len(self._fresh)]

    def next_known_id(self) -> str:
        """Return the next of the few object ids that most requests name."""
        # In turn, so that neighbours in time are never one radiograph, and a mix-up shows.
        self._known_used += 1
        return self.names[self._known_used % CONTENTS]

    def next_file(self) -> tuple[str, bytes]:
        """Return an object id and its file."""
        name = self.next_known_id()
        return name, self.files[_parse_content_number(name)]

    async def learn_answers(self, send: Callable[[str], Awaitable[CallResult]]) -> None:
        """Request each file once, and keep its answer as the expected one."""
        answers = [await _send_until_answered(send, name) for name in self.names]
        self._expected = [read_probabilities(answer.document) for answer in answers]
        distances = [
            np.abs(first - second).max()
            for i, first in enumerate(self._expected)
            for second in self._expected[:i]
        ]
        if min(distances) <= 10 * _TOLERANCE:
            raise AssertionError("two files have the same answer, so a mix-up would stay unnoticed")

    def is_right(self, answer: CallResult) -> bool:
        """Say whether an answer is the expected one for its radiograph."""
        expected = self._expected[_parse_content_number(answer.image_id)]
        return bool(np.abs(read_probabilities(answer.document) - expected).max() <= _TOLERANCE)

    def find_wrong(self, answers: Sequence[CallResult]) -> list[CallResult]:
        """Find the answers whose findings belong to another radiograph."""
        return [answer for answer in answers if answer.is_ok and not self.is_right(answer)]


async def _send_until_answered(send: Callable[[str], Awaitable[CallResult]], name: str) -> CallResult:
    for _ in range(_MAX_TRIES):
        answer = await send(name)
        if answer.is_ok:
            return answer
        await asyncio.sleep(_PAUSE_S)
    raise AssertionError(f"the last answer has status {answer.status}")


def _parse_content_number(name: str) -> int:
    return int(name.rpartition("-")[2].removesuffix(".png"))


def read_probabilities(document: Any) -> NDArray[np.float64]:
    """Read the probabilities of an answer of ``/classify``."""
    return np.array([finding["probability"] for finding in document["findings"]])
