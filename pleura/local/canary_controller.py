"""Make the predictors of a stack follow ``revisions.json``: start a canary, split traffic, drain, promote.

The stable revision is the part ``predictor`` of the stack, which restarts it. A canary has a slot of its own.
A canary that fails gets no more traffic, and starts again only after ``revisions.json`` has named another
revision. A promoted model moves to the stable slot; the canary's process carries the traffic meanwhile.
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
_PERIOD_S: Final = 0.2
_PROBE_TIMEOUT_S: Final = 2.0
_SILENCE_S: Final = 8.0
_LEAST_DRAIN_S: Final = 1.0
_DRAIN_S: Final = 12.0


@dataclass
class _Canary:
    """The process in the canary slot; only the thread of the controller changes it."""

    revision: PredictorRevision
    service: Service | None
    phase: Phase = "starting"
    reason: str = ""
    answered_s: float = 0.0
    """When it answered last; at first, when it was started."""
    drain_began_s: float = 0.0


class CanaryController:
    """Follows ``revisions.json`` in a thread of its own, from ``start`` to ``stop``."""

    def __init__(
        self, slots: PredictorSlots, report: Callable[[str], None], on_change: Callable[[], None]
    ) -> None:
        self._slots, self._report, self._on_change = slots, report, on_change
        self._canary: _Canary | None = None
        self._replaced: Server | None = None
        self._weight = 0
        self._written: RevisionStatus | None = None
        self._reported_problem = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow_file, name="revisions", daemon=True)
        self._client = httpx.Client(timeout=_PROBE_TIMEOUT_S, trust_env=False)

    @property
    def servers(self) -> Mapping[str, Server]:
        """The process of the canary."""
        canary = self._canary
        return {CANARY: canary.service} if canary and canary.service else {}

    def start(self) -> None:
        """Start to follow the file."""
        self._thread.start()

    def stop(self) -> None:
        """Stop to follow the file, and stop the canary."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30.0)
        if self._canary and self._canary.service:
            self._canary.service.stop()
        self._client.close()

    def _follow_file(self) -> None:
        while not self._stopping.wait(_PERIOD_S):
            try:
                wanted, digest = read_wanted_revisions(self._slots.folder)
                self.take_step(wanted or WantedRevisions(revisions=(self._slots.stable,)))
                self._write_status(digest)
            except (InvalidRevisions, OSError) as error:  # also of a full disk: the next step tries again
                self._report_problem(str(error))
            except Exception as error:  # the thread ends here, and the user must know
                self._report_problem(f"{type(error).__name__}: {error}")
                raise

    def _report_problem(self, reason: str) -> None:
        if reason != self._reported_problem:
            self._reported_problem = reason
            self._report(f"revisions cannot be followed: {reason}")

    def take_step(self, wanted: WantedRevisions) -> None:
        """Take the next step towards the wanted revisions; it never waits for a process to start."""
        if self._replaced:
            self._await_new_stable()
            return
        stable = self._slots.stable.digest
        keeps_stable = wanted.find(stable) is not None
        other = wanted.find_other(stable) if keeps_stable else wanted.heaviest
        canary = self._canary
        if canary and (other is None or canary.revision.digest != other.digest):
            self._retire(canary)
        elif canary is None and other:
            self._start_canary(other)
        elif canary and canary.phase in ("starting", "ready"):
            self._check_health(canary)
            revision = wanted.find(canary.revision.digest)
            share = 100 if not keeps_stable else revision.weight if revision else 0
            self._split_traffic(share if canary.phase == "ready" else 0)
            if keeps_stable:
                canary.drain_began_s = 0.0
            elif canary.phase == "ready":
                self._promote(canary)

    def _start_canary(self, revision: PredictorRevision) -> None:
        self._canary = canary = _Canary(revision, None, answered_s=time.monotonic())
        try:
            require_digest(revision.bundle, revision.digest)
            canary.service = self._slots.launch_canary(revision.bundle)
        except (InvalidBundle, StartFailed) as error:
            self._fail(canary, str(error))
            return
        self._report(f"revision {revision.name} starts as canary")
        self._on_change()

    def _check_health(self, canary: _Canary) -> None:
        assert canary.service
        code = canary.service.process.poll()
        now, limit_s = time.monotonic(), START_TIMEOUT_S if canary.phase == "starting" else _SILENCE_S
        if code is not None:
            self._fail(canary, f"its predictor ended (exit code {code}; log: {canary.service.log})")
        elif self._answers(canary.service):
            canary.answered_s = now
            if canary.phase == "starting":
                canary.phase = "ready"
                self._report(f"revision {canary.revision.name} is ready")
        elif now - canary.answered_s > limit_s:
            self._fail(canary, f"its predictor does not answer (log: {canary.service.log})")

    def _answers(self, service: Service) -> bool:
        try:
            return self._client.get(f"{service.url}{MODEL_READY}").is_success
        except httpx.HTTPError:
            return False

    def _fail(self, canary: _Canary, reason: str) -> None:
        canary.phase, canary.reason = "failed", reason
        self._split_traffic(0)
        self._report(f"revision {canary.revision.name} failed: {reason}")
        if canary.service:
            canary.service.stop(timeout_s=1.0)
            canary.service = None
            self._on_change()

    def _retire(self, canary: _Canary) -> None:
        """Stop the canary after it has answered the requests that it has."""
        now = time.monotonic()
        if canary.service and canary.phase != "draining":
            self._split_traffic(0)
            canary.phase, canary.drain_began_s = "draining", now
            return
        if canary.service:
            if not self._is_drained(canary.service, now - canary.drain_began_s):
                return
            canary.service.stop()
        self._canary = None
        self._split_traffic(0)
        self._report(f"revision {canary.revision.name} has left")
        self._on_change()

    def _is_drained(self, server: Server, waited_s: float) -> bool:
        """Whether a server that gets no more requests has answered all that it had, or had time enough."""
        return waited_s >= _DRAIN_S or (waited_s >= _LEAST_DRAIN_S and not self._has_requests(server.url))

    def _has_requests(self, url: str) -> bool:
        try:
            text = self._client.get(f"{url}/metrics").text
        except httpx.HTTPError:
            return False
        return any(
            line.startswith("pleura_requests_in_flight ") and float(line.split()[1]) > 0
            for line in text.splitlines()
        )

    def _promote(self, canary: _Canary) -> None:
        """Put the canary's model into the stable slot, once the old process has answered all that it had."""
        now = time.monotonic()
        canary.drain_began_s = canary.drain_began_s or now
        stable = self._slots.stable_server()
        if stable is None or not self._is_drained(stable, now - canary.drain_began_s):
            return  # without a stable server the stack restarts it at this moment
        self._report(f"revision {canary.revision.name} takes the stable slot")
        self._replaced = stable
        self._slots.replace_stable(canary.revision)

    def _await_new_stable(self) -> None:
        stable = self._slots.stable_server()
        if stable is not None and stable is not self._replaced:
            self._replaced = None
            self._split_traffic(0)

    def _split_traffic(self, weight: int) -> None:
        """Give the canary its percent; Envoy keeps it in its list, since calls to it may still run."""
        canary, grpc = self._canary, self._slots.canary_ports.grpc
        upstreams = [WeightedUpstream("stable", self._slots.stable_ports.grpc, 100 - weight)]
        if canary and canary.service:
            upstreams.append(WeightedUpstream(CANARY, grpc, weight))
        self._slots.split_traffic(upstreams)
        self._weight = weight

    def _write_status(self, digest: str) -> None:
        status = RevisionStatus(wanted=digest, revisions=self._running_revisions())
        if status != self._written:
            write_status(self._slots.folder, status)
            self._written = status

    def _running_revisions(self) -> tuple[RunningRevision, ...]:
        slots, canary = self._slots, self._canary
        stable = _describe(slots.stable, "ready", 100 - self._weight, slots.stable_ports)
        if canary is None:
            return (stable,)
        described = _describe(canary.revision, canary.phase, self._weight, slots.canary_ports)
        if canary.revision.digest == stable.digest:  # both processes serve one model, with all the traffic
            return (described.model_copy(update={"phase": "moving", "weight": 100}),)
        return (stable, described.model_copy(update={"reason": canary.reason}))


def _describe(revision: PredictorRevision, phase: Phase, weight: int, ports: Ports) -> RunningRevision:
    return RunningRevision(
        name=revision.name,
        bundle=revision.bundle,
        digest=revision.digest,
        phase=phase,
        weight=weight,
        metrics=f"http://{HOST}:{ports.http}/metrics",
    )
