"""Admission: the one place that decides for REST and gRPC whether a request may be answered now."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from auth_proxy.call import Call
from auth_proxy.limits import InFlightLimit, RateLimit
from auth_proxy.tokens.authenticator import Authenticator
from pleura.errors import NotFound


@dataclass(frozen=True)
class Guards:
    """Checks that every request passes, and the limits of one request.

    Args:
        max_body_bytes: Largest body of a request.
        timeout_s: Longest time from the head of a request to the end of its answer.
    """

    authenticator: Authenticator
    rate: RateLimit
    in_flight: InFlightLimit
    max_body_bytes: int
    timeout_s: float

    @asynccontextmanager
    async def admit(self, call: Call) -> AsyncIterator[None]:
        """Check route, token, scope and rate of a request, and hold a slot during the ``async with`` block.

        A route without a scope is open to everybody and needs no slot.

        Raises:
            NotFound: The allow-list has no route for the request.
            Unauthenticated: There is no valid token.
            Forbidden: The token lacks the scope of the route.
            Unavailable: The issuer's keys are not known yet.
            RateExceeded: The principal sends too many requests.
            Overloaded: Too many requests are in flight.
        """
        if call.route is None:
            raise NotFound("no such path")
        if call.route.scope is None:
            yield
            return
        authorization = call.headers.get("authorization")
        principal = await self.authenticator.authenticate(authorization, call.route.scope)
        call.principal, call.scopes = principal.name, principal.scopes
        # before the slot: what one principal sends too much must not take the places of others
        self.rate.take(principal.name)
        with self.in_flight.hold_slot() as slot:
            try:
                yield
            finally:
                slot.body_ended_s = call.body_ended_s
