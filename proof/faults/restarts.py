"""Rolling restarts under load: ``python -m proof.faults.restarts BUNDLE [RESTARTS]``.

The order is that of Kubernetes: the new pod becomes ready, then the old pod gets SIGTERM, and some time later
the balancers stop sending to the old pod. A balancer like kube-proxy stands between proxy and transformer: a
connection stays with its pod. Envoy stands between transformer and predictor.
"""

import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pleura.local.dependencies import WeightedUpstream, start_envoy, write_upstreams
from pleura.local.pleura_services import Ports, Service, start_service
from pleura.local.processes import free_port
from proof.lab.arguments import parse_campaign
from proof.lab.balancer import ConnectionBalancer
from proof.lab.grpc_caller import GrpcCaller
from proof.lab.known_radiographs import KnownRadiographs
from proof.lab.load import Caller, CallResult, call_until, compute_quantile_ms
from proof.lab.parts import DependencyServers, ServiceEnvironment, start_proxy_and_issuer
from proof.lab.report import ClaimRow, print_claims
from proof.lab.service_key import KEY_ONLY

# Longer than the balancers go on sending to the old pod.
_DRAIN_S: Final = 2.0
_LAG_S: Final = 0.5
"""How long after SIGTERM the balancers still send to the old pod."""
_MAX_STOP_S: Final = 15.0
_PAUSE_S: Final = 0.5
_FRESH: Final = 500
_FRESH_PER_S, _FILES_PER_S, _KNOWN_PER_S, _GRPC_PER_S = 2.0, 2.0, 10.0, 5.0


@dataclass(frozen=True)
class StoppedProcess:
    """The exit code of a replaced process, and how long its stop took."""

    name: str
    code: int | None
    seconds: float


class RestartCampaign:
    """A running transformer and predictor, which can be replaced by new processes."""

    def __init__(self, environment: ServiceEnvironment, running: ExitStack) -> None:
        self._environment, self._started = environment, 0
        running.callback(self._stop)
        self._current: dict[str, Service] = {"predictor": self._start_predictor()}
        upstreams = [_make_upstream(self._current["predictor"])]
        envoy = start_envoy(environment.folder / "envoy", environment.envoy_port, upstreams)
        running.callback(envoy.stop)
        transformer = self._current["transformer"] = self._start("transformer", environment.transformer)
        self.rest, self.grpc = (
            ConnectionBalancer(_parse_rest_port(transformer)),
            ConnectionBalancer(_parse_grpc_port(transformer)),
        )

    def _stop(self) -> None:
        for service in self._current.values():
            service.stop()

    def _start(self, name: str, settings: Mapping[str, str]) -> Service:
        self._started += 1
        folder = self._environment.folder / f"{name}-{self._started}"
        settings = {**settings, "PLEURA_DRAIN_S": str(_DRAIN_S)}
        return start_service(name, folder, Ports(free_port(), free_port()), settings)

    def _start_predictor(self) -> Service:
        return self._start("predictor", {"PLEURA_BUNDLE": str(self._environment.bundle), **KEY_ONLY})

    async def replace_predictor(self) -> StoppedProcess:
        """Start a new predictor, and stop the old one."""
        new = await asyncio.to_thread(self._start_predictor)
        old, self._current["predictor"] = self._current["predictor"], new
        # With weight 0, and not absent, so that Envoy lets the requests of the old one end.
        upstreams = [_make_upstream(new), _make_upstream(old, weight=0)]
        return await _stop_old(old, lambda: write_upstreams(self._environment.folder / "envoy", upstreams))

    async def replace_transformer(self) -> StoppedProcess:
        """Start a new transformer, and stop the old one."""
        new = await asyncio.to_thread(self._start, "transformer", self._environment.transformer)
        old, self._current["transformer"] = self._current["transformer"], new

        def move_traffic() -> None:
            self.rest.port, self.grpc.port = _parse_rest_port(new), _parse_grpc_port(new)

        return await _stop_old(old, move_traffic)


def _make_upstream(predictor: Service, weight: int = 100) -> WeightedUpstream:
    port = _parse_grpc_port(predictor)
    return WeightedUpstream(f"predictor-{port}", port, weight)


def _parse_rest_port(service: Service) -> int:
    return int(service.url.rpartition(":")[2])


def _parse_grpc_port(service: Service) -> int:
    return int(service.grpc_address.rpartition(":")[2])


async def _stop_old(old: Service, move_traffic: Callable[[], None]) -> StoppedProcess:
    old.process.send_signal(signal.SIGTERM)
    began_s = time.monotonic()
    # The old pod still gets new requests now, and must answer them.
    await asyncio.sleep(_LAG_S)
    move_traffic()
    with suppress(subprocess.TimeoutExpired):
        await asyncio.to_thread(old.process.wait, 2 * _MAX_STOP_S)
    stopped = StoppedProcess(old.name, old.process.poll(), time.monotonic() - began_s)
    await asyncio.to_thread(old.stop)
    return stopped


async def run_restarts(environment: ServiceEnvironment, restarts: int, fresh: int = _FRESH) -> list[ClaimRow]:
    """Replace predictor and transformer in turn, while callers send ids and files over REST and gRPC."""
    with ExitStack() as running:
        rollout = await asyncio.to_thread(RestartCampaign, environment, running)
        rest_port, grpc_port = await rollout.rest.start(), await rollout.grpc.start()
        proxy, token = await asyncio.to_thread(
            start_proxy_and_issuer, environment, rest_port, grpc_port, running
        )
        radiographs = await asyncio.to_thread(KnownRadiographs, environment.store)
        await asyncio.to_thread(radiographs.upload, fresh)
        rest, grpc = Caller(proxy.url, token), GrpcCaller(proxy.grpc_address, token)
        await radiographs.learn_answers(rest.send_id)
        stop = asyncio.Event()
        streams = [
            call_until(stop, lambda: rest.send_id(radiographs.next_fresh_id()), _FRESH_PER_S),
            call_until(stop, lambda: rest.send_file(*radiographs.next_file()), _FILES_PER_S),
            call_until(stop, lambda: rest.send_id(radiographs.next_known_id()), _KNOWN_PER_S),
            call_until(stop, lambda: grpc.send_id(radiographs.next_known_id()), _GRPC_PER_S),
        ]
        load = asyncio.gather(*streams)
        stops = []
        for number in range(restarts):
            await asyncio.sleep(_PAUSE_S)
            # In turn, because the two end differently: one holds files of callers, the other a running
            # graph.
            replace = rollout.replace_transformer if number % 2 else rollout.replace_predictor
            stops.append(await replace())
        stop.set()
        answers = [answer for stream in await load for answer in stream]
        await grpc.close()
        await rest.close()
        await rollout.rest.close()
        await rollout.grpc.close()
        return build_claim_rows(restarts, stops, answers, radiographs)


def build_claim_rows(
    restarts: int,
    stops: Sequence[StoppedProcess],
    answers: Sequence[CallResult],
    radiographs: KnownRadiographs,
) -> list[ClaimRow]:
    """Build all claims of the campaign."""
    counts = Counter(answer.status for answer in answers)
    failed, wrong = len(answers) - counts[200], len(radiographs.find_wrong(answers))
    codes, longest_s = Counter(stop.code for stop in stops), max(stop.seconds for stop in stops)
    fresh = sum(answer.is_ok and not answer.document["cached"] for answer in answers)
    details = f"{len(answers)} requests, {fresh} not from the cache; {dict(counts)}"
    return [
        ClaimRow(
            "replaced processes, each with exit code 0",
            f"{restarts}",
            f"{dict(codes)}",
            # An engine that is still computing can abort the process at its end, as OpenVINO once did.
            codes == {0: restarts},
        ),
        ClaimRow("requests without status 200", "0", f"{failed} ({details})", failed == 0),
        ClaimRow("answers for another radiograph", "0", f"{wrong}", wrong == 0),
        ClaimRow(
            "longest time from SIGTERM to the exit",
            f"{_MAX_STOP_S:.0f} s",
            f"{longest_s:.1f} s",
            longest_s < _MAX_STOP_S,
        ),
        ClaimRow(
            "answer times p50, p99, longest",
            "-",
            f"{compute_quantile_ms(answers, 0.5):.0f}, {compute_quantile_ms(answers, 0.99):.0f}, "
            f"{compute_quantile_ms(answers, 1):.0f} ms",
            None,
        ),
    ]


def main() -> int:
    """Run the campaign. The exit status is 0 if every claim holds."""
    arguments = parse_campaign("proof.faults.restarts", restarts=50)
    with tempfile.TemporaryDirectory(prefix="pleura-restarts-") as name, ExitStack() as running:
        folder = Path(name)
        environment = ServiceEnvironment.prepare(
            folder, arguments.bundle, DependencyServers.start(folder, running)
        )
        rows = asyncio.run(run_restarts(environment, arguments.restarts))
    return print_claims(f"{arguments.restarts} rolling restarts under load", rows)


if __name__ == "__main__":
    sys.exit(main())
