"""The two slots for predictors in a stack: one for the stable revision, one for a canary."""

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
    """The predictors of a stack, and the split of the traffic between them."""

    def __init__(self, stack: LocalStack, supervisor: PartSupervisor) -> None:
        self._stack, self._supervisor, self.folder = stack, supervisor, stack.folder
        self.stable_ports, self.canary_ports = stack.stable_ports, stack.canary_ports

    @property
    def stable(self) -> PredictorRevision:
        """The revision in the stable slot, also while its predictor starts."""
        return self._stack.stable

    def stable_server(self) -> Server | None:
        """Return the process in the stable slot; None while it starts."""
        return self._supervisor.servers.get(_STABLE)

    def replace_stable(self, revision: PredictorRevision) -> None:
        """Put another revision into the stable slot."""
        # first, because the restart serves the revision that is stable by then
        self._stack.serve_stable(revision)
        self._supervisor.request_restart(_STABLE)

    def launch_canary(self, bundle: Path) -> Service:
        """Start a predictor in the canary slot; it may not answer yet."""
        return self._stack.launch_canary(bundle)

    def split_traffic(self, upstreams: Sequence[WeightedUpstream]) -> None:
        """Send each predictor its share of the traffic."""
        self._stack.split_traffic(upstreams)
