"""A whole stack with a fault proxy in front of S3, Redis, PostgreSQL and the predictor."""

import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Final

import psycopg2
import redis

from pleura.local.dependencies import Server, WeightedUpstream, free_port, write_upstreams
from pleura.local.pleura_services import Ports, Service, start_predictor
from pleura.local.processes import HOST
from proof.faults.proxy import FaultProxy
from proof.lab.load import Caller, CallResult, upload_files
from proof.lab.parts import DependencyServers
from proof.lab.radiographs import make_fresh_radiographs
from proof.lab.running_stack import RunningStack, start_stack
from proof.lab.service_key import ANY_KEY
from proof.lab.transformer import ACCESS_KEY, SECRET_KEY

PARTS: Final = ("redis", "s3", "postgres", "predictor")
_KNOWN, _FRESH, _SIZE_PX = 20, 300, 256


@dataclass
class WatchedPredictor:
    """A predictor that only the campaign restarts."""

    folder: Path
    bundle: Path
    ports: Ports
    service: Service | None = None

    def start(self) -> None:
        """Start the predictor. If it is running, stop it first."""
        self.stop()
        self.service = start_predictor(self.folder, self.ports, self.bundle, ANY_KEY)

    def stop(self) -> None:
        """Stop the predictor if it is running."""
        if self.service:
            self.service.stop()
            self.service = None

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the predictor and its children."""
        assert self.service
        os.killpg(self.service.process.pid, number)


@dataclass(frozen=True)
class FaultLab:
    """A stack, the fault proxies of its parts, its predictor, and direct access to the other parts."""

    stack: RunningStack
    proxies: Mapping[str, FaultProxy]
    predictor: WatchedPredictor
    servers: Mapping[str, Server]
    known_ids: Sequence[str]
    fresh_ids: Sequence[str]

    @property
    def dsn(self) -> str:
        """The connection string of the journal, without the proxy."""
        return self.servers["postgres"].url

    def empty_cache(self) -> None:
        """Empty the cache."""
        with redis.Redis.from_url(self.servers["redis"].url) as client:
            client.flushall()

    def make_caller(self, timeout_s: float = 30.0) -> Caller:
        """Make a caller with a valid token, to be used in an ``async with``."""
        return Caller(self.stack.record.address, self.stack.make_token(), timeout_s)

    def cycle_image_ids(self) -> Iterator[str]:
        """Yield object ids without end. Two of three are in the cache, the third is new."""
        # A fault of the store shows with new radiographs, one of the cache with known ones.
        known, fresh = cycle(self.known_ids), cycle(self.fresh_ids)
        while True:
            yield next(known)
            yield next(known)
            yield next(fresh)


@contextmanager
def fault_lab(folder: Path, bundle: Path) -> Iterator[FaultLab]:
    """Start a fault laboratory, and stop it at the end."""
    keys = (ACCESS_KEY, SECRET_KEY)
    with ExitStack() as running:
        servers = DependencyServers.start(folder, running, keys)
        parts = {"postgres": servers.postgres, "redis": servers.valkey, "s3": servers.seaweed}
        predictor = WatchedPredictor(folder / "predictor", bundle, Ports(free_port(), free_port()))
        running.callback(predictor.stop)
        predictor.start()
        targets = {name: _parse_port(server.url) for name, server in parts.items()}
        targets["predictor"] = predictor.ports.grpc
        proxies = {name: FaultProxy(port) for name, port in targets.items()}
        for proxy in proxies.values():
            running.callback(proxy.stop)
        stack = start_stack(folder / "stack", bundle, *_build_options(parts, proxies, keys))
        running.callback(stack.stop)
        # All calls must go through the fault proxy, and none to the stack's own predictor.
        upstream = WeightedUpstream("watched", proxies["predictor"].port, 100)
        write_upstreams(stack.state.path / "envoy", [upstream])
        files = make_fresh_radiographs(_KNOWN, seed=time.time_ns() % 2**32, size_px=_SIZE_PX)
        known_ids = upload_files(stack.record, files, "known")
        fresh_ids = upload_files(stack.record, (files * (_FRESH // _KNOWN)), "fresh")
        yield FaultLab(stack, proxies, predictor, parts, known_ids, fresh_ids)


def _parse_port(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


def _build_options(
    parts: Mapping[str, Server], proxies: Mapping[str, FaultProxy], keys: Sequence[str]
) -> list[str]:
    urls = {
        name: server.url.replace(f":{_parse_port(server.url)}", f":{proxies[name].port}")
        for name, server in parts.items()
    }
    return [
        *("--s3", f"http://{HOST}:{proxies['s3'].port}"),
        *("--s3-access-key", keys[0], "--s3-secret-key", keys[1]),
        *("--redis", urls["redis"], "--postgres", urls["postgres"]),
    ]


def read_row_ids(dsn: str, request_ids: Iterable[str]) -> list[str]:
    """Read the request ids of the journal's rows, one for each row."""
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT request_id FROM answers WHERE request_id = ANY(%s)", (list(request_ids),))
        return [str(row[0]) for row in cursor.fetchall()]


def count_missing_rows(dsn: str, answers: Iterable[CallResult], timeout_s: float = 20.0) -> tuple[int, int]:
    """Wait until the journal has a row for each answer.

    Returns:
        How many answers have no row after the time limit, and how many rows are duplicates.
    """
    request_ids = {answer.request_id for answer in answers if answer.is_ok}
    end_s = time.monotonic() + timeout_s
    while True:
        rows = read_row_ids(dsn, request_ids)
        # Rows of an outage come later, from the spool.
        missing = len(request_ids - set(rows))
        if not missing or time.monotonic() > end_s:
            return missing, len(rows) - len(set(rows))
        time.sleep(0.25)
