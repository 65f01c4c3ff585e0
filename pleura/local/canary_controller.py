"""Keeps the predictor's revisions that are wanted: starts a canary, splits the traffic, drains, promotes.

The stable revision is the part ``predictor`` of the stack, which restarts it. The canary has a seat of its
own beside it. A canary that does not start, dies or falls silent gets no traffic any more and is not started
again until something else is wanted. A promoted model takes the stable seat: the canary's process carries
the traffic while it does.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import httpx

from pleura.bundle import InvalidBundle
from pleura.local.dependencies.envoy import WeightedUpstream
from pleura.local.pleura_services import MODEL_READY, Ports, Service
from pleura.local.predictor_slots import PredictorSlots
from pleura.local.processes import HOST, START_TIMEOUT_S, Server, StartFailed
from pleura.local.revision_files import (
    InvalidRevisions,
    Phase,
    PredictorRevision,
    RevisionStatus,
    RunningRevision,
    WantedRevisions,
    read_wanted_revisions,
    require_digest,
    write_status,
)

CANARY: Final = "canary"
_LOOK_EVERY_S: Final = 0.2
_ASK_S: Final = 2.0
_SILENT_S: Final = 8.0
_DRAIN_S: Final = 12.0


@dataclass
class _Canary:
    """The process in the canary's seat; what changes as it lives is changed by the keeper's thread only."""

    revision: PredictorRevision
    service: Service | None
    phase: Phase = "starting"
    reason: str = ""
    seen_s: float = 0.0
    """When it was last seen alive; at first when it was started."""
    drains_s: float = 0.0


class CanaryController:
    """Follows ``revisions.json`` in a thread of its own, from ``start`` to ``stop``."""

    def __init__(
        self, seats: PredictorSlots, say: Callable[[str], None], changed: Callable[[], None]
    ) -> None:
        self._seats, self._say, self._changed = seats, say, changed
        self._canary: _Canary | None = None
        self._old_stable: Server | None = None
        self._weight = 0
        self._told: RevisionStatus | None = None
        self._complaint = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="revisions", daemon=True)
        self._client = httpx.Client(timeout=_ASK_S, trust_env=False)

    @property
    def servers(self) -> Mapping[str, Server]:
        """The canary's process, where there is one."""
        canary = self._canary
        return {CANARY: canary.service} if canary and canary.service else {}

    def start(self) -> None:
        """Begin to follow the file."""
        self._thread.start()

    def stop(self) -> None:
        """End, and end the canary's process."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30.0)
        if self._canary and self._canary.service:
            self._canary.service.stop()
        self._client.close()

    def _keep(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            try:
                wanted, digest = read_wanted_revisions(self._seats.folder)
                self.follow(wanted or WantedRevisions(revisions=(self._seats.stable,)))
                self._tell(digest)
            except (InvalidRevisions, OSError) as error:  # of a full disk, too: it looks again
                self._complain(str(error))
            except Exception as error:  # nobody follows the file any more: at least that is said
                self._complain(f"{type(error).__name__}: {error}")
                raise

    def _complain(self, reason: str) -> None:
        if reason != self._complaint:
            self._complaint = reason
            self._say(f"revisions cannot be followed: {reason}")

    def follow(self, wanted: WantedRevisions) -> None:
        """Take one look, and the next step towards what is wanted; never waits for a process to start."""
        if self._old_stable:
            self._await_stable()
            return
        stable = self._seats.stable.digest
        is_kept = any(each.digest == stable for each in wanted.revisions)
        other = wanted.other_than(stable) if is_kept else wanted.heaviest
        canary = self._canary
        if canary and (other is None or canary.revision.digest != other.digest):
            self._retire(canary)
        elif canary is None and other:
            self._seat(other)
        elif canary and canary.phase in ("starting", "ready"):
            self._look_at(canary)
            share = wanted.weight_of(canary.revision.digest) if is_kept else 100
            self._split(share if canary.phase == "ready" else 0)
            if is_kept:
                canary.drains_s = 0.0
            elif canary.phase == "ready":
                self._promote(canary)

    def _seat(self, revision: PredictorRevision) -> None:
        self._canary = canary = _Canary(revision, None, seen_s=time.monotonic())
        try:
            require_digest(revision.bundle, revision.digest)
            canary.service = self._seats.launch_canary(revision.bundle)
        except (InvalidBundle, StartFailed) as error:
            self._fail(canary, str(error))
            return
        self._say(f"revision {revision.name} starts as canary")
        self._changed()

    def _look_at(self, canary: _Canary) -> None:
        assert canary.service
        code = canary.service.process.poll()
        now, limit_s = time.monotonic(), START_TIMEOUT_S if canary.phase == "starting" else _SILENT_S
        if code is not None:
            self._fail(canary, f"its predictor ended (exit code {code}; log: {canary.service.log})")
        elif self._answers(canary.service):
            canary.seen_s = now
            if canary.phase == "starting":
                canary.phase = "ready"
                self._say(f"revision {canary.revision.name} is ready")
        elif now - canary.seen_s > limit_s:
            self._fail(canary, f"its predictor does not answer (log: {canary.service.log})")

    def _answers(self, service: Service) -> bool:
        try:
            return self._client.get(f"{service.url}{MODEL_READY}").is_success
        except httpx.HTTPError:
            return False

    def _fail(self, canary: _Canary, reason: str) -> None:
        canary.phase, canary.reason = "failed", reason
        self._split(0)
        self._say(f"revision {canary.revision.name} failed: {reason}")
        if canary.service:
            canary.service.stop(timeout_s=1.0)
            canary.service = None
            self._changed()

    def _retire(self, canary: _Canary) -> None:
        """Send the canary nothing more, wait until it has answered what it has, stop it, free its seat."""
        now = time.monotonic()
        if canary.service and canary.phase != "draining":
            self._split(0)
            canary.phase, canary.drains_s = "draining", now
            return
        if canary.service:
            waited_s = now - canary.drains_s
            if waited_s < 1.0 or (waited_s < _DRAIN_S and self._in_flight(canary.service.url)):
                return
            canary.service.stop()
        self._canary = None
        self._split(0)
        self._say(f"revision {canary.revision.name} has left")
        self._changed()

    def _in_flight(self, url: str) -> bool:
        try:
            text = self._client.get(f"{url}/metrics").text
        except httpx.HTTPError:
            return False
        return any(
            line.startswith("pleura_requests_in_flight ") and float(line.split()[1]) > 0
            for line in text.splitlines()
        )

    def _promote(self, canary: _Canary) -> None:
        """Have the stable seat taken by the canary's model, once the old one has answered what it has."""
        now = time.monotonic()
        canary.drains_s = canary.drains_s or now
        waited_s = now - canary.drains_s
        stable = self._seats.stable_server()
        if stable is None:  # the stack is starting it again just now
            return
        if waited_s < 1.0 or (waited_s < _DRAIN_S and self._in_flight(stable.url)):
            return
        self._say(f"revision {canary.revision.name} takes the stable seat")
        self._old_stable = stable
        self._seats.replace_stable(canary.revision)

    def _await_stable(self) -> None:
        stable = self._seats.stable_server()
        if stable is not None and stable is not self._old_stable:
            self._old_stable = None
            self._split(0)

    def _split(self, weight: int) -> None:
        """Give the canary its percent; it stays known to Envoy while calls to it may be under way."""
        canary, grpc = self._canary, self._seats.canary_ports.grpc
        upstreams = [WeightedUpstream("stable", self._seats.stable_ports.grpc, 100 - weight)]
        if canary and canary.service:
            upstreams.append(WeightedUpstream(CANARY, grpc, weight))
        self._seats.split(upstreams)
        self._weight = weight

    def _tell(self, digest: str) -> None:
        status = RevisionStatus(wanted=digest, revisions=self._running())
        if status != self._told:
            write_status(self._seats.folder, status)
            self._told = status

    def _running(self) -> tuple[RunningRevision, ...]:
        seats, canary = self._seats, self._canary
        stable = _running(seats.stable, "ready", 100 - self._weight, seats.stable_ports)
        if canary is None:
            return (stable,)
        shown = _running(canary.revision, canary.phase, self._weight, seats.canary_ports)
        if canary.revision.digest == stable.digest:  # two processes of one model, and all traffic is its
            return (shown.model_copy(update={"phase": "moving", "weight": 100}),)
        return (stable, shown.model_copy(update={"reason": canary.reason}))


def _running(revision: PredictorRevision, phase: Phase, weight: int, ports: Ports) -> RunningRevision:
    return RunningRevision(
        name=revision.name,
        bundle=revision.bundle,
        digest=revision.digest,
        phase=phase,
        weight=weight,
        metrics=f"http://{HOST}:{ports.http}/metrics",
    )
