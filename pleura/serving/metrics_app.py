"""``/metrics`` for Prometheus, which no web page can read."""

from typing import Final

from prometheus_client import REGISTRY, exposition
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from pleura.allowed_hosts import AllowedHosts
from pleura.errors import ERROR_CODE_HEADER, UnknownHost
from pleura.request_id import new_request_id

_NOT_FOR_PAGES: Final = {"x-content-type-options": "nosniff", "cross-origin-resource-policy": "same-origin"}


async def show_metrics(request: Request) -> Response:
    """Show the metrics of this process, in the format that the caller accepts."""
    encode, content_type = exposition.choose_encoder(request.headers.get("accept", ""))
    return Response(encode(REGISTRY), headers={"content-type": content_type, **_NOT_FOR_PAGES})


class MetricsApp:
    """ASGI app of the metrics port: show the metrics on every path, if ``Host`` is allowed."""

    def __init__(self, hosts: AllowedHosts) -> None:
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        response: Response
        try:
            self._hosts.require([value for name, value in scope["headers"] if name == b"host"])
        except UnknownHost as error:
            headers = {ERROR_CODE_HEADER: error.code}
            response = JSONResponse(error.document(new_request_id()), error.status, headers)
        else:
            response = await show_metrics(Request(scope))
        await response(scope, receive, send)
