"""The V2 model ``chest-xray`` of the transformer."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import structlog

from pleura.contract import MODEL_NAME, TRANSFORMER_INPUTS, TRANSFORMER_OUTPUTS, TensorSpec
from pleura.errors import DeadlineExceeded, Overloaded, PleuraError, Unavailable
from pleura.journal_row import JournalRow
from pleura.serving.kserve_import import InferenceVerb, InferRequest, InferResponse
from pleura.serving.model import DescribedModel, Model
from pleura.serving.v2 import to_response
from pleura.serving.v2_tensors import Array
from transformer.answer import Answer
from transformer.health import DependencyMonitor
from transformer.inference import Reading
from transformer.journal.journal import Journal, Kept
from transformer.journal.row import make_journal_row
from transformer.metrics import STAGES
from transformer.radiograph_source import RadiographSource, StoredRadiograph
from transformer.reader import Reader
from transformer.request import RadiographRequest, RequestLimits, read_request

_ARRAYS: Final[Mapping[str, Callable[[Sequence[Answer]], Array]]] = {
    "probability": lambda answers: np.stack([answer.probability for answer in answers]),
    "present": lambda answers: np.stack([answer.present for answer in answers]),
    "typicality": lambda answers: np.array([answer.typicality for answer in answers], np.float32),
    "threshold": lambda answers: answers[0].threshold,
    "activation_map": lambda answers: np.stack([answer.activation_map for answer in answers]),
}
log = structlog.get_logger()


@dataclass(frozen=True)
class Answered:
    """A request, with a reading for each of its radiographs."""

    asked: RadiographRequest
    readings: tuple[Reading, ...]
    since_s: float


class ChestXrayTransformer(Model):
    """Answers V2 requests on radiographs, named or sent."""

    inputs: Sequence[TensorSpec] = TRANSFORMER_INPUTS
    outputs: Sequence[TensorSpec] = TRANSFORMER_OUTPUTS

    def __init__(
        self,
        reader: Reader,
        journal: Journal,
        watch: DependencyMonitor,
        limits: RequestLimits,
        max_in_flight: int,
    ) -> None:
        super().__init__(MODEL_NAME)
        self._reader, self._journal, self._watch, self._limits = reader, journal, watch, limits
        self._max_in_flight, self._in_flight = max_in_flight, 0

    async def healthy(self) -> bool:
        """Whether predictor and object store were seen lately; cache and journal only degrade."""
        return self._watch.is_healthy

    async def describe(self) -> DescribedModel:
        """The model that answers now."""
        return await self._watch.described()

    async def __call__(
        self,
        body: InferRequest,
        headers: dict[str, str] | None = None,
        verb: InferenceVerb = InferenceVerb.PREDICT,
    ) -> tuple[InferResponse, dict[str, str]]:
        """Answer one request, unless too many are in flight; one line in the log either way."""
        try:
            if self._in_flight >= self._max_in_flight:
                raise Overloaded("too many requests are in flight")
            self._in_flight += 1
            try:
                return await super().__call__(body, headers, verb)
            finally:
                self._in_flight -= 1
        except PleuraError as error:
            log.info("request_failed", outcome=error.code, status=error.status)
            raise

    async def preprocess(
        self, payload: InferRequest, headers: dict[str, str] | None = None
    ) -> tuple[RadiographRequest, float]:
        """Read the request."""
        return read_request(payload, headers or {}, self._limits), time.perf_counter()

    async def predict(
        self,
        payload: tuple[RadiographRequest, float],
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> Answered:
        """Have each radiograph read, from the cache or by the predictor."""
        asked, since_s = payload
        outcomes = await self._reader.read(asked.sources, asked.deadline, asked.trace)
        readings = readings_or_raise(outcomes)
        require_version(asked.request.model_version, readings[0])
        return Answered(asked, readings, since_s)

    async def postprocess(
        self,
        result: Answered,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> InferResponse:
        """Write the journal, then answer."""
        asked, readings = result.asked, result.readings
        entries = entries_of(result)
        began_s = time.perf_counter()
        kept = await self._keep(entries, asked)
        ended_s = time.perf_counter()
        STAGES["journal"].observe(ended_s - began_s)
        STAGES["whole"].observe(ended_s - result.since_s)
        revision = readings[0].answer.revision
        log.info(
            "request_answered",
            outcome="ok",
            radiographs=[_pseudonym(source) for source in asked.sources],
            revision=revision.version,
            cached=sum(reading.cached for reading in readings),
            journal=kept,
            latency_ms=_slowest(entries) | {"whole": round(1000 * (ended_s - result.since_s), 3)},
        )
        parameters: dict[str, str | bool | int] = {
            "model_digest": revision.digest,
            "preprocessing_version": readings[0].answer.preprocessing_version,
            "cached": all(reading.cached for reading in readings),
            "journal": kept,
        }
        arrays = arrays_of(readings, asked.outputs)
        return to_response(asked.request, revision.version, arrays, parameters)

    async def _keep(self, entries: Sequence[JournalRow], asked: RadiographRequest) -> Kept:
        left_s = asked.deadline.remaining_s
        try:
            async with asyncio.timeout(left_s):
                return await self._journal.append(entries)
        except TimeoutError as error:
            raise DeadlineExceeded("the time for this request has run out") from error


def readings_or_raise(outcomes: Sequence[Reading | PleuraError]) -> tuple[Reading, ...]:
    """Give the readings where there is one for each radiograph.

    Raises:
        PleuraError: Of the first failure's kind, naming each element that failed and why.
    """
    failures = {i: each for i, each in enumerate(outcomes) if isinstance(each, PleuraError)}
    if not failures:
        return tuple(each for each in outcomes if isinstance(each, Reading))
    first = next(iter(failures.values()))
    texts = {str(each) for each in failures.values()}
    if len(failures) == len(outcomes) and len(texts) == 1:
        raise type(first)(str(first)) from first
    reasons = "; ".join(f"element {position}: {each}" for position, each in failures.items())
    raise type(first)(reasons) from first


def require_version(version: str | None, reading: Reading) -> None:
    """Let no other version answer than the one that was asked for, if one was.

    Raises:
        Unavailable: Another did: a canary or a promotion is under way.
    """
    if version and version != reading.answer.revision.version:
        raise Unavailable("another version of the model answers now")


def entries_of(answered: Answered) -> list[JournalRow]:
    """The journal's rows for a request."""
    asked = answered.asked
    whole = {"until_journal": round(1000 * (time.perf_counter() - answered.since_s), 3)}
    return [
        make_journal_row(
            asked.asker, i, _id_of(source), reading.answer, {**reading.latency_ms, **whole}, reading.cached
        )
        for i, (source, reading) in enumerate(zip(asked.sources, answered.readings, strict=True))
    ]


def arrays_of(readings: Sequence[Reading], names: Sequence[str]) -> dict[str, Array]:
    """The outputs that were asked for, in that order."""
    answers = [reading.answer for reading in readings]
    return {name: _ARRAYS[name](answers) for name in names}


def _id_of(source: RadiographSource) -> str | None:
    return source.object_id.key if isinstance(source, StoredRadiograph) else None


def _pseudonym(source: RadiographSource) -> str | None:
    """Who knows an object's id finds it in the log; its name, which may be a patient's, stands nowhere."""
    object_id = _id_of(source)
    return None if object_id is None else hashlib.sha256(object_id.encode()).hexdigest()[:12]


def _slowest(entries: Sequence[JournalRow]) -> dict[str, float]:
    stages: Mapping[str, float] = {}
    for entry in entries:
        stages = {name: max(ms, stages.get(name, 0.0)) for name, ms in {**stages, **entry.latency_ms}.items()}
    return dict(stages)
