"""What a served model is to the edge, whether it is asked over REST or gRPC."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Protocol

import kserve
import orjson

from pleura.bundle import ModelDescription
from pleura.contract import TensorSpec
from pleura.errors import ModelNotFound, Unavailable
from pleura.observability.metrics import bind_log_ids
from pleura.observability.tracing import current_span


@dataclass(frozen=True)
class DescribedModel:
    """A model as it answers now: its description, and the digest of its bundle."""

    description: ModelDescription
    digest: str

    def to_json(self) -> bytes:
        """The form that travels between services."""
        return orjson.dumps({"digest": self.digest, "description": self.description.model_dump()})

    @classmethod
    def from_json(cls, json: bytes) -> "DescribedModel":
        """Read what ``to_json`` wrote."""
        document = orjson.loads(json)
        return cls(_described(document["description"]), document["digest"])


def _described(document: Any) -> ModelDescription:
    # a newer predictor may say more than this version knows of: that must not stop a rolling update
    return ModelDescription.model_validate(document, extra="ignore")


class ServedModel(Protocol):
    """What the edge asks of a ``kserve.Model``."""

    name: str
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]

    async def healthy(self) -> bool: ...
    async def describe(self) -> DescribedModel: ...
    async def __call__(
        self, body: kserve.InferRequest, headers: dict[str, str] | None = None
    ) -> tuple[kserve.InferResponse, dict[str, str]]: ...


async def require_model(model: ServedModel, name: str, version: str | None) -> None:
    if name != model.name:
        raise ModelNotFound("no model of that name is served")
    if version and version != (await model.describe()).description.version:
        raise ModelNotFound("no such version of the model is served")


def server_metadata() -> dict[str, Any]:
    """What V2 says of a server, over REST and gRPC."""
    return {"name": "pleura", "version": metadata.version("pleura"), "extensions": ["binary_tensor_data"]}


async def model_metadata(model: ServedModel) -> dict[str, Any]:
    described = await model.describe()
    return {
        "name": model.name,
        "versions": [described.description.version],
        "platform": "pleura_densenet121",
        "inputs": [spec.as_metadata() for spec in model.inputs],
        "outputs": [spec.as_metadata() for spec in model.outputs],
    }


async def answer(
    model: ServedModel, request: kserve.InferRequest, headers: dict[str, str]
) -> kserve.InferResponse:
    span = current_span()
    request.id = request.id or span.request_id or str(uuid.uuid4())
    bind_log_ids(request.id, span.trace_id)
    if not await model.healthy():
        raise Unavailable("the model is not ready")
    response, _ = await model(request, headers=headers | span.as_headers())
    span.model_version = response.model_version
    return response
