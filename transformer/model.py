"""The V2 model ``chest-xray``: read the request, read its radiographs, write the journal, answer."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import structlog

from pleura.contract import MODEL_NAME, TRANSFORMER_INPUTS, TRANSFORMER_OUTPUTS, TensorSpec
from pleura.deadline import Deadline
from pleura.errors import DeadlineExceeded, Overloaded, PleuraError, Unavailable
from pleura.journal_row import JournalRow
from pleura.serving.kserve_import import InferenceVerb, InferRequest, InferResponse
from pleura.serving.model import DescribedModel, Model
from pleura.serving.v2 import make_response
from pleura.serving.v2_tensors import Array
from transformer.answer import Answer
from transformer.health import DependencyMonitor
from transformer.inference import Reading
from transformer.journal.journal import Journal, JournalResult
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
class StartedRequest:
    """A request that was read, and when on the performance counter."""

    request: RadiographRequest
    since_s: float


@dataclass(frozen=True)
class AnsweredRequest:
    """A request with a reading for each of its radiographs."""

    request: RadiographRequest
    readings: tuple[Reading, ...]
    since_s: float


class ChestXrayTransformer(Model):
    """Answers V2 requests about radiographs that are named by their keys, or sent as files."""

    inputs: Sequence[TensorSpec] = TRANSFORMER_INPUTS
    outputs: Sequence[TensorSpec] = TRANSFORMER_OUTPUTS

    def __init__(
        self,
        reader: Reader,
        journal: Journal,
        monitor: DependencyMonitor,
        limits: RequestLimits,
        max_in_flight: int,
    ) -> None:
        super().__init__(MODEL_NAME)
        self._reader, self._journal, self._monitor, self._limits = reader, journal, monitor, limits
        self._max_in_flight, self._in_flight = max_in_flight, 0

    async def healthy(self) -> bool:
        """Tell whether predictor and object store answered lately. No answer needs cache or PostgreSQL."""
        return self._monitor.is_healthy

    async def describe(self) -> DescribedModel:
        """Describe the model that answers now."""
        return self._monitor.describe_model()

    async def __call__(
        self,
        body: InferRequest,
        headers: dict[str, str] | None = None,
        verb: InferenceVerb = InferenceVerb.PREDICT,
    ) -> tuple[InferResponse, dict[str, str]]:
        """Answer one request, unless too many are in flight. The log has one line for it in any case."""
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
    ) -> StartedRequest:
        """Read the request."""
        return StartedRequest(read_request(payload, headers or {}, self._limits), time.perf_counter())

    async def predict(
        self,
        payload: StartedRequest,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> AnsweredRequest:
        """Read each radiograph, from the cache or with the predictor."""
        request = payload.request
        outcomes = await self._reader.read(request.sources, request.deadline, request.trace)
        readings = require_readings(outcomes)
        # Envoy or KServe chooses the revision, so only the answer tells which one it was
        require_version(request.infer_request.model_version, readings[0])
        return AnsweredRequest(request, readings, payload.since_s)

    async def postprocess(
        self,
        result: AnsweredRequest,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> InferResponse:
        """Write the journal, then answer."""
        request, readings = result.request, result.readings
        rows = make_rows(result)
        began_s = time.perf_counter()
        # an answer leaves only when its rows are durable (docs/decisions/0009)
        journal_result = await self._write_journal(rows, request.deadline)
        ended_s = time.perf_counter()
        STAGES["journal"].observe(ended_s - began_s)
        STAGES["whole"].observe(ended_s - result.since_s)
        revision = readings[0].answer.revision
        log.info(
            "request_answered",
            outcome="ok",
            radiographs=[_pseudonym(source) for source in request.sources],
            revision=revision.version,
            cached=sum(reading.cached for reading in readings),
            journal=journal_result,
            latency_ms=_slowest(rows) | {"whole": round(1000 * (ended_s - result.since_s), 3)},
        )
        parameters: dict[str, str | bool | int] = {
            "model_digest": revision.digest,
            "preprocessing_version": readings[0].answer.preprocessing_version,
            "cached": all(reading.cached for reading in readings),
            "journal": journal_result,
        }
        arrays = make_arrays(readings, request.outputs)
        return make_response(request.infer_request, revision.version, arrays, parameters)

    async def _write_journal(self, rows: Sequence[JournalRow], deadline: Deadline) -> JournalResult:
        left_s = deadline.remaining_s
        try:
            async with asyncio.timeout(left_s):
                return await self._journal.append(rows)
        # the rows may still be written: the same request, sent again, then finds them (docs/decisions/0033)
        except TimeoutError as error:
            raise DeadlineExceeded("the time for this request has run out") from error


def require_readings(outcomes: Sequence[Reading | PleuraError]) -> tuple[Reading, ...]:
    """Give the readings when every radiograph has one.

    Raises:
        PleuraError: An error of the first failure's class. Its text names each element that failed, and why.
    """
    failures = {i: outcome for i, outcome in enumerate(outcomes) if isinstance(outcome, PleuraError)}
    if not failures:
        return tuple(outcome for outcome in outcomes if isinstance(outcome, Reading))
    first = next(iter(failures.values()))
    texts = {str(failure) for failure in failures.values()}
    if len(failures) == len(outcomes) and len(texts) == 1:
        raise first.with_text(str(first)) from first
    reasons = "; ".join(f"element {position}: {failure}" for position, failure in failures.items())
    raise first.with_text(reasons) from first


def require_version(version: str | None, reading: Reading) -> None:
    """Require that the version which the request names has answered, if it names one.

    Raises:
        Unavailable: Another version answered, during a canary or a promotion.
    """
    if version and version != reading.answer.revision.version:
        raise Unavailable("another version of the model answers now")


def make_rows(answered: AnsweredRequest) -> list[JournalRow]:
    """Make the journal rows of a request, one for each radiograph."""
    request = answered.request
    whole = {"until_journal": round(1000 * (time.perf_counter() - answered.since_s), 3)}
    return [
        make_journal_row(
            request.key,
            position,
            _object_key(source),
            reading.answer,
            {**reading.latency_ms, **whole},
            reading.cached,
        )
        for position, (source, reading) in enumerate(zip(request.sources, answered.readings, strict=True))
    ]


def make_arrays(readings: Sequence[Reading], names: Sequence[str]) -> dict[str, Array]:
    """Make the outputs that the request names, in their order."""
    answers = [reading.answer for reading in readings]
    return {name: _ARRAYS[name](answers) for name in names}


def _object_key(source: RadiographSource) -> str | None:
    return source.object_id.key if isinstance(source, StoredRadiograph) else None


def _pseudonym(source: RadiographSource) -> str | None:
    """Give a digest of the object's key for the log, since a key may contain a patient's name."""
    key = _object_key(source)
    return None if key is None else hashlib.sha256(key.encode()).hexdigest()[:12]


def _slowest(rows: Sequence[JournalRow]) -> dict[str, float]:
    """Give for each stage the time of the slowest radiograph, in milliseconds."""
    slowest: dict[str, float] = {}
    for row in rows:
        for stage, ms in row.latency_ms.items():
            slowest[stage] = max(ms, slowest.get(stage, 0.0))
    return slowest
