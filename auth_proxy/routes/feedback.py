"""``POST /feedback``: a radiologist's verdicts on an answer, passed on to the transformer, which stores them.

Who says so is the token's principal, which the transformer is told beside the body, never in it.
"""

import json
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from auth_proxy.call import Call, get_call
from auth_proxy.request_body import cancel_on_disconnect, read_body
from auth_proxy.transformer_client import TransformerClient, hop_headers, refusal_of
from pleura.errors import InvalidAnswer, InvalidRequest

_MAX_JSON_BYTES: Final = 16384
_MEMBERS: Final = (
    *("feedback_id", "id", "answered_to", "position", "reader"),
    *("verdicts", "had_seen_answer", "given_at"),
)


def stored_of(content: bytes) -> dict[str, Any]:
    """Read what the transformer says that it has stored.

    Raises:
        InvalidAnswer: It says nothing of the kind.
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
    """ASGI endpoint: the verdicts are stored."""

    def __init__(self, upstream: TransformerClient) -> None:
        self._upstream = upstream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call = get_call(scope)
        _require_json(call)
        body = await read_body(receive, _MAX_JSON_BYTES)
        headers = {"content-type": "application/json"} | hop_headers(call)
        async with cancel_on_disconnect(receive, call):
            response, content = await self._upstream.read("POST", "/feedback", headers, body)
        if response.status_code != HTTPStatus.CREATED:
            raise refusal_of(response, content)
        await JSONResponse(stored_of(content), HTTPStatus.CREATED)(scope, receive, send)
