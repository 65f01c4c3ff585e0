"""``POST /classify``: take one radiograph by id or as a file, ask V2, and answer plain JSON."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from auth_proxy.call import get_call
from auth_proxy.request_body import cancel_on_disconnect
from auth_proxy.routes.model_info import ModelInfo
from auth_proxy.transformer_client import TransformerClient, build_transformer_headers, parse_refusal
from auth_proxy.uploads.classify_request import read_request
from auth_proxy.uploads.hints import UNKNOWN_ID
from auth_proxy.uploads.inference_body import OUTPUTS
from pleura.errors import InvalidAnswer, PleuraError, RadiographNotFound
from pleura.findings import FINDINGS
from pleura.serving.byte_budget import ByteBudget

_INFER_PATH: Final = "/v2/models/chest-xray/infer"
_IN_MEMORY_BYTES: Final = 16 * 2**20
_ERROR_PREFIX: Final = "element 0: "  # says nothing to a caller who asks about one radiograph


def _read_tensors(document: Mapping[str, Any]) -> dict[str, list[Any]]:
    tensors = {output["name"]: output["data"] for output in document["outputs"]}
    sizes = {name: len(tensors[name]) for name in OUTPUTS}
    if sizes != dict.fromkeys(OUTPUTS, len(FINDINGS)) | {"typicality": 1}:
        raise ValueError(f"the outputs have the sizes {sizes}")
    return tensors


def _read_warnings(text: str) -> list[dict[str, str]]:
    """Read what the answer tells besides the findings. The element is always 0."""
    return [{"code": warning["code"], "text": warning["text"]} for warning in json.loads(text)]


def build_answer(
    document: Mapping[str, Any], measured: Mapping[str, bool], request_id: str
) -> dict[str, Any]:
    """Build the plain JSON of a V2 answer about one radiograph.

    Raises:
        InvalidAnswer: The V2 answer is malformed.
    """
    try:
        tensors, parameters = _read_tensors(document), document["parameters"]
        findings = [
            {
                "name": name,
                "probability": tensors["probability"][position],
                "present": bool(tensors["present"][position]),
                "threshold": tensors["threshold"][position],
                "measured": measured.get(name),
            }
            for position, name in enumerate(FINDINGS)
        ]
        return {
            "request_id": request_id,
            "model": {
                "name": document["model_name"],
                "version": document["model_version"],
                "digest": parameters["model_digest"],
            },
            "preprocessing_version": parameters["preprocessing_version"],
            "typicality": tensors["typicality"][0],
            "journal": parameters["journal"],
            "cached": parameters["cached"],
            "warnings": _read_warnings(parameters.get("warnings", "[]")),
            "findings": findings,
        }
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InvalidAnswer("the transformer gives no valid answer") from error


def _explain_refusal(error: PleuraError) -> PleuraError:
    """Explain an id that the object store does not have: it may be the name of a file."""
    return RadiographNotFound(UNKNOWN_ID) if error.code == RadiographNotFound.code else error


class Classify:
    """ASGI endpoint: answer the findings of one radiograph."""

    def __init__(self, transformer: TransformerClient, model_info: ModelInfo) -> None:
        self._transformer, self._model_info = transformer, model_info
        self._byte_budget = ByteBudget(_IN_MEMORY_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call = get_call(scope)
        async with (
            read_request(receive, call, self._byte_budget) as request,
            cancel_on_disconnect(receive, call),
        ):
            headers = request.headers | build_transformer_headers(call)
            response, content = await self._transformer.read("POST", _INFER_PATH, headers, request.content)
        if response.status_code != HTTPStatus.OK:
            raise _explain_refusal(parse_refusal(response, content, _ERROR_PREFIX))
        try:
            document = json.loads(content)
            digest = document["parameters"]["model_digest"]
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidAnswer("the transformer gives no valid answer") from error
        measured = await self._model_info.find_measured(str(digest), call)
        answer = build_answer(document, measured, call.request_id)
        call.model_version, call.model_digest = answer["model"]["version"], digest
        await JSONResponse(answer)(scope, receive, send)
