"""A whole stack with a fault proxy before S3, Redis, PostgreSQL and the predictor."""

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
from proof.lab.transformer import ACCESS_KEY, SECRET_KEY

PARTS: Final = ("redis", "s3", "postgres", "predictor")
_KNOWN, _FRESH, _SIZE_PX = 20, 300, 256


@dataclass
class WatchedPredictor:
    """A predictor that nobody restarts but who is told to."""

    folder: Path
    bundle: Path
    ports: Ports
    service: Service | None = None

    def start(self) -> None:
        """Start it, anew if it ran."""
        self.stop()
        self.service = start_predictor(self.folder, self.ports, self.bundle)

    def stop(self) -> None:
        """Stop it."""
        if self.service:
            self.service.stop()
            self.service = None

    def send(self, number: signal.Signals) -> None:
        """Signal it and what it started."""
        assert self.service
        os.killpg(self.service.process.pid, number)


@dataclass(frozen=True)
class FaultLab:
    """The stack, the proxies before its parts, its predictor, and the other parts without a proxy."""

    stack: RunningStack
    proxies: Mapping[str, FaultProxy]
    predictor: "WatchedPredictor"
    servers: Mapping[str, Server]
    known: Sequence[str]
    fresh: Sequence[str]

    @property
    def dsn(self) -> str:
        """The journal's database, past the proxy."""
        return self.servers["postgres"].url

    def empty_cache(self) -> None:
        """Empty the cache."""
        with redis.Redis.from_url(self.servers["redis"].url) as client:
            client.flushall()

    def caller(self, timeout_s: float = 30.0) -> Caller:
        """Somebody who may ask."""
        return Caller(self.stack.record.address, self.stack.make_token(), timeout_s)

    def cycle_image_ids(self) -> Iterator[str]:
        """Object ids: two of three are known ones, the third is new to the cache."""
        known, fresh = cycle(self.known), cycle(self.fresh)
        while True:
            yield next(known)
            yield next(known)
            yield next(fresh)


@contextmanager
def fault_lab(folder: Path, bundle: Path) -> Iterator[FaultLab]:
    """Start everything, and stop it at the end."""
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
        upstream = WeightedUpstream("watched", proxies["predictor"].port, 100)
        write_upstreams(stack.state.path / "envoy", [upstream])
        files = make_fresh_radiographs(_KNOWN, seed=time.time_ns() % 2**32, size_px=_SIZE_PX)
        known = upload_files(stack.record, files, "known")
        fresh = upload_files(stack.record, (files * (_FRESH // _KNOWN)), "fresh")
        yield FaultLab(stack, proxies, predictor, parts, known, fresh)


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
    """The request ids that the journal has rows of, once for each row."""
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT request_id FROM answers WHERE request_id = ANY(%s)", (list(request_ids),))
        return [str(row[0]) for row in cursor.fetchall()]


def count_missing_rows(dsn: str, answers: Iterable[CallResult], limit_s: float = 20.0) -> tuple[int, int]:
    """Wait until each answer that was given has its row.

    Returns:
        How many have none when the time is over, and how many rows there are too many.
    """
    given = {answer.request_id for answer in answers if answer.is_ok}
    end_s = time.monotonic() + limit_s
    while True:
        rows = read_row_ids(dsn, given)
        missing = len(given - set(rows))
        if not missing or time.monotonic() > end_s:
            return missing, len(rows) - len(set(rows))
        time.sleep(0.25)
