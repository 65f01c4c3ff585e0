"""Interface between the REST and gRPC servers and a model."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import orjson

from pleura.bundle import ModelDescription
from pleura.contract import TensorSpec
from pleura.errors import ModelNotFound, Unavailable
from pleura.observability.metrics import bind_log_ids
from pleura.observability.tracing import current_span
from pleura.serving.kserve_import import InferenceVerb, InferRequest, InferResponse, KServeModel


@dataclass(frozen=True)
class DescribedModel:
    """The description of a served model, and the digest of its bundle.

    ``refusal_policy`` is the action for each reason to refuse a radiograph; only the transformer has one.
    """

    description: ModelDescription
    digest: str
    refusal_policy: Mapping[str, str] | None = None

    def to_json(self) -> bytes:
        """Write the JSON that one service sends to the next."""
        document = {"digest": self.digest, "description": self.description.model_dump()}
        policy = {} if self.refusal_policy is None else {"refusal_policy": self.refusal_policy}
        return orjson.dumps(document | policy)

    @classmethod
    def from_json(cls, json: bytes) -> "DescribedModel":
        """Read the JSON that ``to_json`` writes."""
        document = orjson.loads(json)
        return cls(_read_description(document["description"]), document["digest"])


def _read_description(document: Any) -> ModelDescription:
    # during a rolling update a newer predictor may send fields that this version does not know
    return ModelDescription.model_validate(document, extra="ignore")


class Model(KServeModel):  # type: ignore[misc]  # kserve has no types
    """Interface between the REST and gRPC servers and a model.

    kserve calls ``preprocess``, ``predict`` and ``postprocess`` in this order, and hands the result of each
    to the next.
    """

    name: str
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = True

    async def healthy(self) -> bool:
        """Tell whether the model can answer a request now."""
        return bool(self.ready)

    async def describe(self) -> DescribedModel:
        """Describe the model that answers now."""
        raise NotImplementedError

    def validate(self, payload: Any) -> Any:
        """Accept every payload, in place of kserve's check for V1 and V2 documents; ``preprocess`` checks."""
        return payload

    async def __call__(
        self,
        body: InferRequest,
        headers: dict[str, str] | None = None,
        verb: InferenceVerb = InferenceVerb.PREDICT,
    ) -> tuple[InferResponse, dict[str, str]]:
        """Answer one request.

        Returns:
            The response, and headers for it.
        """
        return await super().__call__(body, headers, verb)  # type: ignore[no-any-return]


async def require_model(model: Model, name: str, version: str | None) -> None:
    if name != model.name:
        raise ModelNotFound(f"no model of that name is served; the model's name is {model.name!r}")
    if version and version != (await model.describe()).description.version:
        raise ModelNotFound("no such version of the model is served")


def server_metadata() -> dict[str, Any]:
    """Return the V2 metadata of the server, for REST and gRPC."""
    return {"name": "pleura", "version": metadata.version("pleura"), "extensions": ["binary_tensor_data"]}


async def model_metadata(model: Model) -> dict[str, Any]:
    described = await model.describe()
    return {
        "name": model.name,
        "versions": [described.description.version],
        "platform": "pleura_densenet121",
        "inputs": [spec.as_metadata() for spec in model.inputs],
        "outputs": [spec.as_metadata() for spec in model.outputs],
    }


async def answer_request(model: Model, request: InferRequest, headers: dict[str, str]) -> InferResponse:
    span = current_span()
    # kserve fails on a request without an id
    request.id = request.id or span.request_id or str(uuid.uuid4())
    bind_log_ids(request.id, span.trace_id)
    if not await model.healthy():
        raise Unavailable("the model is not ready")
    response, _ = await model(request, headers=headers | span.as_headers())
    span.model_version = response.model_version
    return response
