"""Rolling restarts under load: ``python -m proof.faults.restarts BUNDLE [RESTARTS]``.

As Kubernetes does it: the new pod is ready first; then the old one gets SIGTERM, and only some time later do
the balancers know that nothing more is to be sent to it. Between proxy and transformer stands what kube-proxy
is: a connection stays with its pod to the end. Between transformer and predictor stands Envoy.
"""

import argparse
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
from proof.lab.balancer import ConnectionBalancer
from proof.lab.grpc_caller import GrpcCaller
from proof.lab.known_radiographs import KnownRadiographs
from proof.lab.load import Caller, CallResult, call_until, compute_quantile_ms
from proof.lab.parts import DependencyServers, ServiceEnvironment, start_proxy_and_issuer
from proof.lab.report import ClaimRow, print_claims

_DRAIN_S: Final = 2.0
_LAG_S: Final = 0.5
"""How much later than the pod its balancers learn that it ends."""
_LONGEST_END_S: Final = 15.0
_REST_S: Final = 0.5
_FRESH: Final = 500
_FRESH_PER_S, _FILES_PER_S, _KNOWN_PER_S, _GRPC_PER_S = 2.0, 2.0, 10.0, 5.0


@dataclass(frozen=True)
class End:
    """How a process that was replaced has ended."""

    name: str
    code: int | None
    seconds: float


class RestartCampaign:
    """Transformer and predictor, each of which can be replaced by a new process of its kind."""

    def __init__(self, ground: ServiceEnvironment, running: ExitStack) -> None:
        self._ground, self._started = ground, 0
        running.callback(self._stop)
        self._now: dict[str, Service] = {"predictor": self._start_predictor()}
        upstreams = [_upstream(self._now["predictor"])]
        envoy = start_envoy(ground.folder / "envoy", ground.envoy_port, upstreams)
        running.callback(envoy.stop)
        transformer = self._now["transformer"] = self._start("transformer", ground.transformer)
        self.rest, self.grpc = (
            ConnectionBalancer(_rest_port(transformer)),
            ConnectionBalancer(_grpc_port(transformer)),
        )

    def _stop(self) -> None:
        for service in self._now.values():
            service.stop()

    def _start(self, name: str, environment: Mapping[str, str]) -> Service:
        self._started += 1
        folder = self._ground.folder / f"{name}-{self._started}"
        draining = {**environment, "PLEURA_DRAIN_S": str(_DRAIN_S)}
        return start_service(name, folder, Ports(free_port(), free_port()), draining)

    def _start_predictor(self) -> Service:
        return self._start("predictor", {"PLEURA_BUNDLE": str(self._ground.bundle)})

    async def replace_predictor(self) -> End:
        """Start a new predictor, and end the old one."""
        new = await asyncio.to_thread(self._start_predictor)
        old, self._now["predictor"] = self._now["predictor"], new
        upstreams = [_upstream(new), _upstream(old, weight=0)]
        return await _end(old, lambda: write_upstreams(self._ground.folder / "envoy", upstreams))

    async def replace_transformer(self) -> End:
        """Start a new transformer, and end the old one."""
        new = await asyncio.to_thread(self._start, "transformer", self._ground.transformer)
        old, self._now["transformer"] = self._now["transformer"], new

        def move() -> None:
            self.rest.port, self.grpc.port = _rest_port(new), _grpc_port(new)

        return await _end(old, move)


def _upstream(predictor: Service, weight: int = 100) -> WeightedUpstream:
    port = _grpc_port(predictor)
    return WeightedUpstream(f"predictor-{port}", port, weight)


def _rest_port(service: Service) -> int:
    return int(service.url.rpartition(":")[2])


def _grpc_port(service: Service) -> int:
    return int(service.grpc_address.rpartition(":")[2])


async def _end(old: Service, move_traffic: Callable[[], None]) -> End:
    old.process.send_signal(signal.SIGTERM)
    began_s = time.monotonic()
    await asyncio.sleep(_LAG_S)
    move_traffic()
    with suppress(subprocess.TimeoutExpired):
        await asyncio.to_thread(old.process.wait, 2 * _LONGEST_END_S)
    end = End(old.name, old.process.poll(), time.monotonic() - began_s)
    await asyncio.to_thread(old.stop)
    return end


async def run_restarts(ground: ServiceEnvironment, restarts: int, fresh: int = _FRESH) -> list[ClaimRow]:
    """Replace predictor and transformer in turn, while callers ask in every way there is."""
    with ExitStack() as running:
        rollout = await asyncio.to_thread(RestartCampaign, ground, running)
        rest_port, grpc_port = await rollout.rest.start(), await rollout.grpc.start()
        proxy, token = await asyncio.to_thread(start_proxy_and_issuer, ground, rest_port, grpc_port, running)
        questions = await asyncio.to_thread(KnownRadiographs, ground.store)
        await asyncio.to_thread(questions.upload, fresh)
        rest, grpc = Caller(proxy.url, token), GrpcCaller(proxy.grpc_address, token)
        await questions.learn_answers(rest.ask)
        stop = asyncio.Event()
        streams = [
            call_until(stop, lambda: rest.ask(questions.next_fresh_id()), _FRESH_PER_S),
            call_until(stop, lambda: rest.send(*questions.next_file()), _FILES_PER_S),
            call_until(stop, lambda: rest.ask(questions.next_known_id()), _KNOWN_PER_S),
            call_until(stop, lambda: grpc.ask(questions.next_known_id()), _GRPC_PER_S),
        ]
        asked = asyncio.gather(*streams)
        ends = []
        for number in range(restarts):
            await asyncio.sleep(_REST_S)
            replace = rollout.replace_transformer if number % 2 else rollout.replace_predictor
            ends.append(await replace())
        stop.set()
        answers = [answer for stream in await asked for answer in stream]
        await grpc.close()
        await rest.close()
        await rollout.rest.close()
        await rollout.grpc.close()
        return build_claim_rows(restarts, ends, answers, questions)


def build_claim_rows(
    restarts: int, ends: Sequence[End], answers: Sequence[CallResult], questions: KnownRadiographs
) -> list[ClaimRow]:
    """What is claimed, and what was measured."""
    counts = Counter(answer.status for answer in answers)
    failed, wrong = len(answers) - counts[200], len(questions.find_wrong(answers))
    codes, longest_s = Counter(end.code for end in ends), max(end.seconds for end in ends)
    fresh = sum(answer.is_ok and not answer.document["cached"] for answer in answers)
    told = f"{len(answers)} asked, {fresh} not from the cache; {dict(counts)}"
    return [
        ClaimRow(
            "processes replaced, each ended with 0", f"{restarts}", f"{dict(codes)}", codes == {0: restarts}
        ),
        ClaimRow("requests that were not answered 200", "0", f"{failed} ({told})", failed == 0),
        ClaimRow("answers about another radiograph", "0", f"{wrong}", wrong == 0),
        ClaimRow(
            "longest time from SIGTERM to the end",
            f"{_LONGEST_END_S:.0f} s",
            f"{longest_s:.1f} s",
            longest_s < _LONGEST_END_S,
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
    """Run the campaign."""
    parser = argparse.ArgumentParser(prog="proof.faults.restarts")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("restarts", type=int, nargs="?", default=50)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pleura-restarts-") as name, ExitStack() as running:
        folder = Path(name)
        ground = ServiceEnvironment.prepare(
            folder, arguments.bundle, DependencyServers.start(folder, running)
        )
        done = asyncio.run(run_restarts(ground, arguments.restarts))
    return print_claims(f"{arguments.restarts} rolling restarts under load", done)


if __name__ == "__main__":
    sys.exit(main())
