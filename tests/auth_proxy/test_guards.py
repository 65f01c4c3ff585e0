"""Admission of one request, as REST and gRPC share it."""

import time
from typing import Any

import pytest

from auth_proxy.allow_list import GRPC_ROUTES, ROUTES, Route
from auth_proxy.call import Call
from auth_proxy.guards import Guards
from auth_proxy.limits import InFlightLimit, RateExceeded, RateLimit
from auth_proxy.tokens.authenticator import Authenticator, TrustedIssuer
from auth_proxy.tokens.keys import KeyCache
from auth_proxy.tokens.trust import Trust
from pleura.errors import Forbidden, NotFound, Overloaded, Unauthenticated
from proof.attacks.forge import Forge, key_document

ISSUER, AUDIENCE = "https://issuer.example", "pleura"
REST, OPEN = (next(route for route in ROUTES if route.name == name) for name in ("v2_infer", "healthz"))
GRPC = GRPC_ROUTES["/inference.GRPCInferenceService/ModelInfer"]


class KeyDocument:
    """An issuer that publishes the keys of the forge."""

    async def fetch(self) -> bytes:
        """Return the key document."""
        return key_document()


def build_guards(burst: int = 10, max_in_flight: int = 10) -> Guards:
    """Build guards that trust the forge."""
    trust = Trust(ISSUER, frozenset({AUDIENCE}), 30)
    authenticator = Authenticator([TrustedIssuer(trust, KeyCache(KeyDocument()))])
    return Guards(authenticator, RateLimit(0.001, burst), InFlightLimit(max_in_flight), 2**20, 5.0)


def build_call(route: Route | None, **claims: Any) -> Call:
    """Build a call with a good token, but for the claims that are changed."""
    # of this moment: a forge of the collection's would be too old at the end of a long run
    forge = Forge(ISSUER, AUDIENCE, int(time.time()))
    return Call(route=route, headers={"authorization": f"Bearer {forge.good(**claims)}"})


@pytest.mark.parametrize("route", [REST, GRPC], ids=["rest", "grpc"])
async def test_a_call_with_a_good_token_holds_a_slot(route: Route) -> None:
    """The slot is free again behind the call, and the call knows its principal."""
    guards, call = build_guards(), build_call(route)
    async with guards.admit(call):
        assert (call.principal, guards.in_flight.in_flight) == ("somebody", 1)
    assert guards.in_flight.in_flight == 0


async def test_an_open_route_needs_neither_token_nor_slot() -> None:
    """Health is answered when nothing else can be."""
    call = Call(route=OPEN)
    async with build_guards(burst=1, max_in_flight=1).admit(call):
        assert call.principal is None


@pytest.mark.parametrize("route", [REST, GRPC], ids=["rest", "grpc"])
async def test_each_check_refuses_with_its_own_error(route: Route) -> None:
    """No route, no token, no scope, no rate and no slot are five different errors."""
    guards = build_guards(burst=2, max_in_flight=1)
    for call, error in (
        (build_call(None), NotFound),
        (Call(route=route), Unauthenticated),
        (build_call(route, scope="model:read"), Forbidden),
    ):
        with pytest.raises(error):
            await guards.admit(call).__aenter__()
    async with guards.admit(build_call(route)):
        with pytest.raises(Overloaded):
            await guards.admit(build_call(route)).__aenter__()
        with pytest.raises(RateExceeded):
            await guards.admit(build_call(route)).__aenter__()
