"""Liveness and readiness: dead parts and missing dependencies."""

import httpx
import pytest

from auth_proxy.routes.health import Live
from pleura.serving.health import HealthChecks


def test_only_needed_parts_decide_on_readiness() -> None:
    """A useful part is listed with its state, but does not change readiness."""
    states = {"store": True, "cache": False}
    health = HealthChecks(
        needed={"store": lambda: states["store"]},
        useful={"cache": lambda: states["cache"]},
    )
    assert health.readiness() == (True, {"store": True, "cache": False})
    states["store"] = False
    assert health.readiness() == (False, {"store": False, "cache": False})
    assert health.liveness() == (True, {})


@pytest.mark.parametrize("is_alive", [True, False])
async def test_a_dead_part_fails_the_proxys_liveness(is_alive: bool) -> None:
    """503, with the part's name."""
    app = Live(HealthChecks(alive={"keys": lambda: is_alive}))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as client:
        answer = await client.get("/healthz")
    assert answer.status_code == (200 if is_alive else 503)
    assert answer.json() == {"live": is_alive, "keys": is_alive}
