"""One whole stack that exports its spans to a collector in this process."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from proof.lab.running_stack import RunningStack, start_stack
from proof.lab.scrape import Scrape, read_metrics
from tests.support.collector import Collector, start_span_collector

SERVICES = ("auth_proxy", "transformer", "predictor")


@dataclass(frozen=True)
class ObservedStack:
    """A running stack and the collector of its spans."""

    stack: RunningStack
    collector: Collector

    def scrape_metrics(self) -> dict[str, Scrape]:
        """Read the metrics of each service."""
        return {name: read_metrics(self.stack.record.metrics[name]) for name in SERVICES}

    def read_log(self, name: str) -> str:
        """Read the log of a service."""
        return Path(self.stack.record.parts[name].log).read_text()


@pytest.fixture(scope="package")
def observed(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObservedStack]:
    """A stack that exports its spans to a collector."""
    with start_span_collector() as collector:
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
            patched.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
            patched.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "256")
            patched.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "128")
            stack = start_stack(tmp_path_factory.mktemp("observed"), bundle)
        yield ObservedStack(stack, collector)
        stack.process.terminate()
        stack.process.wait(60)


@pytest.fixture
def client(observed: ObservedStack) -> Iterator[httpx.Client]:
    """An HTTP client of the proxy with a token."""
    headers = {"authorization": f"Bearer {observed.stack.make_token()}"}
    address = observed.stack.record.address
    with httpx.Client(base_url=address, headers=headers, timeout=60, trust_env=False) as http:
        yield http
