"""``POST /feedback``: pass a radiologist's verdicts on an answer to the transformer, which stores them.

The transformer gets the principal of the token in a header, never in the body.
"""

import json
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from auth_proxy.call import Call, get_call
from auth_proxy.request_body import cancel_on_disconnect, read_body
from auth_proxy.transformer_client import TransformerClient, build_transformer_headers, parse_refusal
from pleura.errors import InvalidAnswer, InvalidRequest

_MAX_JSON_BYTES: Final = 16384
_MEMBERS: Final = (
    *("feedback_id", "id", "answered_to", "position", "reader"),
    *("verdicts", "had_seen_answer", "given_at"),
)


def parse_stored(content: bytes) -> dict[str, Any]:
    """Parse what the transformer has stored.

    Raises:
        InvalidAnswer: The answer is malformed.
    """
    try:
        document = json.loads(content)
        return {name: document[name] for name in _MEMBERS}
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidAnswer("the transformer gives no valid answer") from error


def _require_json(call: Call) -> None:
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise InvalidRequest("content-type must be application/json")
    if call.headers.get("content-encoding", "identity") != "identity":
        raise InvalidRequest("the body must not be compressed")


class FeedbackProxyRoute:
    """ASGI endpoint: have the transformer store the verdicts."""

    def __init__(self, transformer: TransformerClient) -> None:
        self._transformer = transformer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call = get_call(scope)
        _require_json(call)
        body = await read_body(receive, _MAX_JSON_BYTES)
        headers = {"content-type": "application/json"} | build_transformer_headers(call)
        async with cancel_on_disconnect(receive, call):
            response, content = await self._transformer.read("POST", "/feedback", headers, body)
        if response.status_code != HTTPStatus.CREATED:
            raise parse_refusal(response, content)
        await JSONResponse(parse_stored(content), HTTPStatus.CREATED)(scope, receive, send)
