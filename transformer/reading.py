"""From radiographs, named or sent, to answers: look up, fetch, decode, predict, keep.

Whoever asks for the same radiograph at the same time shares one flight, which includes the look-up in the
cache and the keeping of the answer. All answers of one request come from one revision.
"""

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from pleura.deadline import Deadline
from pleura.errors import Overloaded, PleuraError
from transformer.answers import Answer
from transformer.cache import AnswerCache, key_of
from transformer.metrics import STAGES, count_answers
from transformer.object_id import ObjectId
from transformer.predictor import Predictor
from transformer.single_flight import Group, SingleFlight
from transformer.store import RadiographChanged, Store

_FILES_AT_ONCE: Final = 8
_HASHED_IN_THREAD: Final = 2**19
Latency = Mapping[str, float]


class Decoders(Protocol):
    """What turns a file into the predictor's tensor: processes apart, since files may be hostile."""

    async def prepare(self, file: bytes, deadline: Deadline) -> NDArray[np.uint8]: ...


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
    """A radiograph, and the key that stands for its very content.

    ``tag`` is what the key was made of: the ETag of what is stored, the SHA-256 of what is sent.
    """

    source: Source
    key: str
    tag: str
    latency_ms: Latency


@dataclass(frozen=True, eq=False)
class Prepared:
    """A radiograph as the predictor takes it."""

    tensor: NDArray[np.uint8]
    image_digest: str
    latency_ms: Latency


@dataclass(frozen=True, eq=False)
class Reading:
    """An answer, whether it was cached, and the milliseconds that each stage took."""

    answer: Answer
    cached: bool
    latency_ms: Latency


class Clock:
    """Milliseconds of the stages that have ended."""

    def __init__(self) -> None:
        self.latency_ms: dict[str, float] = {}
        self._since_s = time.perf_counter()

    def end(self, stage: str) -> None:
        """Note that a stage has ended, and the next begun."""
        now = time.perf_counter()
        STAGES[stage].observe(now - self._since_s)
        self.latency_ms[stage] = round(1000 * (now - self._since_s), 3)
        self._since_s = now


class Reader:
    """Reads radiographs; one for the life of the service."""

    def __init__(
        self, store: Store, decoders: Decoders, predictor: Predictor, cache: AnswerCache, max_reading: int
    ) -> None:
        self._store, self._decoders, self._predictor, self._cache = store, decoders, predictor, cache
        self._max_reading, self._reading = max_reading, 0
        self._flights: SingleFlight[Reading] = SingleFlight()
        self._files = asyncio.Semaphore(_FILES_AT_ONCE)

    async def read(
        self, sources: Sequence[Source], deadline: Deadline, trace: Mapping[str, str]
    ) -> list[Reading | PleuraError]:
        """Give for each radiograph its answer, or why there is none.

        Raises:
            DeadlineExceeded: The request's time ran out.
        """
        outcomes = await self._read(sources, deadline, trace)
        if any(isinstance(each, RadiographChanged) for each in outcomes):
            outcomes = await self._read(sources, deadline, trace)
        return outcomes

    async def _read(
        self, sources: Sequence[Source], deadline: Deadline, trace: Mapping[str, str]
    ) -> list[Reading | PleuraError]:
        named = await asyncio.gather(*(self._name(source, deadline) for source in sources))
        known = {each.key: each for each in named if isinstance(each, Known)}
        outcomes: Mapping[str, Reading | PleuraError] = {}
        if known:
            outcomes = await self._flights.run(
                tuple(known), deadline, lambda group: self._fly(group, known, trace)
            )
        if len(_revisions(outcomes)) > 1:
            outcomes = await self._read_anew(known, deadline, trace)
        return [_outcome(each, outcomes) for each in named]

    async def _name(self, source: Source, deadline: Deadline) -> Known | PleuraError:
        clock = Clock()
        if isinstance(source, Sent):
            digest = await _digest_of(source.file)
            clock.end("hash")
            return Known(source, key_of("file", digest), digest, clock.latency_ms)
        try:
            stat = await self._store.stat(source.object_id, deadline)
        except PleuraError as error:
            return error
        clock.end("stat")
        return Known(source, key_of("object", source.object_id.key, stat.etag), stat.etag, clock.latency_ms)

    async def _fly(self, group: Group[Reading], known: Mapping[str, Known], trace: Mapping[str, str]) -> None:
        clock = Clock()
        found = await self._cache.find(group.keys)
        clock.end("cache")
        for key, answer in found.items():
            group.land(key, Reading(answer, True, clock.latency_ms))
        missing = [known[key] for key in group.keys if key not in found]
        fresh = await self._infer(missing, group, trace)
        for key, outcome in fresh.items():
            group.land(key, _after(clock.latency_ms, outcome))
        await self._keep(fresh)

    async def _read_anew(
        self, known: Mapping[str, Known], deadline: Deadline, trace: Mapping[str, str]
    ) -> Mapping[str, Reading | PleuraError]:
        # in a canary, cached answers and new ones may come from two revisions: ask once more, for all
        fresh = await self._infer(tuple(known.values()), _Own(deadline), trace)
        await self._keep(fresh)
        return fresh

    async def _infer(
        self, radiographs: Sequence[Known], limits: "_Limits", trace: Mapping[str, str]
    ) -> dict[str, Reading | PleuraError]:
        """Fetch and decode each, and have all that could be decoded judged in one call.

        Raises:
            Overloaded: Too many are being read already.
        """
        if self._reading + len(radiographs) > self._max_reading:
            raise Overloaded("too many radiographs are being read")
        self._reading += len(radiographs)
        try:
            return await self._infer_admitted(radiographs, limits, trace)
        finally:
            self._reading -= len(radiographs)

    async def _infer_admitted(
        self, radiographs: Sequence[Known], limits: "_Limits", trace: Mapping[str, str]
    ) -> dict[str, Reading | PleuraError]:
        done = await asyncio.gather(*(self._prepare(each, limits) for each in radiographs))
        by_key = {each.key: prepared for each, prepared in zip(radiographs, done, strict=True)}
        outcomes: dict[str, Reading | PleuraError] = {
            key: each for key, each in by_key.items() if isinstance(each, PleuraError)
        }
        ready = {key: each for key, each in by_key.items() if isinstance(each, Prepared)}
        if not ready:
            return outcomes
        clock = Clock()
        tensors = np.stack([each.tensor for each in ready.values()])
        prediction = await self._predictor.predict(tensors, limits.deadline, trace)
        self._cache.marks.see(prediction.revision)
        clock.end("predict")
        answers = prediction.answers([each.image_digest for each in ready.values()])
        count_answers(answers)
        for (key, prepared), answer in zip(ready.items(), answers, strict=True):
            outcomes[key] = Reading(answer, False, {**prepared.latency_ms, **clock.latency_ms})
        return outcomes

    async def _prepare(self, radiograph: Known, limits: "_Limits") -> Prepared | PleuraError:
        clock = Clock()
        try:
            async with self._files:
                clock.end("queue")
                file = await self._file_of(radiograph, limits.deadline)
                clock.end("fetch")
                tensor, digest = await asyncio.gather(
                    self._decoders.prepare(file, limits.deadline), self._digest(radiograph, file)
                )
                clock.end("decode")
        except PleuraError as error:
            return error
        return Prepared(tensor, digest, clock.latency_ms)

    async def _file_of(self, radiograph: Known, deadline: Deadline) -> bytes:
        source = radiograph.source
        if isinstance(source, Sent):
            return source.file
        return await self._store.read(source.object_id, radiograph.tag, deadline)

    async def _digest(self, radiograph: Known, file: bytes) -> str:
        """The SHA-256: known of what was sent; of what was stored reckoned while it is decoded."""
        return radiograph.tag if isinstance(radiograph.source, Sent) else await _digest_of(file)

    async def _keep(self, outcomes: Mapping[str, Reading | PleuraError]) -> None:
        await self._cache.keep(
            {key: each.answer for key, each in outcomes.items() if isinstance(each, Reading)}
        )


class _Limits(Protocol):
    @property
    def deadline(self) -> Deadline: ...


@dataclass(frozen=True)
class _Own:
    deadline: Deadline


async def _digest_of(file: bytes) -> str:
    """The SHA-256 of a file, in hex; of a large one it is reckoned beside the event loop."""

    def digest() -> str:
        return hashlib.sha256(file).hexdigest()

    return digest() if len(file) < _HASHED_IN_THREAD else await asyncio.to_thread(digest)


def _after(latency_ms: Latency, outcome: Reading | PleuraError) -> Reading | PleuraError:
    if isinstance(outcome, PleuraError):
        return outcome
    return Reading(outcome.answer, outcome.cached, {**latency_ms, **outcome.latency_ms})


def _revisions(outcomes: Mapping[str, Reading | PleuraError]) -> set[object]:
    return {each.answer.revision for each in outcomes.values() if isinstance(each, Reading)}


def _outcome(
    named: Known | PleuraError, outcomes: Mapping[str, Reading | PleuraError]
) -> Reading | PleuraError:
    if isinstance(named, PleuraError):
        return named
    return _after(named.latency_ms, outcomes[named.key])
