"""Liveness and readiness of a service."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Checks = Mapping[str, Callable[[], bool]]


@dataclass(frozen=True)
class HealthChecks:
    """The checks of a service. Each check answers at once, from known state.

    Args:
        alive: Parts of the process. If one of them is dead, the process must start again. Nothing outside of
            the process belongs here.
        needed: Parts that every request needs.
        useful: Parts that requests can do without, though not as well.
    """

    alive: Checks = field(default_factory=dict)
    needed: Checks = field(default_factory=dict)
    useful: Checks = field(default_factory=dict)

    def liveness(self) -> tuple[bool, Mapping[str, bool]]:
        """Tell whether the process can do its work, and the state of each of its parts."""
        parts = {name: check() for name, check in self.alive.items()}
        return all(parts.values()), parts

    def readiness(self) -> tuple[bool, Mapping[str, bool]]:
        """Tell whether the service can answer a valid request, and the state of each part."""
        needed = {name: check() for name, check in self.needed.items()}
        return all(needed.values()), needed | {name: check() for name, check in self.useful.items()}
