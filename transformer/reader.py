"""From radiographs, named or sent, to answers: look up, fetch, decode, predict, keep.

Whoever asks for the same radiograph at the same time shares one flight, which includes the look-up in the
cache and the keeping of the answer. All answers of one request come from one revision.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from pleura.deadline import Deadline
from pleura.errors import Overloaded, PleuraError
from transformer.answer import Answer
from transformer.cache.answer_cache import AnswerCache
from transformer.cache.entry import CachedAnswer
from transformer.coalescing import Group, SingleFlight
from transformer.metrics import LOOK_UPS, count_answers
from transformer.naming import Known, Naming
from transformer.object_store import ObjectStore, RadiographChanged
from transformer.predictor_client import PredictorClient
from transformer.radiograph_source import Source, StoredRadiograph, digest_of
from transformer.stage_clock import StageClock

_FILES_AT_ONCE: Final = 8
Latency = Mapping[str, float]


class Decoders(Protocol):
    """What turns a file into the predictor's tensor: processes apart, since files may be hostile."""

    async def prepare(self, file: bytes, deadline: Deadline) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, eq=False)
class Prepared:
    """A radiograph as the predictor takes it, and the content it was made of."""

    tensor: NDArray[np.uint8]
    image_digest: str
    tag: str
    latency_ms: Latency


@dataclass(frozen=True, eq=False)
class Reading:
    """An answer, the content it is about, whether it was cached, and the milliseconds of each stage."""

    answer: Answer
    tag: str
    cached: bool
    latency_ms: Latency


Outcomes = Mapping[str, Reading | PleuraError]
"""By flight."""


class Reader:
    """Reads radiographs; one for the life of the service."""

    def __init__(
        self,
        store: ObjectStore,
        decoders: Decoders,
        predictor: PredictorClient,
        cache: AnswerCache,
        max_reading: int,
    ) -> None:
        self._store, self._decoders, self._predictor, self._cache = store, decoders, predictor, cache
        self._max_reading, self._reading = max_reading, 0
        self._naming = Naming(store)
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
        named = await asyncio.gather(*(self._naming.name(source, deadline) for source in sources))
        # nothing is waited for from here until flights are joined: those that are under way still are then
        named = [self._naming.boarding(each) if isinstance(each, Known) else each for each in named]
        known = {each.flight: each for each in named if isinstance(each, Known)}
        outcomes: Outcomes = {}
        if known:
            outcomes = await self._flights.run(
                tuple(known), deadline, lambda group: self._fly(group, known, trace)
            )
        if len(_revisions(outcomes)) > 1:
            outcomes = await self._read_anew(known, deadline, trace)
        return [_outcome(each, outcomes) for each in named]

    async def _fly(self, group: Group[Reading], known: Mapping[str, Known], trace: Mapping[str, str]) -> None:
        with self._naming.flying([known[flight] for flight in group.keys]) as flying:
            clock = StageClock()
            found = await self._cache.find([each.key for each in flying])
            clock.end("cache")
            hits = [each for each in flying if each.key in found]
            confirmed = await asyncio.gather(
                *(self._confirmed(each, found[each.key], group) for each in hits)
            )
            landed = {each.flight: out for each, out in zip(hits, confirmed, strict=True) if out is not None}
            for flight, outcome in landed.items():
                group.land(flight, _after(clock.latency_ms, outcome))
            missing = [each for each in flying if each.flight not in landed]
            fresh = await self._infer(missing, group, trace)
            for flight, outcome in fresh.items():
                group.land(flight, _after(clock.latency_ms, outcome))
            await self._keep(known, fresh)

    async def _confirmed(
        self, known: Known, cached: CachedAnswer, limits: "_Limits"
    ) -> Reading | PleuraError | None:
        """The answer that was found, where it is about what is there now."""
        clock, tag = StageClock(), known.tag
        if tag is None and isinstance(known.source, StoredRadiograph):
            try:
                tag = await self._store.etag_of(known.source.object_id, limits.deadline)
            except PleuraError as error:
                LOOK_UPS["unconfirmed"].inc()
                known.saw(None)
                return error
            clock.end("stat")
        if cached.tag != tag:
            LOOK_UPS["replaced"].inc()
            return None
        LOOK_UPS["hit"].inc()
        known.saw(cached.tag)
        return Reading(cached.answer, cached.tag, True, clock.latency_ms)

    async def _read_anew(
        self, known: Mapping[str, Known], deadline: Deadline, trace: Mapping[str, str]
    ) -> Outcomes:
        # in a canary, cached answers and new ones may come from two revisions: ask once more, for all
        fresh = await self._infer(tuple(known.values()), _Own(deadline), trace)
        await self._keep(known, fresh)
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
        by_flight = {each.flight: prepared for each, prepared in zip(radiographs, done, strict=True)}
        outcomes: dict[str, Reading | PleuraError] = {
            flight: each for flight, each in by_flight.items() if isinstance(each, PleuraError)
        }
        ready = {flight: each for flight, each in by_flight.items() if isinstance(each, Prepared)}
        if not ready:
            return outcomes
        clock = StageClock()
        tensors = np.stack([each.tensor for each in ready.values()])
        prediction = await self._predictor.predict(tensors, limits.deadline, trace)
        self._cache.marks.see(prediction.revision)
        clock.end("predict")
        answers = prediction.answers([each.image_digest for each in ready.values()])
        count_answers(answers)
        for (flight, prepared), answer in zip(ready.items(), answers, strict=True):
            latency_ms = {**prepared.latency_ms, **clock.latency_ms}
            outcomes[flight] = Reading(answer, prepared.tag, False, latency_ms)
        return outcomes

    async def _prepare(self, radiograph: Known, limits: "_Limits") -> Prepared | PleuraError:
        clock = StageClock()
        try:
            async with self._files:
                clock.end("queue")
                file, tag = await self._file_of(radiograph, limits.deadline)
                clock.end("fetch")
                tensor, digest = await asyncio.gather(
                    self._decoders.prepare(file, limits.deadline), _digest_of(radiograph.source, file, tag)
                )
                clock.end("decode")
        except PleuraError as error:
            return error
        return Prepared(tensor, digest, tag, clock.latency_ms)

    async def _file_of(self, radiograph: Known, deadline: Deadline) -> tuple[bytes, str]:
        """The file, and the tag of its content."""
        source = radiograph.source
        if isinstance(source, StoredRadiograph):
            try:
                fetched = await self._store.read(source.object_id, deadline, radiograph.tag)
            except PleuraError:
                radiograph.saw(None)
                raise
            radiograph.saw(fetched.etag)
            return fetched.file, fetched.etag
        assert radiograph.tag is not None  # what is sent has been hashed
        return source.file, radiograph.tag

    async def _keep(self, known: Mapping[str, Known], outcomes: Outcomes) -> None:
        await self._cache.keep(
            {
                known[flight].key: CachedAnswer(each.answer, each.tag)
                for flight, each in outcomes.items()
                if isinstance(each, Reading)
            }
        )


class _Limits(Protocol):
    @property
    def deadline(self) -> Deadline: ...


@dataclass(frozen=True)
class _Own:
    deadline: Deadline


async def _digest_of(source: Source, file: bytes, tag: str) -> str:
    """The SHA-256: the tag of what was sent; of what was stored reckoned while it is decoded."""
    return await digest_of(file) if isinstance(source, StoredRadiograph) else tag


def _after(latency_ms: Latency, outcome: Reading | PleuraError) -> Reading | PleuraError:
    if isinstance(outcome, PleuraError) or not latency_ms:
        return outcome
    return replace(outcome, latency_ms={**latency_ms, **outcome.latency_ms})


def _revisions(outcomes: Outcomes) -> set[object]:
    return {each.answer.revision for each in outcomes.values() if isinstance(each, Reading)}


def _outcome(named: Known | PleuraError, outcomes: Outcomes) -> Reading | PleuraError:
    if isinstance(named, PleuraError):
        return named
    return _after(named.latency_ms, outcomes[named.flight])
