"""The way from a radiograph's content to a new answer: fetch, decode, predict."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from pleura.deadline import Deadline
from pleura.errors import Overloaded, PleuraError, RefusedRadiograph
from pleura.radiograph.observations import RadiographObservation
from transformer.coalescing import SharedWork
from transformer.decoding.decoded_radiograph import DecodedRadiograph
from transformer.metrics import count_answers
from transformer.object_store import RadiographStore
from transformer.outcome import Outcome, Reading, Refusal
from transformer.predictor_client import PredictorClient
from transformer.pseudonyms import PseudonymKeys, Pseudonyms
from transformer.radiograph_source import RadiographContent, SentRadiograph, digest_file
from transformer.refusal_policy import Judgement, RefusalPolicy
from transformer.stage_clock import StageClock

_FILES_AT_ONCE: Final = 8


class Decoders(Protocol):
    """Separate processes that turn a file into the predictor's tensor, since a file may be hostile."""

    async def prepare(self, file: bytes, deadline: Deadline) -> DecodedRadiograph: ...


Outcomes = Mapping[RadiographContent, Outcome]
"""The reading of each content, or why there is none."""


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A radiograph as the predictor takes it, and the content that it was made of."""

    decoded: DecodedRadiograph
    pseudonyms: Pseudonyms
    image_digest: str
    tag: str
    latency_ms: Mapping[str, float]


class Inference:
    """Fetches, decodes and judges radiographs, ``max_reading`` of them at one time."""

    def __init__(
        self,
        store: RadiographStore,
        decoders: Decoders,
        predictor: PredictorClient,
        policy: RefusalPolicy,
        max_reading: int,
        pseudonym_keys: PseudonymKeys,
    ) -> None:
        self._pseudonym_keys = pseudonym_keys
        self._store, self._decoders, self._predictor, self._policy = store, decoders, predictor, policy
        self._max_reading, self._reading = max_reading, 0
        self._files = asyncio.Semaphore(_FILES_AT_ONCE)

    @property
    def checks_pixels(self) -> bool:
        """Whether the predictor is asked what its input check says of the pixels."""
        return self._predictor.asks_for_flags

    async def infer(
        self, contents: Sequence[RadiographContent], trace: Mapping[str, str], work: SharedWork[Outcomes]
    ) -> Outcomes:
        """Fetch and decode each radiograph, then let one call of the predictor judge all that decode."""
        if self._reading + len(contents) > self._max_reading:
            return dict.fromkeys(contents, Overloaded("too many radiographs are being read"))
        self._reading += len(contents)
        try:
            prepared = await asyncio.gather(*(self._prepare(content, work) for content in contents))
            return await self._predict(dict(zip(contents, prepared, strict=True)), trace, work)
        finally:
            self._reading -= len(contents)

    async def _prepare(
        self, content: RadiographContent, work: SharedWork[Outcomes]
    ) -> _Prepared | Refusal | PleuraError:
        clock = StageClock()
        try:
            async with self._files:
                clock.end("queue")
                file, tag = await self._fetch(content, work.deadline)
                clock.end("fetch")
                # only the answer needs the digest: hashing 2 MB before decoding would cost 1.4 ms more
                decoded, digest = await asyncio.gather(
                    self._decode(file, work.deadline), _image_digest(content, file)
                )
                clock.end("decode")
        except PleuraError as error:
            return error
        if isinstance(decoded, RadiographObservation):
            return Refusal(Judgement(refused=(decoded,)), digest, False, clock.latency_ms)
        pseudonyms = self._pseudonym_keys.make_pseudonyms(decoded.identifiers)
        judgement = self._policy.judge(decoded.observations)
        if judgement.refused:  # the predictor has nothing to add
            return Refusal(judgement, digest, False, clock.latency_ms, pseudonyms=pseudonyms)
        return _Prepared(decoded, pseudonyms, digest, tag, clock.latency_ms)

    async def _decode(self, file: bytes, deadline: Deadline) -> DecodedRadiograph | RadiographObservation:
        """Decode a file, or give the reason why nobody can say what radiograph it shows."""
        try:
            return await self._decoders.prepare(file, deadline)
        except RefusedRadiograph as error:
            return RadiographObservation(error.reason, error.text)

    async def _fetch(self, content: RadiographContent, deadline: Deadline) -> tuple[bytes, str]:
        """Give the file of exactly this content, and its tag."""
        if isinstance(content.source, SentRadiograph):
            return content.source.file, content.tag
        fetched = await self._store.read(content.source.object_id, deadline, content.tag)
        return fetched.file, fetched.etag

    async def _predict(
        self,
        prepared: Mapping[RadiographContent, _Prepared | Refusal | PleuraError],
        trace: Mapping[str, str],
        work: SharedWork[Outcomes],
    ) -> Outcomes:
        outcomes: dict[RadiographContent, Outcome] = {
            content: failure for content, failure in prepared.items() if not isinstance(failure, _Prepared)
        }
        ready = {content: one for content, one in prepared.items() if isinstance(one, _Prepared)}
        if not ready:
            return outcomes
        clock = StageClock()
        tensors = np.stack([radiograph.decoded.tensor for radiograph in ready.values()])
        try:
            prediction = await self._predictor.predict(tensors, work.deadline, trace)
        except PleuraError as error:
            return outcomes | dict.fromkeys(ready, error)
        clock.end("predict")
        answers = prediction.answers(
            [radiograph.image_digest for radiograph in ready.values()],
            [radiograph.decoded.observations for radiograph in ready.values()],
        )
        count_answers([each for each in answers if not self._policy.judge(each.observations).refused])
        for (content, radiograph), answer in zip(ready.items(), answers, strict=True):
            latency_ms = {**radiograph.latency_ms, **clock.latency_ms}
            outcomes[content] = Reading(
                answer, radiograph.tag, False, latency_ms, pseudonyms=radiograph.pseudonyms
            )
        return outcomes


async def _image_digest(content: RadiographContent, file: bytes) -> str:
    """Give the SHA-256 of the file; that of a sent file is known already."""
    return content.tag if isinstance(content.source, SentRadiograph) else await digest_file(file)
