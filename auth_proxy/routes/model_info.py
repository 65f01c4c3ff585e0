"""``GET /model-info``: the description of the model that answers now."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from auth_proxy.call import Call, get_call
from auth_proxy.transformer_client import TransformerClient, build_transformer_headers, parse_refusal
from pleura.errors import InvalidAnswer, PleuraError

_MAX_MODELS: Final = 16
_RETRY_INTERVAL_S: Final = 5.0
_COPIED: Final = (
    "preprocessing_version",
    "calibration",
    "operating_points_chosen",
    "intended_use",
    "limitations",
    "training_data",
    "metrics",
    "input_check",
)


def _parse_finding(item: Mapping[str, Any]) -> dict[str, Any]:
    figures = {name: item.get(name) for name in ("auroc", "sensitivity", "specificity")}
    return {
        "name": item["name"],
        "measured": figures["auroc"] is not None,
        "operating_point": item["operating_point"],
        **figures,
        "test_positives": item.get("test_positives"),
        "test_negatives": item.get("test_negatives"),
    }


def parse_model_info(document: bytes) -> dict[str, Any]:
    """Parse the transformer's description of its model into the answer of ``/model-info``.

    A finding is ``measured`` if the test split had enough positives to say how well the model reads it.

    Raises:
        InvalidAnswer: The description is malformed.
    """
    try:
        content = json.loads(document)
        description = content["description"]
        return {
            "name": str(description["name"]),
            "version": str(description["version"]),
            "digest": str(content["digest"]),
            "findings": [_parse_finding(item) for item in description["findings"]],
            **{name: description.get(name) for name in _COPIED},
            "refusal_policy": content.get("refusal_policy"),
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidAnswer("the transformer gives no valid description of its model") from error


class ModelInfo:
    """ASGI endpoint: describe the model. It also remembers which findings of which model are measured."""

    def __init__(self, transformer: TransformerClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._transformer, self._clock = transformer, clock
        self._measured: dict[str, dict[str, bool]] = {}
        self._fetched_s = float("-inf")
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call = get_call(scope)
        info = await self._fetch(call)
        call.model_version, call.model_digest = info["version"], info["digest"]
        await JSONResponse(info)(scope, receive, send)

    async def find_measured(self, digest: str, call: Call) -> Mapping[str, bool]:
        """Find out which findings of a model are measured. The result is empty if nobody can tell.

        During a canary the transformer may describe the other revision, so it is not asked every time.
        """
        async with self._lock:
            if digest not in self._measured and self._clock() - self._fetched_s >= _RETRY_INTERVAL_S:
                self._fetched_s = self._clock()
                try:
                    await self._fetch(call)
                except PleuraError:
                    return {}
        return self._measured.get(digest, {})

    async def _fetch(self, call: Call) -> dict[str, Any]:
        response, document = await self._transformer.read(
            "GET", "/model-info", build_transformer_headers(call)
        )
        if response.status_code != HTTPStatus.OK:
            raise parse_refusal(response, document)
        info = parse_model_info(document)
        while len(self._measured) >= _MAX_MODELS:
            self._measured.pop(next(iter(self._measured)))
        self._measured[info["digest"]] = {f["name"]: f["measured"] for f in info["findings"]}
        return info
