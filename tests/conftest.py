"""The real servers that the tests of every package stand on, each started once."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from pleura.local import dependencies
from pleura.local.default_bundle import make_bundle
from pleura.local.dependencies import Server
from pleura.local.dependencies.postgres_cluster import PostgresCluster
from pleura.local.pleura_services import Ports, Service, start_predictor
from proof.lab.module_process import is_answering, start_module, stop_process, wait_until
from proof.lab.proxy import Issuer
from proof.lab.running_stack import RunningStack, start_stack
from proof.lab.service_key import KEY_OR_NONE

_ROOT = Path(__file__).parents[1]

# These machines are noisy: how long an example takes says nothing about the code.
settings.register_profile("pleura", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pleura")


@pytest.fixture(autouse=True)
def _process_as_before() -> Iterator[None]:
    """What a command's ``main`` sets up in this process ends with its test: logging and the umask."""
    umask = os.umask(0o022)
    os.umask(umask)
    root = logging.getLogger()
    handlers, level, configured = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configured)
    structlog.contextvars.clear_contextvars()
    os.umask(umask)


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Gives a port that nothing listens on."""
    return dependencies.free_port


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A PostgreSQL server whose url names the empty database ``pleura``. Its user may create databases."""
    folder = tmp_path_factory.mktemp("postgres")
    cluster = PostgresCluster(folder)
    cluster.prepare()
    cluster.execute(["ALTER ROLE pleura CREATEDB"])
    cluster.mark_plain()
    server = dependencies.start_postgres(folder, dependencies.free_port())
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Valkey server, asked like Redis."""
    server = dependencies.start_valkey(tmp_path_factory.mktemp("valkey"), dependencies.free_port())
    yield server
    server.stop()


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An S3 server with the keys ``test-access`` and ``test-secret-key``."""
    folder, port = tmp_path_factory.mktemp("seaweed"), dependencies.free_port()
    server = dependencies.start_seaweed(folder, port, "test-access", "test-secret-key")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def local_issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    """The one-machine issuer in a process of its own."""
    folder, port = tmp_path_factory.mktemp("issuer"), dependencies.free_port()
    environment = {"PLEURA_HTTP_PORT": str(port), "PLEURA_ISSUER_FOLDER": str(folder / "keys")}
    process = start_module("pleura.local.token_issuer", environment, folder / "log")
    wait_until(lambda: is_answering(port, "/jwks.json"))
    yield Issuer(f"http://127.0.0.1:{port}", folder / "keys")
    stop_process(process)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The radiographs that come with the tests; ``README.md`` there names their sources."""
    return _ROOT / "tests" / "data"


@pytest.fixture(scope="session")
def samples() -> Path:
    """The sample radiographs of the repository."""
    return _ROOT / "samples"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed bundle around a very small network."""
    from proof.lab.bundles import (
        make_tiny_bundle,  # TensorFlow comes along, for the tests that ask for it only
    )

    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="session")
def default_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the committed weights."""
    folder = tmp_path_factory.mktemp("default")
    make_bundle(folder / "bundle", folder / "log")
    return folder / "bundle"


@pytest.fixture(scope="session")
def predictor(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A predictor on the small bundle."""
    ports = Ports(dependencies.free_port(), dependencies.free_port())
    service = start_predictor(tmp_path_factory.mktemp("predictor"), ports, bundle, KEY_OR_NONE, threads=1)
    yield service
    service.stop()


@pytest.fixture(scope="session")
def stack(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The whole one-machine stack on the small bundle."""
    running = start_stack(tmp_path_factory.mktemp("stack"), bundle)
    yield running
    assert running.process.poll() is None, "a test ended the stack that all tests share"
    running.stop()


@pytest.fixture(scope="session")
def challengers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles that differ from the small one, by what is special about each."""
    from tests.support.challengers import make_challengers

    return make_challengers(tmp_path_factory.mktemp("challengers"))
