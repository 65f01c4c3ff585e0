"""Let a challenger answer journaled radiographs: each is read and decoded as in the service.

Every answer that is left out is counted with its reason. A store that does not answer is an error; it does
not mean that a radiograph is gone.
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
"""Reads the object of a key; raises RadiographNotFound if there is no such object."""
ScoreTensors = Callable[[NDArray[np.uint8]], Floats]
"""Computes probabilities (N, F) of tensors uint8 (N, 224, 224)."""


class LeftOutAnswers(Value):
    """How many answers were not replayed, and why.

    ``other_model``: another model than the champion answered. ``repeated``: a newer answer on the same
    radiograph is replayed. ``not_kept``: the radiograph was sent with the request, so that no store has it.
    ``gone``: the object was deleted. ``changed``: the object has another content. ``unreadable``: the object
    no longer decodes.
    """

    other_model: int = 0
    repeated: int = 0
    not_kept: int = 0
    gone: int = 0
    changed: int = 0
    unreadable: int = 0

    @property
    def lost(self) -> int:
        """The radiographs that should have been replayed, but could not be."""
        return self.not_kept + self.gone + self.changed + self.unreadable


@dataclass(frozen=True)
class RescoredAnswers:
    """N answers of the champion, and the challenger's answers on the same radiographs.

    ``probabilities`` (N, F) are the challenger's; ``seconds`` (N,) is the time that each of them took.
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
    """Let the challenger answer the champion's radiographs, newest first, one at a time.

    Args:
        answers: Answers of the journal, newest first.
        champion_digest: Digest of the champion's bundle; only its answers count.
        read: Reads the object of a radiograph.
        score: The challenger.
        max_pixels: Limit of the service. Only files with the digest of an answered file are decoded.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    left_out: Counter[str] = Counter()
    rescored, probabilities, seconds = [], [], []
    replayed: set[str] = set()
    for answer in answers:
        try:
            tensor = _prepare_tensor(answer, champion_digest, replayed, read, max_pixels)
        except _AnswerLeftOut as error:
            left_out[error.reason] += 1
            continue
        # One at a time, because the time of each answer is compared with the journaled times.
        began = time.perf_counter()
        probabilities.append(np.asarray(score(tensor[None]), float)[0])
        seconds.append(time.perf_counter() - began)
        rescored.append(answer)
    findings = len(answers[0].probabilities) if answers else 0
    table = np.array(probabilities, float) if probabilities else np.empty((0, findings))
    return RescoredAnswers(tuple(rescored), table, np.array(seconds, float), LeftOutAnswers(**left_out))


class _AnswerLeftOut(Exception):
    """An answer that is not replayed; ``reason`` is a field of LeftOutAnswers."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _prepare_tensor(
    answer: JournaledAnswer, champion_digest: str, replayed: set[str], read: ReadRadiograph, max_pixels: int
) -> NDArray[np.uint8]:
    if answer.model_digest != champion_digest:
        raise _AnswerLeftOut("other_model")
    if answer.image_digest in replayed:
        raise _AnswerLeftOut("repeated")
    replayed.add(answer.image_digest)
    if answer.image_id is None:
        raise _AnswerLeftOut("not_kept")
    try:
        file = read(answer.image_id)
        if hashlib.sha256(file).hexdigest() != answer.image_digest:
            raise _AnswerLeftOut("changed")
        return to_tensor(read_radiograph(file, max_pixels).pixels)
    except RadiographNotFound as error:
        raise _AnswerLeftOut("gone") from error
    except (UnreadableRadiograph, RefusedRadiograph, TooLarge) as error:
        raise _AnswerLeftOut("unreadable") from error
