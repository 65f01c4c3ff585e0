"""Radiographs whose right answers are known: few contents, stored under as many names as are asked for."""

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
_TOLERANCE: Final = 1e-5
_UPLOADS_AT_ONCE: Final = 8
_PAUSE_S: Final = 0.2
_TRIES: Final = 300


class KnownRadiographs:
    """Names to ask about; ``store`` has ``url``, ``access_key`` and ``secret_key``."""

    def __init__(self, store: Mapping[str, str], size_px: int = 256) -> None:
        self._client = build_store_client(store["url"], store["access_key"], store["secret_key"])
        self.files = [make_radiograph_png(seed, size_px) for seed in range(CONTENTS)]
        self._right: list[NDArray[np.float64]] = []
        self._fresh: list[str] = []
        self._asked = self._known = self._stored = 0
        self.names = self._upload(CONTENTS)

    def _upload(self, number: int) -> list[str]:
        names = [f"proof/{self._stored + index}-{index % CONTENTS}.png" for index in range(number)]
        self._stored += number
        with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as threads:
            list(threads.map(self._put, names))
        return names

    def _put(self, name: str) -> None:
        file = self.files[_parse_content_number(name)]
        self._client.put_object(BUCKET, name, io.BytesIO(file), len(file))

    def upload(self, number: int) -> None:
        """Store so many more that nobody has asked about."""
        self._fresh += self._upload(number)

    def next_fresh_id(self) -> str:
        """A name that nobody has asked about, as long as there are any; then the oldest again."""
        self._asked += 1
        return self._fresh[(self._asked - 1) % len(self._fresh)]

    def next_known_id(self) -> str:
        """One of the few names that everybody asks about."""
        self._known += 1
        return self.names[self._known % CONTENTS]

    def next_file(self) -> tuple[str, bytes]:
        """A name, and the file that is stored under it."""
        name = self.next_known_id()
        return name, self.files[_parse_content_number(name)]

    async def learn_answers(self, ask: Callable[[str], Awaitable[CallResult]]) -> None:
        """Ask about each content once, and hold what is answered to be right from then on."""
        answers = [await _ask_until_answered(ask, name) for name in self.names]
        self._right = [read_probabilities(answer.document) for answer in answers]
        distances = [
            np.abs(one - other).max() for i, one in enumerate(self._right) for other in self._right[:i]
        ]
        if min(distances) <= 10 * _TOLERANCE:
            raise AssertionError("two contents have the same answer: a mix-up would not be seen")

    def is_right(self, answer: CallResult) -> bool:
        """Whether an answer is that of the radiograph that was asked about."""
        right = self._right[_parse_content_number(answer.image_id)]
        return bool(np.abs(read_probabilities(answer.document) - right).max() <= _TOLERANCE)

    def find_wrong(self, answers: Sequence[CallResult]) -> list[CallResult]:
        """Those that hold findings of something else."""
        return [answer for answer in answers if answer.is_ok and not self.is_right(answer)]


async def _ask_until_answered(ask: Callable[[str], Awaitable[CallResult]], name: str) -> CallResult:
    for _ in range(_TRIES):
        answer = await ask(name)
        if answer.is_ok:
            return answer
        await asyncio.sleep(_PAUSE_S)
    raise AssertionError(f"no answer but {answer.status}")


def _parse_content_number(name: str) -> int:
    return int(name.rpartition("-")[2].removesuffix(".png"))


def read_probabilities(document: Any) -> NDArray[np.float64]:
    """The probabilities of an answer of ``/classify``."""
    return np.array([finding["probability"] for finding in document["findings"]])
