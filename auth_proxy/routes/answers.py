"""``GET /answers`` and the paths below it: what was answered earlier, from the transformer's journal.

The transformer gets what the caller asks for in a body: servers between the two may log a path or a query.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from auth_proxy.allow_list import ALL_ANSWERS_SCOPE, Route
from auth_proxy.call import Call, get_call
from auth_proxy.query import read_query
from auth_proxy.request_body import cancel_on_disconnect
from auth_proxy.routes.model_info import ModelInfo
from auth_proxy.transformer_client import TransformerClient, build_transformer_headers, parse_refusal
from pleura.contract import FINDING_HEADER, READS_ALL_HEADER
from pleura.errors import InvalidAnswer, NotFound
from pleura.findings import FINDINGS

_NOT_STORED: Final = {"cache-control": "no-store"}
_FIND: Final = "answers_find"
_PNG: Final = "image/png"


class AnswersProxyRoute:
    """ASGI endpoint: have the transformer read stored answers, or draw one."""

    def __init__(self, transformer: TransformerClient, model_info: ModelInfo) -> None:
        self._transformer, self._model_info = transformer, model_info

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call = get_call(scope)
        if call.route is None:
            raise NotFound("no such path")
        asked = read_request(call.route, scope["raw_path"], scope["query_string"])
        path = f"/answers/{call.route.name.removeprefix('answers_')}"
        async with cancel_on_disconnect(receive, call):
            response, content = await self._transformer.read(
                "POST", path, _build_headers(call), json.dumps(asked).encode()
            )
        if response.status_code != HTTPStatus.OK:
            raise parse_refusal(response, content)
        if response.headers.get("content-type") == _PNG:
            finding = {n: v for n, v in response.headers.items() if n == FINDING_HEADER and v in FINDINGS}
            answer = Response(content, media_type=_PNG, headers={**_NOT_STORED, **finding})
        else:
            member = "answers" if call.route.name == _FIND else "radiographs"
            document = await self._add_measured(content, member, call)
            answer = JSONResponse(document, headers=_NOT_STORED)
        await answer(scope, receive, send)

    async def _add_measured(self, content: bytes, member: str, call: Call) -> dict[str, Any]:
        """Add to each finding whether it is measured, as far as the model that answered is known."""
        try:
            document: dict[str, Any] = json.loads(content)
            for radiograph in document[member]:
                if findings := radiograph["findings"]:  # a refusal has none, and perhaps no model
                    measured = await self._model_info.find_measured(radiograph["model"]["digest"], call)
                    for finding in findings:
                        finding["measured"] = measured.get(finding["name"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidAnswer("the transformer gives no valid answer") from error
        return document


def read_request(route: Route, raw_path: bytes, query: bytes) -> Mapping[str, str]:
    """Read what a caller asks for, from path and query.

    Raises:
        InvalidRequest: The query is malformed.
    """
    asked = dict(read_query(query, route.query))
    match = route.path.fullmatch(raw_path)
    if match and match.groups():
        asked["request_id"] = match[1].decode("ascii")
    return asked


def _build_headers(call: Call) -> dict[str, str]:
    headers = {"content-type": "application/json"} | build_transformer_headers(call)
    return headers | ({READS_ALL_HEADER: "1"} if ALL_ANSWERS_SCOPE in call.scopes else {})
