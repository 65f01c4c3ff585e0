"""``GET /model-info``: what the model that answers now says of itself, for people and programs to read."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from auth_proxy.call import Call, get_call
from auth_proxy.transformer_client import TransformerClient, hop_headers, refusal_of
from pleura.errors import InvalidAnswer, PleuraError

_MAX_REMEMBERED: Final = 16
_RETRY_INTERVAL_S: Final = 5.0
_PLAIN: Final = (
    "preprocessing_version",
    "calibration",
    "operating_points_chosen",
    "intended_use",
    "limitations",
    "training_data",
    "metrics",
)


def _finding(item: Mapping[str, Any]) -> dict[str, Any]:
    figures = {name: item.get(name) for name in ("auroc", "sensitivity", "specificity")}
    return {
        "name": item["name"],
        "measured": figures["auroc"] is not None,
        "operating_point": item["operating_point"],
        **figures,
        "test_positives": item.get("test_positives"),
        "test_negatives": item.get("test_negatives"),
    }


def model_info_of(document: bytes) -> dict[str, Any]:
    """Reshape the transformer's description of its model.

    A finding is ``measured`` where the test split held enough positives to say how well it is read.

    Raises:
        InvalidAnswer: It is none.
    """
    try:
        content = json.loads(document)
        description = content["description"]
        return {
            "name": str(description["name"]),
            "version": str(description["version"]),
            "digest": str(content["digest"]),
            "findings": [_finding(item) for item in description["findings"]],
            **{name: description.get(name) for name in _PLAIN},
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidAnswer("the transformer gives no valid description of its model") from error


class ModelInfo:
    """ASGI endpoint, and the memory of which findings of which model are measured."""

    def __init__(self, upstream: TransformerClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._upstream, self._clock = upstream, clock
        self._measured: dict[str, dict[str, bool]] = {}
        self._asked_s = float("-inf")
        self._asking = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call = get_call(scope)
        info = await self._ask(call)
        call.model_version, call.model_digest = info["version"], info["digest"]
        await JSONResponse(info)(scope, receive, send)

    async def measured_of(self, digest: str, call: Call) -> Mapping[str, bool]:
        """Say of each finding of a model whether it is measured; empty where that cannot be known.

        During a canary the transformer may describe the other revision; it is asked seldom.
        """
        async with self._asking:
            if digest not in self._measured and self._clock() - self._asked_s >= _RETRY_INTERVAL_S:
                self._asked_s = self._clock()
                try:
                    await self._ask(call)
                except PleuraError:
                    return {}
        return self._measured.get(digest, {})

    async def _ask(self, call: Call) -> dict[str, Any]:
        response, document = await self._upstream.read("GET", "/model-info", hop_headers(call))
        if response.status_code != HTTPStatus.OK:
            raise refusal_of(response, document)
        info = model_info_of(document)
        while len(self._measured) >= _MAX_REMEMBERED:
            self._measured.pop(next(iter(self._measured)))
        self._measured[info["digest"]] = {f["name"]: f["measured"] for f in info["findings"]}
        return info
