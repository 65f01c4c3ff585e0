"""What makes a process dead, and what only makes it not ready."""

import httpx
import pytest

from auth_proxy.routes.health import Live
from pleura.serving.health import HealthChecks


def test_only_needed_parts_decide_on_readiness() -> None:
    """A useful part is named in its state, and changes nothing."""
    states = {"store": True, "cache": False}
    vitals = HealthChecks(
        needed={"store": lambda: states["store"]},
        useful={"cache": lambda: states["cache"]},
    )
    assert vitals.readiness() == (True, {"store": True, "cache": False})
    states["store"] = False
    assert vitals.readiness() == (False, {"store": False, "cache": False})
    assert vitals.liveness() == (True, {})


@pytest.mark.parametrize("is_alive", [True, False])
async def test_a_dead_part_fails_the_proxys_liveness(is_alive: bool) -> None:
    """503, with the part's name."""
    app = Live(HealthChecks(alive={"keys": lambda: is_alive}))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as client:
        answer = await client.get("/healthz")
    assert answer.status_code == (200 if is_alive else 503)
    assert answer.json() == {"live": is_alive, "keys": is_alive}
