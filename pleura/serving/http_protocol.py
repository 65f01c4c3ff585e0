"""uvicorn's HTTP/1.1 connection, which answers its own errors in the form of all our errors.

uvicorn answers plain text to a request that is not HTTP, and to a request on one connection too many.
"""

import json
from typing import Any

import structlog
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from pleura.errors import ERROR_CODE_HEADER, InvalidRequest, Overloaded, PleuraError
from pleura.request_id import REQUEST_ID_HEADER, new_request_id

log = structlog.get_logger()


def _log_and_build(error: PleuraError) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Write the log line of a refused request, and build headers and body of the answer."""
    request_id = new_request_id()
    log.info("connection_refused", request_id=request_id, outcome=error.code, status=error.status)
    body = json.dumps(error.document(request_id)).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        REQUEST_ID_HEADER: request_id,
        ERROR_CODE_HEADER: error.code,
        **error.headers,
    }
    return [(name.encode(), value.encode()) for name, value in headers.items()], body


def build_bad_request() -> bytes:
    """Build the whole answer to bytes that are not an HTTP request."""
    error = InvalidRequest("the request is not valid HTTP")
    headers, body = _log_and_build(error)
    lines = [b"HTTP/1.1 400 Bad Request", *(b"%b: %b" % header for header in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def refuse_connection(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI app: refuse a request because of too many connections."""
    error = Overloaded("too many connections are open")
    headers, body = _log_and_build(error)
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class JsonErrorsProtocol(HttpToolsProtocol):
    """A connection whose errors are JSON before any route, too."""

    def send_400_response(self, msg: str) -> None:
        """Answer that the bytes are not HTTP, and close."""
        self.transport.write(build_bad_request())
        self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if app is service_unavailable:
            app = refuse_connection
        super()._start_asgi_task(cycle, app)
