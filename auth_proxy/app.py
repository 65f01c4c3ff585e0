"""The proxy's REST side: which class stands where, in one place."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from auth_proxy.call import call_of
from auth_proxy.limits import InFlight, RateLimit
from auth_proxy.middleware import AllowOnly, AnswerErrors, Audit, BoundBody, Limit, RequireToken
from auth_proxy.routes.classify import Classify
from auth_proxy.routes.feedback import FeedbackRoute
from auth_proxy.routes.forward import Forward
from auth_proxy.routes.health import Live, Ready
from auth_proxy.routes.model_info import ModelInfo
from auth_proxy.routes.openapi import openapi
from auth_proxy.tokens.authenticator import Authenticator
from auth_proxy.transformer_client import TransformerClient
from pleura.errors import NotFound
from pleura.serving.health import HealthChecks
from pleura.serving.shutdown import Shutdown


@dataclass(frozen=True)
class Guards:
    """What REST and gRPC share: who asks, how often, how much at once, how large and how long."""

    authenticator: Authenticator
    rate: RateLimit
    in_flight: InFlight
    max_body_bytes: int
    timeout_s: float


class Dispatch:
    """ASGI app: hand a request to the endpoint of the route that the allow-list named."""

    def __init__(self, endpoints: Mapping[str, ASGIApp], forward: ASGIApp) -> None:
        self._endpoints, self._forward = endpoints, forward

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        route = call_of(scope).route
        if route is None:
            raise NotFound("no such path")
        endpoint = self._forward if route.is_forwarded else self._endpoints[route.name]
        await endpoint(scope, receive, send)


def build_app(guards: Guards, upstream: TransformerClient, vitals: HealthChecks, ending: Shutdown) -> ASGIApp:
    """Put the proxy together; the order of the list is the order of execution."""
    model_info = ModelInfo(upstream)
    endpoints: dict[str, ASGIApp] = {
        "classify": Classify(upstream, model_info),
        "feedback": FeedbackRoute(upstream),
        "model_info": model_info,
        "healthz": Live(vitals),
        "readyz": Ready(guards.authenticator, upstream, ending),
        "openapi": openapi,
    }
    middleware = [
        Middleware(Audit),
        Middleware(AnswerErrors),
        Middleware(AllowOnly),
        Middleware(RequireToken, guards.authenticator),
        Middleware(Limit, guards.rate, guards.in_flight),
        Middleware(BoundBody, guards.max_body_bytes, guards.timeout_s),
    ]
    app: ASGIApp = Dispatch(endpoints, Forward(upstream))
    for each in reversed(middleware):
        app = each.cls(app, *each.args, **each.kwargs)
    return app
