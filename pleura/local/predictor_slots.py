"""The two places of a stack that a predictor can have: that of the stable revision, and the canary's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pleura.local.dependencies import WeightedUpstream
from pleura.local.parts import PartSupervisor
from pleura.local.pleura_services import Service
from pleura.local.processes import Server
from pleura.local.revision_files import PredictorRevision
from pleura.local.stack import LocalStack

_STABLE: Final = "predictor"


class PredictorSlots:
    """The predictors of a machine's stack, and the split of the traffic between them."""

    def __init__(self, machine: LocalStack, stack: PartSupervisor) -> None:
        self._machine, self._stack, self.folder = machine, stack, machine.folder
        self.stable_ports, self.canary_ports = machine.stable_ports, machine.canary_ports

    @property
    def stable(self) -> PredictorRevision:
        """The revision in the stable seat, or on its way to it."""
        return self._machine.stable

    def stable_server(self) -> Server | None:
        """Its process; None while it is being started."""
        return self._stack.servers.get(_STABLE)

    def replace_stable(self, revision: PredictorRevision) -> None:
        """Have the stable seat taken by another revision."""
        self._machine.serve_from(revision)
        self._stack.ask_to_replace(_STABLE)

    def launch_canary(self, bundle: Path) -> Service:
        """Start a predictor in the canary's seat; it may not answer yet."""
        return self._machine.launch_canary(bundle)

    def split(self, upstreams: Sequence[WeightedUpstream]) -> None:
        """Split the traffic."""
        self._machine.split(upstreams)
