"""A proxy, a transformer and a predictor with generous limits, and a count of the requests to them."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pleura.local import token_issuer
from pleura.local.access import AUDIENCE
from pleura.local.dependencies import Server, free_port
from pleura.local.pleura_services import Ports, Service, start_service
from proof.lab.bucket import BUCKET, make_bucket_client, put_object
from proof.lab.service_key import KEY_ONLY
from proof.lab.transformer import TransformerParts, make_radiograph_png, start_transformer
from tests.conformance.servers import V2Server, V2Servers
from tests.support import triton

_REQUESTS = pytest.StashKey[Counter[str]]()
_RUN_FIELDS = ("case", "transport", "server", "client")


@pytest.fixture(scope="session")
def parts(
    predictor: Service,
    seaweed: Server,
    valkey: Server,
    postgres: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> TransformerParts:
    """The real parts, with the radiographs ``r0.png`` and ``r1.png`` in the bucket."""
    client = make_bucket_client(seaweed.url)
    if not client.bucket_exists(BUCKET):
        client.make_bucket(BUCKET)
    for number in range(2):
        put_object(client, f"r{number}.png", make_radiograph_png(number))
    spool = tmp_path_factory.mktemp("conformance") / "spool"
    return TransformerParts(predictor.grpc_address, seaweed.url, valkey.url, postgres.url, spool)


@pytest.fixture(scope="session")
def transformer(parts: TransformerParts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A transformer that accepts files of up to 1 MB."""
    environment = parts.build_environment(PLEURA_MAX_FILE_MB="1")
    service = start_transformer(tmp_path_factory.mktemp("transformer"), environment)
    yield service
    service.stop()


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An issuer, with its keys in the folder of its log."""
    folder, port = tmp_path_factory.mktemp("issuer"), free_port()
    service = start_service(
        "pleura.local.token_issuer",
        folder,
        Ports(port, port),
        {"PLEURA_ISSUER_FOLDER": str(folder)},
        "/jwks.json",
    )
    yield service
    service.stop()


def start_proxy(folder: Path, issuer: Service, transformer: Service, ready_path: str, **more: str) -> Service:
    """Start a proxy in front of a transformer, and wait until it answers on ``ready_path``."""
    environment = {
        "PLEURA_TRANSFORMER_URL": transformer.url,
        "PLEURA_TRANSFORMER_GRPC": transformer.grpc_address,
        "PLEURA_ISSUER": issuer.url,
        "PLEURA_AUDIENCE": AUDIENCE,
        "PLEURA_JWKS_URL": f"{issuer.url}/jwks.json",
        "PLEURA_RATE_PER_S": "100000",
        "PLEURA_BURST": "100000",
        **KEY_ONLY,
    }
    return start_service(
        "auth_proxy", folder, Ports(free_port(), free_port()), environment | more, ready_path
    )


def make_token(issuer: Service, *scopes: str) -> str:
    """Make a token that the proxy accepts, with all scopes if none are named."""
    return token_issuer.issue_token(
        issuer.log.parent, "tester", scopes or token_issuer.SCOPES, 3600, AUDIENCE, issuer.url
    )


@pytest.fixture(scope="session")
def proxy(
    transformer: Service, issuer: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A proxy that accepts bodies of up to 2 MB and has a very high rate limit."""
    folder = tmp_path_factory.mktemp("proxy")
    service = start_proxy(folder, issuer, transformer, "/readyz", PLEURA_MAX_BODY_MB="2")
    yield service
    service.stop()


@pytest.fixture(scope="session")
def servers(
    proxy: Service, transformer: Service, predictor: Service, issuer: Service, parts: TransformerParts
) -> Iterator[V2Servers]:
    """The servers that speak V2."""
    by_name = {
        "proxy": V2Server("proxy", proxy, make_token(issuer)),
        "transformer": V2Server("transformer", transformer),
        "predictor": V2Server("predictor", predictor),
    }
    internal_addresses = [transformer.url, transformer.grpc_address, predictor.url, predictor.grpc_address]
    internal_addresses += [parts.s3_url, parts.redis_url, parts.journal_dsn]
    yield V2Servers(by_name, tuple(address.rpartition("://")[2] for address in internal_addresses))
    for server in by_name.values():
        server.channel.close()


@pytest.fixture(scope="session")
def triton_client() -> Iterator[triton.TritonClient]:
    """NVIDIA's gRPC client."""
    with closing(triton.TritonClient()) as client:
        yield client


@pytest.fixture
def count_run(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """A function that records the case, transport, server and client of a run for the summary."""

    def count(**run: str) -> None:
        for kind in _RUN_FIELDS:
            record_property(kind, run[kind])

    return count


@pytest.fixture(scope="session")
def count_request(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """A function that counts a request of schemathesis for the summary."""
    counts = pytestconfig.stash.setdefault(_REQUESTS, Counter())

    def count(operation: str) -> None:
        counts[operation] += 1

    return count


def _count_runs(reports: list[pytest.TestReport]) -> dict[str, Counter[str]]:
    counts = {kind: Counter[str]() for kind in _RUN_FIELDS}
    for report in reports:
        for kind, name in report.user_properties:
            if kind in counts:
                counts[kind][str(name)] += 1
    return counts


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the number of cases, and of runs by transport, server and client."""
    passed, failed = (
        [r for r in terminalreporter.getreports(outcome) if getattr(r, "when", "") == "call"]
        for outcome in ("passed", "failed")
    )
    counts = _count_runs([*passed, *failed])
    requests = terminalreporter.config.stash.get(_REQUESTS, Counter())
    if not counts["case"] and not requests:
        return
    terminalreporter.section("V2 conformance")
    terminalreporter.line(f"cases {len(counts['case'])}, runs {counts['case'].total()}")
    for kind in _RUN_FIELDS[1:]:
        runs = ", ".join(f"{name} {count}" for name, count in sorted(counts[kind].items()))
        terminalreporter.line(f"runs by {kind}: {runs}")
    terminalreporter.line(f"schemathesis: operations {len(requests)}, requests {requests.total()}")
    own_failures = [r for r in failed if "tests/conformance" in r.nodeid]
    terminalreporter.line(f"failures {len(own_failures)}")
