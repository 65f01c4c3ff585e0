"""The REST side of the proxy: this module puts middleware and endpoints together."""

from collections.abc import Mapping, Set

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from auth_proxy.call import get_call
from auth_proxy.cors import AllowOrigins
from auth_proxy.guards import Guards
from auth_proxy.middleware import Admit, AnswerErrors, FindRoute, LimitSizeAndTime, LogRequest
from auth_proxy.readiness import Readiness
from auth_proxy.routes.answers import AnswersProxyRoute
from auth_proxy.routes.classify import Classify
from auth_proxy.routes.feedback import FeedbackProxyRoute
from auth_proxy.routes.forward import Forward
from auth_proxy.routes.health import Live, ModelReady, Ready, V2Live, V2Ready
from auth_proxy.routes.model_info import ModelInfo
from auth_proxy.routes.openapi import OpenApi
from auth_proxy.transformer_client import TransformerClient
from pleura.allowed_hosts import AllowedHosts
from pleura.errors import NotFound
from pleura.serving.health import HealthChecks


class Dispatch:
    """ASGI app: hand a request to the endpoint of its route."""

    def __init__(self, endpoints: Mapping[str, ASGIApp], forward: ASGIApp) -> None:
        self._endpoints, self._forward = endpoints, forward

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        route = get_call(scope).route
        if route is None:
            raise NotFound("no such path")
        endpoint = self._forward if route.is_forwarded else self._endpoints[route.name]
        await endpoint(scope, receive, send)


def build_app(
    guards: Guards,
    transformer: TransformerClient,
    health: HealthChecks,
    readiness: Readiness,
    origins: Set[str] = frozenset(),
    hosts: AllowedHosts | None = None,
) -> ASGIApp:
    """Build the REST side. The order of the middleware list is the order of execution."""
    model_info = ModelInfo(transformer)
    answers = AnswersProxyRoute(transformer, model_info)
    endpoints: dict[str, ASGIApp] = {
        "classify": Classify(transformer, model_info),
        "feedback": FeedbackProxyRoute(transformer),
        "answers_find": answers,
        "answers_show": answers,
        "answers_overlay": answers,
        "model_info": model_info,
        "healthz": Live(health),
        "readyz": Ready(readiness),
        "v2_live": V2Live(health),
        "v2_ready": V2Ready(readiness),
        "v2_model_ready": ModelReady(readiness),
        "openapi": OpenApi(),
    }
    middleware = [
        Middleware(LogRequest),  # outermost, so that it sees the status of errors too
        Middleware(AllowOrigins, origins),  # before AnswerErrors: a script may read errors too
        Middleware(AnswerErrors),
        Middleware(FindRoute, hosts),  # before Admit: the route names the scope that a token needs
        Middleware(Admit, guards),
        # after Admit: nobody without a token makes the proxy wait for a body
        Middleware(LimitSizeAndTime, guards.max_body_bytes, guards.timeout_s),
    ]
    app: ASGIApp = Dispatch(endpoints, Forward(transformer))
    # the layer that runs first is the outermost one, which is put on last
    for layer in reversed(middleware):
        app = layer.cls(app, *layer.args, **layer.kwargs)
    return app
