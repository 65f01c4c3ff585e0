"""From radiographs, named or sent, to answers: look up, fetch, decode, predict, keep.

Whoever asks for the same radiograph at the same time shares one flight, which includes the look-up in the
cache and the keeping of the answer. All answers of one request come from one revision.

An answer is about the object as it was at some time since it was asked for. What is fetched is that; an
answer from the cache, or of a flight that others began, counts once the store has confirmed its ETag.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from pleura.deadline import Deadline
from pleura.errors import Overloaded, PleuraError
from transformer.answers import Answer
from transformer.cache import AnswerCache
from transformer.cache_entry import Cached
from transformer.metrics import LOOK_UPS, count_answers
from transformer.predictor import Predictor
from transformer.single_flight import Group, SingleFlight
from transformer.sources import Known, Source, Stored, digest_of, known_of
from transformer.stages import Clock
from transformer.store import Store

_FILES_AT_ONCE: Final = 8
_ALWAYS: Final = float("inf")
Latency = Mapping[str, float]


class Decoders(Protocol):
    """What turns a file into the predictor's tensor: processes apart, since files may be hostile."""

    async def prepare(self, file: bytes, deadline: Deadline) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, eq=False)
class Reading:
    """An answer, whether it was cached, and the milliseconds that each stage took."""

    answer: Answer
    cached: bool
    latency_ms: Latency


@dataclass(frozen=True)
class Content:
    """What a radiograph's file was found to hold.

    ``tag`` is the ETag of what is stored, None where there was none to be had, or the SHA-256 of what is
    sent. ``asked_s`` is when the store was asked, in monotonic seconds; what is sent stays what it is.
    """

    tag: str | None
    asked_s: float = _ALWAYS


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a radiograph of that content."""

    reading: Reading | PleuraError
    content: Content


@dataclass(frozen=True, eq=False)
class Prepared:
    """A radiograph as the predictor takes it."""

    tensor: NDArray[np.uint8]
    image_digest: str
    content: Content
    latency_ms: Latency


Outcomes = Mapping[str, Outcome]
"""By key."""


class Reader:
    """Reads radiographs; one for the life of the service."""

    def __init__(
        self, store: Store, decoders: Decoders, predictor: Predictor, cache: AnswerCache, max_reading: int
    ) -> None:
        self._store, self._decoders, self._predictor, self._cache = store, decoders, predictor, cache
        self._max_reading, self._reading = max_reading, 0
        self._flights: SingleFlight[Outcome] = SingleFlight()
        self._files = asyncio.Semaphore(_FILES_AT_ONCE)

    async def read(
        self, sources: Sequence[Source], deadline: Deadline, trace: Mapping[str, str]
    ) -> list[Reading | PleuraError]:
        """Give for each radiograph its answer, or why there is none.

        Raises:
            DeadlineExceeded: The request's time ran out.
            Overloaded: Too many are being read to read one anew, which another's answer does not hold for.
        """
        asked_s = time.monotonic()
        named = [await known_of(source) for source in sources]
        known = {each.key: each for each in named}
        flown = await self._flights.run(tuple(known), deadline, lambda group: self._fly(group, known, trace))
        outcomes = {key: _outcome(each) for key, each in flown.items()}
        shared = [known[key] for key, each in outcomes.items() if each.content.asked_s < asked_s]
        if shared:
            outcomes |= await self._checked(shared, outcomes, deadline, trace)
        if len(_revisions(outcomes)) > 1:
            # in a canary, cached answers and new ones may come from two revisions: ask once more, for all
            outcomes |= await self._read_anew(tuple(known.values()), deadline, trace)
        return [_after(each.latency_ms, outcomes[each.key]).reading for each in named]

    async def _fly(self, group: Group[Outcome], known: Mapping[str, Known], trace: Mapping[str, str]) -> None:
        clock = Clock()
        found = await self._cache.find(group.keys)
        clock.end("cache")
        confirmed = await asyncio.gather(*(self._confirmed(known[k], c, group) for k, c in found.items()))
        landed = {key: outcome for key, outcome in zip(found, confirmed, strict=True) if outcome}
        for key, outcome in landed.items():
            group.land(key, _after(clock.latency_ms, outcome))
        missing = [known[key] for key in group.keys if key not in landed]
        fresh = await self._infer(missing, group, trace)
        for key, outcome in fresh.items():
            group.land(key, _after(clock.latency_ms, outcome))
        await self._keep(fresh)

    async def _confirmed(self, known: Known, cached: Cached, limits: "_Limits") -> Outcome | None:
        """The answer that was found, where it is about what is there now."""
        clock, asked_s = Clock(), time.monotonic()
        content = await self._content_of(known, limits.deadline)
        if isinstance(content, PleuraError):
            return Outcome(content, Content(None, asked_s))
        if isinstance(known.source, Stored):
            clock.end("stat")
        if content.tag != cached.tag:
            LOOK_UPS["replaced"].inc()
            return None
        LOOK_UPS["hit"].inc()
        return Outcome(Reading(cached.answer, True, clock.latency_ms), content)

    async def _content_of(self, known: Known, deadline: Deadline) -> Content | PleuraError:
        """What a radiograph holds now, or why nobody can say."""
        asked_s = time.monotonic()
        if not isinstance(known.source, Stored):
            return Content(known.tag)
        try:
            return Content(await self._store.etag_of(known.source.object_id, deadline), asked_s)
        except PleuraError as error:
            return error

    async def _checked(
        self, shared: Sequence[Known], outcomes: Outcomes, deadline: Deadline, trace: Mapping[str, str]
    ) -> Outcomes:
        """Those outcomes of others that do not hold for who asks now, made right."""
        checked, outdated = dict[str, Outcome](), []
        contents = await asyncio.gather(*(self._content_of(each, deadline) for each in shared))
        for each, content in zip(shared, contents, strict=True):
            if isinstance(content, PleuraError):
                checked[each.key] = Outcome(content, Content(None))
            elif content.tag != outcomes[each.key].content.tag:
                outdated.append(each)
        return checked | dict(await self._read_anew(outdated, deadline, trace))

    async def _read_anew(
        self, radiographs: Sequence[Known], deadline: Deadline, trace: Mapping[str, str]
    ) -> Outcomes:
        """Read without the cache, and without sharing the work with others."""
        fresh = await self._infer(radiographs, _Own(deadline), trace)
        await self._keep(fresh)
        return fresh

    async def _infer(
        self, radiographs: Sequence[Known], limits: "_Limits", trace: Mapping[str, str]
    ) -> Outcomes:
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
    ) -> Outcomes:
        done = await asyncio.gather(*(self._prepare(each, limits) for each in radiographs))
        by_key = {each.key: prepared for each, prepared in zip(radiographs, done, strict=True)}
        outcomes = {key: each for key, each in by_key.items() if isinstance(each, Outcome)}
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
            reading = Reading(answer, False, {**prepared.latency_ms, **clock.latency_ms})
            outcomes[key] = Outcome(reading, prepared.content)
        return outcomes

    async def _prepare(self, radiograph: Known, limits: "_Limits") -> Prepared | Outcome:
        clock, content = Clock(), Content(radiograph.tag)
        try:
            async with self._files:
                clock.end("queue")
                if isinstance(radiograph.source, Stored):
                    content = Content(None, time.monotonic())
                    fetched = await self._store.read(radiograph.source.object_id, limits.deadline)
                    file, content = fetched.file, Content(fetched.etag, content.asked_s)
                else:
                    file = radiograph.source.file
                clock.end("fetch")
                tensor, digest = await asyncio.gather(
                    self._decoders.prepare(file, limits.deadline), _digest_of(radiograph, file)
                )
                clock.end("decode")
        except PleuraError as error:
            return Outcome(error, content)
        return Prepared(tensor, digest, content, clock.latency_ms)

    async def _keep(self, outcomes: Outcomes) -> None:
        await self._cache.keep(
            {
                key: Cached(each.reading.answer, each.content.tag or "")
                for key, each in outcomes.items()
                if isinstance(each.reading, Reading)
            }
        )


class _Limits(Protocol):
    @property
    def deadline(self) -> Deadline: ...


@dataclass(frozen=True)
class _Own:
    deadline: Deadline


async def _digest_of(radiograph: Known, file: bytes) -> str:
    """The SHA-256: known of what was sent; of what was stored reckoned while it is decoded."""
    return await digest_of(file) if isinstance(radiograph.source, Stored) else radiograph.tag or ""


def _outcome(flown: Outcome | PleuraError) -> Outcome:
    """What a flight came to; where it failed as a whole, that says nothing of any content."""
    return Outcome(flown, Content(None)) if isinstance(flown, PleuraError) else flown


def _after(latency_ms: Latency, outcome: Outcome) -> Outcome:
    reading = outcome.reading
    if isinstance(reading, PleuraError) or not latency_ms:
        return outcome
    whole_ms = {**latency_ms, **reading.latency_ms}
    return Outcome(Reading(reading.answer, reading.cached, whole_ms), outcome.content)


def _revisions(outcomes: Outcomes) -> set[object]:
    return {each.reading.answer.revision for each in outcomes.values() if isinstance(each.reading, Reading)}
