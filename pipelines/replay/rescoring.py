"""Journaled radiographs once more, through a challenger: read, decoded as in service, and counted.

Nothing is left out silently. A store that is down is no radiograph that is gone: its error passes through.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.journal_reader import JournaledAnswer
from pipelines.value import Value
from pleura.errors import RadiographNotFound, RefusedRadiograph, TooLarge, UnreadableRadiograph
from pleura.radiograph.reader import read_radiograph
from pleura.radiograph.tensor import to_tensor

Floats = NDArray[np.floating]
ReadRadiograph = Callable[[str], bytes]
"""Gives the object of a key; raises RadiographNotFound where there is none."""
ScoreTensors = Callable[[NDArray[np.uint8]], Floats]
"""Gives probabilities (N, F) for tensors uint8 (N, 224, 224)."""


class LeftOutAnswers(Value):
    """How many answers were not replayed, and why.

    ``other_model``: not the champion answered. ``repeated``: a newer answer on the same radiograph stands for
    it. ``not_kept``: the radiograph was sent with the request and is in no store. ``gone``, ``changed``:
    the object is no longer there, or is another. ``unreadable``: it no longer decodes.
    """

    other_model: int = 0
    repeated: int = 0
    not_kept: int = 0
    gone: int = 0
    changed: int = 0
    unreadable: int = 0

    @property
    def lost(self) -> int:
        """Radiographs that should have been replayed and could not be."""
        return self.not_kept + self.gone + self.changed + self.unreadable


@dataclass(frozen=True)
class RescoredAnswers:
    """The champion's answers (N of them) beside what the challenger says of the same radiographs.

    ``probabilities`` is (N, F), as the challenger gave them; ``seconds`` (N,) is what each took.
    """

    answers: tuple[JournaledAnswer, ...]
    probabilities: Floats
    seconds: Floats
    left_out: LeftOutAnswers


def rescore_answers(
    answers: Sequence[JournaledAnswer],
    champion_digest: str,
    read: ReadRadiograph,
    score: ScoreTensors,
    max_pixels: int,
) -> RescoredAnswers:
    """Put the champion's answers, newest first, before the challenger, one radiograph at a time.

    Args:
        answers: As read from the journal, newest first.
        champion_digest: The bundle whose answers count.
        read: Reads a radiograph's object.
        score: The challenger.
        max_pixels: As in service; only files that were answered before, by their digest, are decoded.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    why_not: Counter[str] = Counter()
    kept, rows, seconds = [], [], []
    seen: set[str] = set()
    for answer in answers:
        try:
            tensor = _tensor(answer, champion_digest, seen, read, max_pixels)
        except _LeftOutError as error:
            why_not[error.why] += 1
            continue
        began = time.perf_counter()
        rows.append(np.asarray(score(tensor[None]), float)[0])
        seconds.append(time.perf_counter() - began)
        kept.append(answer)
    width = len(answers[0].probabilities) if answers else 0
    probabilities = np.array(rows, float) if rows else np.empty((0, width))
    return RescoredAnswers(tuple(kept), probabilities, np.array(seconds, float), LeftOutAnswers(**why_not))


class _LeftOutError(Exception):
    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def _tensor(
    answer: JournaledAnswer, champion_digest: str, seen: set[str], read: ReadRadiograph, max_pixels: int
) -> NDArray[np.uint8]:
    if answer.model_digest != champion_digest:
        raise _LeftOutError("other_model")
    if answer.image_digest in seen:
        raise _LeftOutError("repeated")
    seen.add(answer.image_digest)
    if answer.image_id is None:
        raise _LeftOutError("not_kept")
    try:
        file = read(answer.image_id)
        if hashlib.sha256(file).hexdigest() != answer.image_digest:
            raise _LeftOutError("changed")
        return to_tensor(read_radiograph(file, max_pixels).pixels)
    except RadiographNotFound as error:
        raise _LeftOutError("gone") from error
    except (UnreadableRadiograph, RefusedRadiograph, TooLarge) as error:
        raise _LeftOutError("unreadable") from error
