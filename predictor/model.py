"""The V2 model ``chest-xray`` of the predictor."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import structlog

from pleura.contract import (
    ACTIVATION_MAP,
    DISTANCE,
    INPUT_FLAGS_OUTPUT,
    MAX_RADIOGRAPHS,
    PREDICTOR_DEFAULT_OUTPUTS,
    PREDICTOR_INPUT,
    PREDICTOR_OUTPUTS,
    PROBABILITY,
    SIZE_PX,
    THRESHOLD,
    TYPICALITY,
    TensorSpec,
)
from pleura.deadline import Deadline
from pleura.errors import InvalidRequest, PleuraError
from pleura.serving.kserve_import import InferenceVerb, InferRequest, InferResponse
from pleura.serving.model import DescribedModel, Model
from pleura.serving.v2 import make_response, select_outputs
from pleura.serving.v2_tensors import Array, array_of_input
from predictor.batching import Batcher
from predictor.engines.engine import GraphOutputs, Radiographs
from predictor.engines.input_flags import flag_inputs
from predictor.health import ModelHealth

_PROBE_S: Final = 4.0
log = structlog.get_logger()


@dataclass(frozen=True)
class PredictRequest:
    """A valid inference request."""

    request: InferRequest
    radiographs: Radiographs
    outputs: tuple[str, ...]
    deadline: Deadline


def read_radiographs(request: InferRequest) -> Radiographs:
    """Read the radiographs of a request.

    Raises:
        InvalidRequest: The request does not have exactly the one input, as UINT8 [N, 224, 224, 1] with N in
            1..32.
    """
    names = [infer_input.name for infer_input in request.inputs]
    if names != [PREDICTOR_INPUT.name]:
        raise InvalidRequest(f"the model takes exactly one input, {PREDICTOR_INPUT.name!r}")
    infer_input = request.inputs[0]
    if infer_input.datatype != PREDICTOR_INPUT.datatype:
        raise InvalidRequest(f"input {PREDICTOR_INPUT.name!r} must be {PREDICTOR_INPUT.datatype}")
    shape = list(infer_input.shape)
    if len(shape) != 4 or shape[1:] != list(PREDICTOR_INPUT.shape[1:]):
        raise InvalidRequest(
            f"input {PREDICTOR_INPUT.name!r} must have the shape [N, {SIZE_PX}, {SIZE_PX}, 1]"
        )
    if not 1 <= shape[0] <= MAX_RADIOGRAPHS:
        raise InvalidRequest(f"a request holds 1 to {MAX_RADIOGRAPHS} radiographs")
    return np.ascontiguousarray(array_of_input(infer_input), np.uint8)


class ChestXrayPredictor(Model):
    """Answers V2 requests with one model, in batches."""

    inputs: Sequence[TensorSpec] = (PREDICTOR_INPUT,)

    def __init__(
        self, described: DescribedModel, batcher: Batcher, health: ModelHealth, timeout_s: float
    ) -> None:
        super().__init__(described.description.name)
        self._described, self._batcher, self._health = described, batcher, health
        self._timeout_s = timeout_s
        self._thresholds = np.array(described.description.thresholds, np.float32)
        # a model of an earlier version has no input check, and so no distance
        absent = set() if described.description.input_check else {DISTANCE}
        self.outputs: Sequence[TensorSpec] = [spec for spec in PREDICTOR_OUTPUTS if spec.name not in absent]
        self._default_outputs = [name for name in PREDICTOR_DEFAULT_OUTPUTS if name not in absent]

    async def healthy(self) -> bool:
        """Tell whether the model answered recently."""
        return self._health.is_ready

    async def describe(self) -> DescribedModel:
        """Describe the bundle that answers."""
        return self._described

    async def __call__(
        self,
        body: InferRequest,
        headers: dict[str, str] | None = None,
        verb: InferenceVerb = InferenceVerb.PREDICT,
    ) -> tuple[InferResponse, dict[str, str]]:
        """Answer one request through kserve's hooks, and log one line."""
        started_s = time.perf_counter()
        outcome = "answered"
        try:
            return await super().__call__(body, headers, verb)
        except PleuraError as error:
            outcome = error.code
            raise
        except BaseException:
            outcome = "failed"
            raise
        finally:
            seconds = round(time.perf_counter() - started_s, 4)
            log.info("request", outcome=outcome, seconds=seconds, revision=self._version)

    async def preprocess(
        self, payload: InferRequest, headers: dict[str, str] | None = None
    ) -> PredictRequest:
        """Read the request.

        Raises:
            InvalidRequest: The model does not have these inputs or outputs.
        """
        deadline = Deadline.from_headers(headers or {}, self._timeout_s)
        names = select_outputs(payload, self.outputs, self._default_outputs)
        return PredictRequest(payload, read_radiographs(payload), names, deadline)

    async def predict(
        self,
        payload: PredictRequest,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> tuple[PredictRequest, GraphOutputs]:
        """Run the model."""
        outputs = await self._batcher.run(payload.radiographs, payload.deadline)
        self._health.note_answer()
        return payload, outputs

    async def postprocess(
        self,
        result: tuple[PredictRequest, GraphOutputs],
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> InferResponse:
        """Write the requested outputs."""
        request, outputs = result
        arrays = self._name_arrays(outputs)
        return make_response(
            request.request,
            self._version,
            {name: arrays[name] for name in request.outputs},
            {
                "model_digest": self._described.digest,
                "preprocessing_version": self._described.description.preprocessing_version,
            },
        )

    async def probe(self) -> None:
        """Run the model on a blank radiograph, like a request."""
        blank = np.zeros((1, SIZE_PX, SIZE_PX, 1), np.uint8)
        # on all cores it would hold up cached answers for 25 ms every 3 s (docs/decisions/0016)
        await self._batcher.run(blank, Deadline.after(_PROBE_S), is_urgent=False)
        self._health.note_answer()

    @property
    def _version(self) -> str:
        return self._described.description.version

    def _name_arrays(self, outputs: GraphOutputs) -> Mapping[str, Array]:
        named: dict[str, Array] = {
            PROBABILITY: outputs.probability,
            THRESHOLD: self._thresholds,
            TYPICALITY: outputs.typicality,
            ACTIVATION_MAP: outputs.activation_map,
            INPUT_FLAGS_OUTPUT: flag_inputs(outputs, self._described.description.input_check),
        }
        return named if outputs.distance is None else named | {DISTANCE: outputs.distance[:, 0]}
