"""How a process says whether it lives, and whether it could answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Checks = Mapping[str, Callable[[], bool]]


@dataclass(frozen=True)
class HealthChecks:
    """What a service looks at; each check answers at once, from what is known.

    Args:
        alive: Parts of the process itself; where one is dead the process must be started anew. What lies
            outside the process is not among them.
        needed: What no request can be answered without.
        useful: What requests are answered without, but not as well.
    """

    alive: Checks = field(default_factory=dict)
    needed: Checks = field(default_factory=dict)
    useful: Checks = field(default_factory=dict)

    def liveness(self) -> tuple[bool, Mapping[str, bool]]:
        """Whether the process can do its work at all, and each of its parts."""
        parts = {name: check() for name, check in self.alive.items()}
        return all(parts.values()), parts

    def readiness(self) -> tuple[bool, Mapping[str, bool]]:
        """Whether a good request would be answered, and each part that matters to it."""
        needed = {name: check() for name, check in self.needed.items()}
        return all(needed.values()), needed | {name: check() for name, check in self.useful.items()}
