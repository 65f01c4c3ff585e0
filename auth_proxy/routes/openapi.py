"""``GET /openapi.json``: the OpenAPI document of the proxy. It stands in ``openapi.yaml``."""

from importlib.resources import files
from typing import Any

import yaml
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send


def load_document() -> dict[str, Any]:
    """Load the document from the package."""
    document: dict[str, Any] = yaml.safe_load(files(__package__).joinpath("openapi.yaml").read_text())
    return document


class OpenApi:
    """ASGI endpoint: the OpenAPI document, loaded once."""

    def __init__(self) -> None:
        self._response = JSONResponse(load_document())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        await self._response(scope, receive, send)
